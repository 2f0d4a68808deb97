"""Where the time of a training step goes: ``python -m benchmarks.kernels``."""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, NamedTuple
from unittest import mock

import tyro

from benchmarks.contestants.ours import Training
from benchmarks.machine import Watch
from benchmarks.problem import SIZES
from benchmarks.results import Result
from minitransformer.backends.numba import threads

WARM_UP = 5
"""Steps that are not looked at: the first ones compile."""
BETWEEN = "between kernels"


class Call(NamedTuple):
    """One call of a kernel."""

    kernel: str
    seconds: float


class Step(NamedTuple):
    """One training step."""

    calls: list[Call]
    seconds: float

    def seconds_of(self) -> dict[str, float]:
        """Seconds in each kernel, and outside all of them."""
        total: defaultdict[str, float] = defaultdict(float)
        for name, seconds in self.calls:
            total[name] += seconds
        return {**total, BETWEEN: self.seconds - sum(total.values())}


@dataclass(frozen=True)
class Settings:
    """Time every kernel of our training steps, and what Python does between them."""

    size: Literal["small", "mid", "gpt2"] = "small"
    """Of model and batch."""
    steps: int = 100
    """That are timed."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


@contextmanager
def watched(calls: list[Call]) -> Iterator[None]:
    """Note the calls of all kernels that this process calls for the first time in this block."""
    compile_kernel = threads._compile

    def compile_watched(kernel: Any, *types: Any) -> tuple[Any, ...]:
        enter, *rest = compile_kernel(kernel, *types)
        name = f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__.lstrip('_')}"

        def enter_watched(*args: Any) -> None:
            began = time.perf_counter()
            enter(*args)
            calls.append(Call(name, time.perf_counter() - began))

        return enter_watched, *rest

    with mock.patch.object(threads, "_compile", compile_watched):
        yield


def measure(settings: Settings, watch: Watch) -> list[Step]:
    """Take steps of the training that ``benchmarks.training`` times."""
    calls: list[Call] = []
    steps = []
    with watched(calls):
        training = Training(asdict(SIZES[settings.size]), "numba")
        training.run(WARM_UP)
        with watch.turn():
            for _ in range(settings.steps):
                calls.clear()
                (seconds,) = training.run(1)
                steps.append(Step([*calls], seconds))
    return steps


def lines(steps: Sequence[Step]) -> list[tuple[str, str, str, str]]:
    """A line for each kernel, the longest first, and then for all of the step."""
    count = Counter(call.kernel for step in steps for call in step.calls)
    parts = [step.seconds_of() for step in steps]
    times = {name: [part.get(name, 0.0) for part in parts] for name in (*count, BETWEEN)}
    names = sorted(count, key=lambda name: -median(times[name]))
    times["a step"] = [step.seconds for step in steps]
    return [
        (
            name,
            f"{count[name] / len(steps):g}" if name in count else "",
            f"{1e3 * median(times[name]):.2f}",
            f"{1e3 * min(times[name]):.2f}",
        )
        for name in (*names, BETWEEN, "a step")
    ]


def main(settings: Settings) -> int:
    """Measure and print."""
    watch = Watch()
    steps = measure(settings, watch)
    result = Result(
        name=f"kernels-{settings.size}",
        title=f"Where the time of a training step goes, size {settings.size}",
        command=f"python -m benchmarks.kernels --size {settings.size} --steps {settings.steps}",
        columns=("kernel", "calls a step", "median ms", "least ms"),
        rows=lines(steps),
        notes=["Medians and least times of each line by itself: they do not add up."],
        warnings=watch.warnings(),
        data=[step.seconds_of() for step in steps],
    )
    result.show()
    if settings.save:
        result.save()
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
