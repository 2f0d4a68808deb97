"""What a wrong answer does on every input, right or wrong: what a diagnosis may look at."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minitransformer.exercises.grader.task import Case, EachResult, Results, Task
from minitransformer.testing.subject import TOLERANCES, LawError, compare

SAME = 1e-6


@dataclass(frozen=True)
class Observation:
    """One input, what is right there and what the answer gives, or how it fails.

    Attributes
    ----------
    case : Case
        The input.
    expected : dict
        What is right, by name.
    got : dict
        What the answer gives; what came before the exception, if there was one.
    error : Exception or None
        The exception.
    """

    case: Case
    expected: Results
    got: Results
    error: Exception | None = None

    @cached_property
    def wrong(self) -> tuple[str, ...]:
        """Names of the wrong results."""
        names = [name for name in self.expected if name not in self.got]
        shared = [name for name in self.expected if name in self.got]
        for name in shared:
            alone = {key: self.expected[key] for key in self.expected if key != name}
            try:  # the others lend their size, in which rounding drowns small results
                compare(
                    {name: self.got[name], **alone},
                    {name: self.expected[name], **alone},
                    TOLERANCES[self.case.dtype],
                )
            except LawError:
                names.append(name)
        return tuple(name for name in self.expected if name in names)


@dataclass(frozen=True)
class Observations:
    """All inputs."""

    task: Task
    all: tuple[Observation, ...]

    @cached_property
    def wrong_names(self) -> list[str]:
        """Names of the results that are wrong somewhere, in the order of repair.

        What was overwritten comes first: it may have made all else wrong.
        """
        names: dict[str, None] = {}
        for observation in self.all:
            names |= dict.fromkeys(observation.expected)
        wrong = [name for name in names if any(name in each.wrong for each in self.all)]
        return sorted(wrong, key=lambda name: not all(map(_keeps(name), self.all)))

    def split(self, name: str) -> tuple[list[Observation], list[Observation]]:
        """The inputs on which one result is wrong, and those on which it is right."""
        wrong = [each for each in self.all if name in each.wrong]
        return wrong, [each for each in self.all if name not in each.wrong]


def _keeps(name: str) -> Callable[[Observation], bool]:
    """Whether something is an argument that has to stay as it is."""

    def keeps(each: Observation) -> bool:
        given = each.case.arguments.get(name)
        return isinstance(given, np.ndarray) and np.array_equal(given, each.expected.get(name, ()))

    return keeps


def observe(task: Task, seed: int) -> Observations:
    """Run the answer on all inputs in both precisions."""
    cases = [
        Case(label, arguments, dtype)
        for dtype in TOLERANCES
        for label, arguments in task.cases(seed).items()
    ]
    return Observations(task, tuple(observe_case(task, case) for case in cases))


def observe_case(task: Task, case: Case) -> Observation:
    """Run the answer on one input."""
    with np.errstate(all="ignore"):
        return _run(case, task.expected(case), task.got(case))


def observe_mutant(
    task: Task, seen: Observation, target: Any, mutant: Callable[..., Any]
) -> Observation:
    """Run a mutant on an input that the answer has seen."""
    with np.errstate(all="ignore"):
        return _run(seen.case, seen.expected, task.mutated(seen.case, target, mutant))


def _run(case: Case, expected: Results, results: EachResult) -> Observation:
    got: Results = {}
    try:
        for name, result in results:
            got[name] = result
    except Exception as error:
        return Observation(case, expected, got, error)
    return Observation(case, expected, got)


def same_numbers(first: Any, second: Any) -> bool:
    """Whether two arrays are equal but for rounding; what is not finite must be so in both."""
    return distance(first, second) <= SAME


def distance(first: Any, second: Any) -> float:
    """Largest difference between two arrays, relative to the second; infinite if forms differ."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape:
        return math.inf
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)):
        return math.inf
    with np.errstate(all="ignore"):
        size = max(float(np.abs(other[finite]).max(initial=0.0)), 1e-300)
        return float(np.abs(one[finite] - other[finite]).max(initial=0.0)) / size
