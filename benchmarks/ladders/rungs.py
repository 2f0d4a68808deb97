"""What a ladder and its rungs are, and why a wrong rung is never timed."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = tuple[Array, ...]

READ = 4
"""Bytes through memory to read a float32."""
UPDATE = 8
"""To read it and write it back in its place."""
WRITE = 8
"""To write it elsewhere: a cache fetches the line before it can change a part of it."""


class WrongRungError(ValueError):
    """A rung's result is not what float64 says."""


@dataclass(frozen=True)
class Rung:
    """One version of a kernel.

    Attributes
    ----------
    title
        What is different from the rung below.
    function
        Takes the ladder's inputs, returns an array or a tuple of arrays. Its docstring is the
        rung's story.
    bytes
        What passes between memory and caches, at least: see READ, UPDATE and WRITE.
    flops
        Useful operations on numbers; exp, a root and a division count as one each.
    """

    title: str
    function: Callable[..., Array | Arrays]
    bytes: float
    flops: float

    @property
    def story(self) -> str:
        """Why this version, what to expect of it, and what to look at."""
        return inspect.cleandoc(self.function.__doc__ or "")


@dataclass(frozen=True)
class Ladder:
    """One task and its rungs, from the bottom.

    Attributes
    ----------
    title
        The task and its size.
    story
        What bounds it, and so what the rungs are after.
    inputs
        Draws float32 arrays.
    reference
        The task in NumPy; applied to float64 inputs it says what is right.
    rungs
        The first is what one would write first.
    tolerance
        Greatest error of an element, relative to its size plus the mean size of all.
    """

    title: str
    story: str
    inputs: Callable[[], Arrays]
    reference: Callable[..., Array | Arrays]
    rungs: Sequence[Rung]
    tolerance: float = 1e-5


def validate(ladder: Ladder, inputs: Arrays) -> None:
    """Compare every rung with float64.

    Raises
    ------
    WrongRungError
        At the first rung that is off by more than the tolerance, or not a number.
    """
    expected = _tuple(ladder.reference(*(x.astype(np.float64) for x in inputs)))
    for rung in ladder.rungs:
        got = _tuple(rung.function(*(x.copy() for x in inputs)))
        error = max(map(_error, got, expected))
        if not error <= ladder.tolerance:
            raise WrongRungError(
                f"{ladder.title}: {rung.title!r} is off by {error:.1e}, tolerance "
                f"{ladder.tolerance:.0e}; a wrong rung is not timed"
            )


def _tuple(result: Array | Arrays) -> Arrays:
    return result if isinstance(result, tuple) else (result,)


def _error(got: Array, expected: Array) -> float:
    if got.shape != expected.shape:
        return float("inf")
    size = np.abs(expected)
    return float((np.abs(got - expected) / (size + size.mean())).max())
