"""Single ops, forward and backward, and matrix products: ``python -m benchmarks.ops``."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import tyro

from benchmarks import op_tasks
from benchmarks.contest import Schedule, console
from benchmarks.contestant import Entry
from benchmarks.evidence import disagreements
from benchmarks.machine import Watch
from benchmarks.race import ContestantError, Worker, race
from benchmarks.results import Result
from benchmarks.summary import Ratio, geometric_mean, median_of_rounds, ratio_of_rounds

TOLERANCE = 1e-5
"""Of float32 results against float64 ones."""

OUR_OPS, TORCH_OPS = "benchmarks.contestants.ours_ops", "benchmarks.contestants.torch_ops"
# PyTorch has no such op, or it is made of several there
NOT_IN_TORCH = {"lora", "dropout", "rotary"}


@dataclass(frozen=True)
class Settings:
    """Time every op, and matrix products on one core next to OpenBLAS.

    Results are compared with those of the textbook in float64 first.
    """

    only: tuple[str, ...] = ()
    """Ops whose name contains one of these; by default all."""
    products: bool = True
    """Time matrix products too."""
    schedule: tyro.conf.OmitArgPrefixes[Schedule] = field(
        default_factory=lambda: Schedule(rounds=5, seconds=0.03)
    )
    """How long to measure."""
    save: bool = False
    """Keep the results in benchmarks/results/."""


class Line(NamedTuple):
    """What was found out about one task."""

    task: str
    seconds: dict[str, float]
    """Medians."""
    ratios: dict[str, Ratio]
    """To the first contestant's time."""

    def cells(self, names: Sequence[str]) -> list[str]:
        """As text, times in milliseconds."""
        times = [f"{1e3 * self.seconds[n]:.3f}" if n in self.seconds else "" for n in names]
        ratios = [str(self.ratios[n]) if n in self.ratios else "" for n in names[1:]]
        return [self.task, *times, *ratios]


def lines(
    tasks: Mapping[str, Mapping[str, Entry]], names: Sequence[str], schedule: Schedule, watch: Watch
) -> Iterator[Line]:
    """Let the same few processes do one task after the other.

    Parameters
    ----------
    tasks
        For each the entries by contestant, and the reference's under ``""``.
    names
        Contestants, ours first.
    schedule, watch
        As for a contest.

    Raises
    ------
    ContestantError
        If results are wrong.
    """
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(name, schedule.threads, {})) for name in ("", *names)
        }
        for task, entries in tasks.items():
            console.print(task)
            for name, entry in entries.items():
                workers[name].build(entry)
            expected = workers[""].validate()
            lanes = [workers[name] for name in names if name in entries]
            for lane in lanes:
                if wrong := disagreements(lane.validate(), expected, TOLERANCE):
                    raise ContestantError(f"{task}, {lane.name}: {'; '.join(wrong)}")
            times = race(lanes, schedule.rounds, schedule.seconds, watch)
            ours = times[names[0]]
            yield Line(
                task,
                {name: median_of_rounds(rounds) for name, rounds in times.items()},
                {name: ratio_of_rounds(rounds, ours) for name, rounds in times.items()},
            )


def time_ops(settings: Settings) -> Result:
    """Forward and backward of every op."""
    threads = settings.schedule.threads
    tasks = {}
    for name in op_tasks.names():
        if settings.only and not any(part in name for part in settings.only):
            continue
        factory = f"{OUR_OPS}:OpPair"
        entries = {
            "": Entry("", factory, {"name": name, "backend": "numpy", "dtype": "float64"}),
            **{b: Entry(b, factory, {"name": name, "backend": b}) for b in ("numba", "numpy")},
        }
        torch = Entry(
            "PyTorch", f"{TORCH_OPS}:OpPair", {"name": name, "threads": threads}, ("torch",)
        )
        if name not in NOT_IN_TORCH and not torch.missing():
            entries["PyTorch"] = torch
        tasks[name] = entries
    watch = Watch()
    names = ("numba", "numpy", "PyTorch")
    found = list(lines(tasks, names, settings.schedule, watch))
    return Result(
        name="ops",
        title=f"Ops, forward and backward, at the small model's size, {threads} threads",
        command="python -m benchmarks.ops",
        columns=("op", "numba ms", "numpy ms", "PyTorch ms", "numpy / numba", "PyTorch / numba"),
        rows=[line.cells(names) for line in found],
        warnings=watch.warnings(),
        data=found,
    )


def time_products(settings: Settings) -> Result:
    """Matrix products on one core: ours against OpenBLAS, by way of NumPy."""
    names = ("numba", "OpenBLAS")
    tasks = {}
    for layer in op_tasks.PRODUCTS:
        for kind in op_tasks.TRANSPOSED:
            common = {"layer": layer, "kind": kind}
            factory = f"{OUR_OPS}:Product"
            tasks[f"{layer}, {kind}"] = {
                "": Entry("", factory, {**common, "backend": "numpy", "dtype": "float64"}),
                "numba": Entry("numba", factory, {**common, "backend": "numba"}),
                "OpenBLAS": Entry("OpenBLAS", factory, {**common, "backend": "numpy"}),
            }
    watch = Watch()
    found = list(lines(tasks, names, replace(settings.schedule, threads=1), watch))
    mean = geometric_mean([line.ratios["OpenBLAS"].median for line in found])
    return Result(
        name="products",
        title="Matrix products of training in float32, 1 thread",
        command="python -m benchmarks.ops",
        columns=("product", "numba ms", "OpenBLAS ms", "OpenBLAS / numba"),
        rows=[line.cells(names) for line in found],
        notes=[f"geometric mean of OpenBLAS / numba: {mean:.3f}"],
        warnings=watch.warnings(),
        data=found,
    )


def main(settings: Settings) -> int:
    """Measure and print; 1 if an op is wrong."""
    if settings.schedule.wait:
        console.print("press Enter to measure")
        sys.stdin.readline()
    measures = [time_ops, time_products] if settings.products else [time_ops]
    try:
        for measure in measures:
            result = measure(settings)
            result.show()
            if settings.save:
                result.save()
    except ContestantError as error:
        console.print(f"wrong, so not timed: {error}", style="red")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
