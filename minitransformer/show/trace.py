"""What running a function line by line leaves behind: plain data, to be replayed or drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer.show.listing import Listing

LIMIT = 2**16
"""Values kept of an array; of a longer one, its first corner."""


@dataclass(frozen=True, eq=False)
class Value:
    """What a name stood for at one moment.

    Attributes
    ----------
    name : str
        The name, or the expression that was returned.
    data : ndarray, number or str
        A copy of an array, at most its first corner; a number; a description of anything else.
    shape : tuple of int, or None
        Of the array; None for all else.
    dtype : str
        Of the array, or the type's name.
    axes : tuple of str
        The axes' shape letters.
    """

    name: str
    data: Any
    shape: tuple[int, ...] | None
    dtype: str
    axes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, thing: Any) -> "Value":
        """Describe and copy a thing, so that later changes of it do not show."""
        if isinstance(thing, np.ndarray):
            return cls(name, copy_corner(thing), thing.shape, str(thing.dtype))
        if isinstance(thing, bool | int | float | complex | np.generic):
            return cls(name, thing, None, type(thing).__name__)
        return cls(name, describe(thing), None, type(thing).__name__)

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name} = {self.data}" if self.name != self.data else self.name
        axes = self.axes or ("",) * len(self.shape)
        sizes = [
            n if a == n else f"{a} {n}".strip()
            for a, n in zip(axes, map(str, self.shape), strict=True)
        ]
        return f"{self.name}: {self.dtype} ({', '.join(sizes)})"


@dataclass(frozen=True, eq=False)
class TraceStep:
    """One statement, executed once.

    Attributes
    ----------
    statement : int
        Which statement of the listing.
    assigned : mapping of str to Value
        The names that it bound, and the arrays that it changed.
    """

    statement: int
    assigned: Mapping[str, Value]


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """A function's run, statement by statement.

    Attributes
    ----------
    listing : Listing
        The source.
    arguments : mapping of str to Value
        What the function was called with.
    steps : tuple of TraceStep
        In the order of execution.
    result : Any
        What the function returned.
    complete : bool
        False if an exception ended the run, or it had more steps than are kept.
    """

    listing: Listing
    arguments: Mapping[str, Value]
    steps: tuple[TraceStep, ...]
    result: Any = None
    complete: bool = True

    def state(self, step: int) -> dict[str, Value]:
        """Every name and its value after a step; after step -1 there are the arguments only."""
        state = dict(self.arguments)
        for each in self.steps[: step + 1]:
            state |= each.assigned
        return state

    def final(self) -> dict[str, Value]:
        """Every name and its value at the end."""
        return self.state(len(self.steps))

    def __repr__(self) -> str:
        lines = [self.listing.name]
        for step in self.steps:
            lines.append(f"  {self.listing.statements[step.statement].code}")
            lines += [f"      {value}" for value in step.assigned.values()]
        return "\n".join(lines if self.complete else [*lines, "  (not complete)"])


def copy_corner(array: np.ndarray) -> np.ndarray:
    """Copy an array, or of a long one the first corner with at most ``LIMIT`` values."""
    if array.size > LIMIT:
        edge = int(LIMIT ** (1 / array.ndim))
        array = array[(slice(edge),) * array.ndim]
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def describe(thing: Any) -> str:
    """Say in a few words what is not an array: a cache by its fields, all else by its repr."""
    fields = getattr(thing, "_fields", None)
    if fields is not None:
        return f"{type(thing).__name__}({', '.join(fields)})"
    if isinstance(thing, tuple | list) and any(isinstance(part, np.ndarray) for part in thing):
        parts = [f"array {part.shape}" if isinstance(part, np.ndarray) else "…" for part in thing]
        return f"({', '.join(parts)})"
    text = repr(thing)
    return text if len(text) <= 60 else f"{text[:59]}…"
