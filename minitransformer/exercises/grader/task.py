"""What is judged, and by what: one half of an op or both, or a plain function, in the laws' hands.

A task runs three sorts of things on one and the same input: the library's version, the student's
and a mutant's. What they return is a dictionary of arrays by name: ``y, dx, dgamma`` or ``result``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from minitransformer.testing.specs import Arguments, Cases, Dims
from minitransformer.testing.subject import TOLERANCES, LawError, cast, compare

Results = dict[str, Any]
EachResult = Iterator[tuple[str, Any]]
EVERY = 3
"""Of the inputs of less common sorts, every third one is tried."""
STUDENT, MUTANT = "student", "mutant"


@dataclass(frozen=True)
class Case:
    """One input: its label, its arguments in float64, and the precision to try it in."""

    label: str
    arguments: Arguments
    dtype: str = "float64"


@dataclass(frozen=True)
class Trial:
    """One law on one input."""

    law: str
    case: Case
    run: Callable[[], float]


class Task(ABC):
    """Something to judge; use it in a ``with`` block, in which the answer is in place.

    Attributes
    ----------
    targets : tuple of callable
        The library's functions that the student wrote.
    dims : mapping of str to int
        Axis lengths by letter; empty if the inputs have no such letters.
    is_slow : bool
        Whether a call takes so long that only what is needed is tried.
    left_out : frozenset of str
        Options that are the library's own affair: inputs that set them are left out.
    """

    targets: tuple[Callable[..., Any], ...]
    dims: Dims
    is_slow = False
    left_out: frozenset[str] = frozenset()

    @abstractmethod
    def in_place(self) -> AbstractContextManager[None]:
        """Put the student's functions where the library's are."""

    @abstractmethod
    def all_cases(self, seed: int, dims: Dims | None = None) -> Cases:
        """Draw all inputs by label, with every option of the library."""

    def cases(self, seed: int, dims: Dims | None = None) -> Cases:
        """Draw all inputs by label."""
        return {
            label: arguments
            for label, arguments in self.all_cases(seed, dims).items()
            if not any(arguments.get(option) for option in self.left_out)
        }

    @abstractmethod
    def laws(self, case: Case) -> Iterator[tuple[str, Callable[[], float]]]:
        """What must hold on this input, in the order of repair."""

    @abstractmethod
    def expected(self, case: Case) -> Results:
        """What is right, computed in float64."""

    @abstractmethod
    def got(self, case: Case) -> EachResult:
        """What the student's functions give, by name, as it comes."""

    @abstractmethod
    def mutated(
        self, case: Case, target: Callable[..., Any], mutant: Callable[..., Any]
    ) -> EachResult:
        """What the library gives with a mutant in the place of one function."""

    @abstractmethod
    def fault(self, case: Case, target: Callable[..., Any], mutant: Callable[..., Any]) -> str:
        """Name of the fault of form that a mutant has; empty if it has none."""

    def shown(self, case: Case) -> Arguments:
        """What to show of an input."""
        given: Arguments = cast(case.arguments, case.dtype)
        return given

    def trials(self, seed: int) -> Iterator[Trial]:
        """All laws on all inputs, in the order in which what they find should be repaired."""
        both = [
            Case(label, arguments, dtype)
            for dtype in TOLERANCES
            for label, arguments in self.cases(seed).items()
        ]
        short = [
            Case(f"{label}, {lengths}", arguments)
            for number, (lengths, dims) in enumerate(self.short_dims().items())
            for label, arguments in [*self.cases(seed, dims).items()][number % EVERY :: EVERY]
        ]
        by_law: dict[str, list[Trial]] = {}
        for case in (*both, *short):
            for law, run in self.laws(case):
                by_law.setdefault(law, []).append(Trial(law, case, run))
        for trials in by_law.values():
            yield from trials

    def short_dims(self) -> dict[str, Dims]:
        """Axis lengths of 1, at which squeezing and broadcasting go wrong."""
        return {f"{letter} = 1": {**self.dims, letter: 1} for letter in self.dims}

    def error(self, case: Case) -> float:
        """Worst relative error on one input; infinite if it is no matter of rounding."""
        try:
            return compare(dict(self.got(case)), self.expected(case), TOLERANCES[case.dtype])
        except LawError:
            return float("inf")
