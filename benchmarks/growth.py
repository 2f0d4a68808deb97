"""How cost grows with the model: ``python -m benchmarks.growth``."""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

import tyro

from benchmarks.contest import Schedule, console
from benchmarks.contestant import Entry
from benchmarks.machine import Watch
from benchmarks.problem import SIZES, Size
from benchmarks.race import Worker, race
from benchmarks.results import Result
from benchmarks.summary import fitted_exponent, median_of_rounds

BACKENDS = ("numba", "numpy")


def _wider(width: int) -> Size:
    return replace(SMALL, model=replace(SMALL.model, width=width))


def _deeper(layers: int) -> Size:
    return replace(SMALL, model=replace(SMALL.model, layers=layers))


def _longer(length: int) -> Size:
    return replace(SMALL, length=length, batch=1, model=replace(SMALL.model, context=length))


SMALL = SIZES["small"]
AXES: dict[str, tuple[tuple[int, ...], Callable[[int], Size]]] = {
    "length T, batch of 1": ((256, 512, 1024), _longer),
    "batch B": ((6, 12, 24), lambda batch: replace(SMALL, batch=batch)),
    "width C": ((128, 256, 512), _wider),
    "layers": ((2, 4, 8), _deeper),
}
"""What grows, through which values; the rest stays as in the small model."""


@dataclass(frozen=True)
class Settings:
    """Time a training step, and measure the memory of its arrays, as one size after another grows.

    The exponent p of ``cost = a size^p`` is fitted: 1 is linear, 2 quadratic.
    """

    schedule: tyro.conf.OmitArgPrefixes[Schedule] = field(
        default_factory=lambda: Schedule(rounds=3, seconds=0.1)
    )
    """How long to measure."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


class Point(NamedTuple):
    """Cost of one training step."""

    size: int
    seconds: float
    peak_bytes: float
    """Of arrays made during the step, those that live at once."""


def measure(axis: str, worker: Worker, schedule: Schedule, watch: Watch) -> list[Point]:
    """Let the process named after a backend take steps of models of all sizes along an axis."""
    backend = worker.name
    values, size_of = AXES[axis]
    points = []
    for value in values:
        settings = {"size": asdict(size_of(value)), "backend": backend}
        worker.build(Entry(backend, "benchmarks.contestants.ours:Memory", settings))
        peak = float(worker.validate()["peak bytes"])
        worker.build(Entry(backend, "benchmarks.contestants.ours:Training", settings))
        rounds = race([worker], schedule.rounds, schedule.seconds, watch)[backend]
        points.append(Point(value, median_of_rounds(rounds), peak))
    return points


def cells(axis: str, backend: str, points: list[Point]) -> list[str]:
    """One line of the table."""
    sizes = [point.size for point in points]
    exponents = (
        fitted_exponent(sizes, [point.seconds for point in points]),
        fitted_exponent(sizes, [point.peak_bytes for point in points]),
    )
    return [
        axis,
        backend,
        " ".join(map(str, sizes)),
        " ".join(f"{1e3 * point.seconds:.0f}" for point in points),
        " ".join(f"{point.peak_bytes / 2**20:.0f}" for point in points),
        *(f"{exponent:.2f}" for exponent in exponents),
    ]


def main(settings: Settings) -> int:
    """Measure and print."""
    if settings.schedule.wait:
        console.print("press Enter to measure")
        sys.stdin.readline()
    watch = Watch()
    found = {}
    for backend in BACKENDS:
        with Worker(backend, settings.schedule.threads, {}) as worker:
            for axis in AXES:
                console.print(f"{backend}: {axis}")
                found[axis, backend] = measure(axis, worker, settings.schedule, watch)
    result = Result(
        name="growth",
        title=f"Growth of a training step's cost, {settings.schedule.threads} threads",
        command="python -m benchmarks.growth",
        columns=("of", "backend", "values", "ms", "MiB", "time's exponent", "memory's exponent"),
        rows=[cells(axis, backend, found[axis, backend]) for axis in AXES for backend in BACKENDS],
        notes=[
            "MiB: arrays made during the step that live at once; parameters, gradients and "
            "moments are not among them."
        ],
        warnings=watch.warnings(),
        data=[[*key, points] for key, points in found.items()],
    )
    result.show()
    if settings.save:
        result.save()
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
