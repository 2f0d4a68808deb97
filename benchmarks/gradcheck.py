"""What proving costs: ``python -m benchmarks.gradcheck``."""

import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

import tyro

from benchmarks.contest import console
from benchmarks.machine import Watch
from benchmarks.results import Result
from minitransformer.testing import LAWS, SPECS, Subject, check_op
from minitransformer.testing.checks import trials

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Settings:
    """Time ``minitransformer gradcheck`` op by op, beside the number of trials of a law.

    An op that breaks a law is an error here too.
    """

    backend: str = "numpy"
    """Whose kernels are proved."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


class Line(NamedTuple):
    """Cost of the proof of one op."""

    op: str
    trials: int
    """Laws times inputs, in both precisions."""
    seconds: float

    def cells(self) -> list[str]:
        """As text."""
        each = 1e3 * self.seconds / self.trials
        return [self.op, str(self.trials), f"{self.seconds:.2f}", f"{each:.2f}"]


def measure(name: str, backend: str) -> Line:
    """Prove one op and look at the clock.

    Raises
    ------
    RuntimeError
        If a law is broken.
    """
    spec = SPECS[name]
    count = sum(1 for dtype in DTYPES for _ in trials(Subject(spec, backend, dtype)))
    began = time.perf_counter()
    rows = check_op(spec, backend, DTYPES)
    seconds = time.perf_counter() - began
    if wrong := [row.verdict for row in rows if not row.passed]:
        raise RuntimeError(f"{name}: {wrong[0]}")
    return Line(name, count, seconds)


def main(settings: Settings) -> int:
    """Measure and print."""
    watch = Watch()
    lines = []
    for name in SPECS:
        console.print(name)
        with watch.turn():
            lines.append(measure(name, settings.backend))
    lines.append(Line("all", sum(x.trials for x in lines), sum(x.seconds for x in lines)))
    result = Result(
        name=f"gradcheck-{settings.backend}",
        title=f"Proof of every op, {settings.backend} backend",
        command=f"python -m benchmarks.gradcheck --backend {settings.backend}",
        columns=("op", "trials of a law", "seconds", "ms per trial"),
        rows=[line.cells() for line in lines],
        notes=[f"The laws: {', '.join(law.__name__ for law in LAWS)}."],
        warnings=watch.warnings(),
        data=lines,
    )
    result.show()
    if settings.save:
        result.save()
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
