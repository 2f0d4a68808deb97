"""How training scales over ranks (``python -m benchmarks.bench_scaling``); needs mpi4py."""

import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.problem import SIZES
from benchmarks.results import FOLDER, Result
from benchmarks.scaling_report import COLUMNS, Turn, cells, draw, notes
from minitransformer.backend import set_backend
from minitransformer.data import Batch
from minitransformer.distributed import (
    Communicator,
    DataParallel,
    Replicated,
    Sharded,
    world,
)
from minitransformer.models import GPT
from minitransformer.optim import AdamW
from minitransformer.training import train

MESSAGES = [2**k for k in range(10, 25, 2)]  # bytes
WARM_UP = 5
STRATEGIES = (Replicated, Sharded)


@dataclass(frozen=True)
class Settings:
    """Time the small model's step on one process, and shared by ranks; fit and predict.

    Strong scaling shares one batch; weak scaling gives every rank a batch of its own.
    """

    ranks: tuple[int, ...] = (1, 2)
    """Numbers of processes."""
    cores: int = 2
    """Cores that the ranks share; one process alone gets all of them too."""
    rounds: int = 3
    """How often each number of ranks has its turn."""
    steps: int = 40
    """Steps in each turn."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


class TimedComm:
    """A communicator that tells apart the time in which it waits and the time in which it sends."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.rank, self.size = comm, comm.rank, comm.size
        self.waiting = self.communication = 0.0
        self.bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.comm, name)

    def all_reduce(self, array: np.ndarray) -> None:
        began = time.perf_counter()
        self.comm.exchange(0)  # whoever is early waits here
        met = time.perf_counter()
        self.comm.all_reduce(array)
        self.communication += time.perf_counter() - met
        self.waiting += met - began
        self.bytes += array.nbytes


def turn(comm: Communicator, batch_rows: int, steps: int) -> Turn:
    """Train the small model on this rank and time its steps."""
    set_backend("numba")
    size = SIZES["small"]
    model = GPT(size.model)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    ids = np.random.default_rng(0).integers(size.model.vocab_size, size=(batch_rows, size.length))
    batch = Batch(ids, ids)
    timed = TimedComm(comm)
    ranks = Replicated(timed, optimizer.size)
    step_times, shares = [], []
    began = time.perf_counter()
    total = WARM_UP + steps
    for _ in train(model, optimizer, lambda i: batch, lambda i: 1e-3, total, clip=1.0, ranks=ranks):
        step_times.append(time.perf_counter() - began)
        shares.append((timed.communication, timed.waiting, timed.bytes))
        timed.communication = timed.waiting = 0.0
        timed.bytes = 0
        began = time.perf_counter()
    communication, waiting, sent = (
        statistics.median(column) for column in zip(*shares[WARM_UP:], strict=True)
    )
    messages = {str(count): _all_reduce_seconds(comm, count) for count in MESSAGES}
    step = statistics.median(step_times[WARM_UP:])
    moments = {kind.__name__: _moments(model, kind(comm, optimizer.size)) for kind in STRATEGIES}
    return Turn(step, communication, waiting, int(sent), moments, messages)


def _moments(model: GPT, ranks: DataParallel) -> int:
    optimizer = AdamW(model.parameters(), lr=1e-3)
    optimizer.own(ranks.owned)
    return sum(buffer.nbytes for buffer in optimizer.buffers.values())


def _all_reduce_seconds(comm: Communicator, count: int) -> float:
    array = np.zeros(count // 4, dtype=np.float32)
    times = []
    for _ in range(20):
        comm.exchange(0)
        began = time.perf_counter()
        comm.all_reduce(array)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def launch(ranks: int, batch_rows: int, settings: Settings) -> Turn:
    """One turn of so many processes, each with its part of the cores."""
    program = [sys.executable, "-m", "benchmarks.bench_scaling", "worker"]
    arguments = [str(batch_rows), str(settings.steps), str(max(1, settings.cores // ranks))]
    command = [*program, *arguments]
    if ranks > 1:
        mpiexec = shutil.which("mpiexec")
        if mpiexec is None:
            raise SystemExit("mpiexec is missing; pip install -e '.[mpi]'")
        command = [mpiexec, "-n", str(ranks), *command]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return Turn(*json.loads(done.stdout.splitlines()[-1]))


def worker(batch_rows: int, steps: int, threads: int) -> None:
    """One rank: print the turn as JSON, rank 0 for all."""
    import numba

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    comm = world()
    result = turn(comm, batch_rows, steps)
    if comm.rank == 0:
        print(json.dumps(result))


def main(settings: Settings) -> int:
    """Measure and print."""
    rows = SIZES["small"].batch
    plans = {
        (kind, ranks): rows * (ranks if kind == "weak" else 1)
        for kind in ("strong", "weak")
        for ranks in settings.ranks
    }
    turns: dict[tuple[str, int], list[Turn]] = {plan: [] for plan in plans}
    for number in range(settings.rounds):
        for plan, batch_rows in plans.items():
            print(f"round {number + 1}: {plan[0]} scaling, {plan[1]} ranks", file=sys.stderr)
            turns[plan].append(launch(plan[1], batch_rows, settings))
    result = Result(
        name="scaling",
        title=f"Data-parallel training of the small model on {settings.cores} cores",
        command="python -m benchmarks.bench_scaling",
        columns=COLUMNS,
        rows=[cells(plan, turns[plan], turns[plan[0], 1]) for plan in plans],
        notes=notes(turns),
        data={f"{kind} {ranks}": turns[kind, ranks] for kind, ranks in turns},
    )
    result.show()
    if settings.save:
        result.save()
        draw(turns, FOLDER / "scaling.png")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(*map(int, sys.argv[2:]))
    else:
        sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
