"""The parent: one process per contestant, in turns, so that exactly one works at a time."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.contestant import Entry
from benchmarks.evidence import Array
from benchmarks.machine import Watch, psutil

Rounds = list[list[float]]
"""Seconds of each step, round by round."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ROOT = Path(__file__).parent.parent


class ContestantError(RuntimeError):
    """A contestant failed in its own process."""


class Worker:
    """A contestant in a process of its own, asleep unless asked."""

    def __init__(self, name: str, threads: int, environment: Mapping[str, str]) -> None:
        self.name = name
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={
                **os.environ,
                **dict.fromkeys(THREAD_VARIABLES, str(threads)),
                "NUMBA_NUM_THREADS": str(threads),
                "PYTHONPATH": path,
                **environment,
            },
        )

    @classmethod
    def start(cls, entry: Entry, threads: int) -> Self:
        """Start a process and build the contestant in it."""
        worker = cls(entry.name, threads, entry.environment)
        try:
            worker.build(entry)
        except BaseException:
            worker.close()
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    def build(self, entry: Entry) -> None:
        """Replace the contestant."""
        self._ask(build=[entry.factory, dict(entry.settings)])

    def validate(self) -> dict[str, Array]:
        """The contestant's results."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "evidence.npz")
            self._ask(validate=str(file))
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)

    def run(self, steps: int) -> list[float]:
        """Let it work alone; the seconds of each step."""
        seconds: list[float] = self._ask(run=steps)["seconds"]
        return seconds

    def suspend(self) -> None:
        """Stop the process, where psutil can do that: some idle thread pools spin for ever."""
        if psutil:
            psutil.Process(self._process.pid).suspend()

    def _resume(self) -> None:
        if psutil:
            psutil.Process(self._process.pid).resume()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._resume()
        with suppress(BrokenPipeError):  # the empty answer tells
            print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise ContestantError(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._resume()
        self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def race(workers: Sequence[Worker], rounds: int, seconds: float, watch: Watch) -> dict[str, Rounds]:
    """Let contestants work in turns.

    Parameters
    ----------
    workers
        Built and validated.
    rounds
        In each, every contestant has one turn; the order rotates.
    seconds
        Length of a turn, in whole steps, at least one.
    watch
        Sees what else the machine does meanwhile.

    Returns
    -------
    dict of rounds by the contestants' names
    """
    for worker in workers:
        worker.suspend()
    steps = {worker.name: _steps_in(worker, seconds) for worker in workers}
    times: dict[str, Rounds] = {worker.name: [] for worker in workers}
    for index in range(rounds):
        first = index % len(workers)
        for worker in (*workers[first:], *workers[:first]):
            with watch.turn(worker.pid):
                times[worker.name].append(worker.run(steps[worker.name]))
            worker.suspend()
    return times


def _steps_in(worker: Worker, seconds: float) -> int:
    steps = max(1, math.ceil(seconds / min(worker.run(2))))
    worker.suspend()
    return steps
