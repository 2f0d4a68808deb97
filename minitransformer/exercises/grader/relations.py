"""How a wrong result is related to the right one, the same way on every input on which it is wrong.

Each relation is a function ``Pair -> sentence | None`` and its name is the name of the mistake.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from minitransformer.exercises.grader.observation import Observation, same_numbers
from minitransformer.exercises.grader.related import Array, Pair, broadcast
from minitransformer.exercises.grader.relations_in_part import (
    first_or_last_wrong,
    input_overwritten,
    never_written,
    wrong_where_masked,
    wrong_where_negative,
)
from minitransformer.testing.diagnosis import Explanation


def relate(name: str, wrong: list[Observation]) -> Explanation | None:
    """Find the first relation that holds on every wrong input in float64."""
    pairs = [
        Pair(name, _float(each.got[name]), _float(each.expected[name]), each.case.arguments)
        for each in wrong
        if each.case.dtype == "float64" and name in each.got
    ]
    pairs = [pair for pair in pairs if pair.expected.size] or pairs
    if not pairs:
        return None
    with np.errstate(all="ignore"):
        for relation in RELATIONS:
            sentences = [relation(pair) for pair in pairs]
            if all(sentences):
                return Explanation(relation.__name__, str(sentences[0]))
    return None


def wrong_size(p: Pair) -> str | None:
    """Another shape."""
    if p.fits:
        return None
    return f"{p.name} has shape {p.got.shape}, expected {p.expected.shape}"


def transposed(p: Pair) -> str | None:
    """Axes exchanged."""
    if p.got.ndim != p.expected.ndim or p.got.ndim < 2:
        return None
    for order in itertools.permutations(range(p.got.ndim)):
        if list(order) != sorted(order) and same_numbers(p.got.transpose(order), p.expected):
            moved = [i for i, axis in enumerate(order) if i != axis]
            return f"{p.name} has axes {moved} exchanged"
    return None


def only_reshaped(p: Pair) -> str | None:
    """The right numbers in another shape."""
    if p.fits or not same_numbers(p.got.reshape(-1), p.expected.reshape(-1)):
        return None
    return f"{p.name} has the right numbers in the shape {p.got.shape}, expected {p.expected.shape}"


def not_finite(p: Pair) -> str | None:
    """NaN or infinity where a number is right."""
    bad = ~np.isfinite(p.got)
    if not p.fits or not (bad & np.isfinite(p.expected)).any():
        return None
    what = "NaN" if np.isnan(p.got).any() else "infinite"
    return f"{p.name} is {what} where a number is right"


def not_filtered(p: Pair) -> str | None:
    """A number where infinity is right."""
    if not p.fits or not (np.isfinite(p.got) & ~np.isfinite(p.expected)).any():
        return None
    return f"{p.name} keeps entries that must be infinite (left out), or leaves out others"


def left_as_it_was(p: Pair) -> str | None:
    """The result is one of the arguments, unchanged."""
    for name, array in p.inputs.items():
        if isinstance(array, np.ndarray) and same_numbers(p.got, array):
            return f"{p.name} is what {name} was before: nothing was done to it"
    return None


def zero(p: Pair) -> str | None:
    """Nothing but zeros."""
    if p.got.any() or not p.expected.any():
        return None
    return f"{p.name} is zero everywhere"


def sign_flipped(p: Pair) -> str | None:
    """The opposite."""
    return f"{p.name} has the wrong sign" if same_numbers(p.got, -p.expected) else None


def constant_factor(p: Pair) -> str | None:
    """A factor too much or too few."""
    if not p.fits or p.expected.size < 2:
        return None
    square = float(np.vdot(p.expected, p.expected))
    factor = float(np.vdot(p.expected, p.got)) / square if square else 0.0
    if not factor or not np.isfinite(factor) or not same_numbers(p.got, factor * p.expected):
        return None
    return f"{p.name} is {factor:.4g} times the right one{_meaning(factor, p)}"


def factor_of_each_row(p: Pair) -> str | None:
    """A factor of its own for every row."""
    if not p.fits or p.expected.ndim < 1 or p.expected.shape[-1] < 2:
        return None
    ratio = p.got / np.where(p.expected == 0, np.nan, p.expected)
    known = np.where(np.isnan(ratio), _largest_of_row(ratio), ratio)
    if not same_numbers(known, np.broadcast_to(known[..., :1], known.shape)):
        return None
    return (
        f"every row of {p.name} is off by a factor of its own: look at what each row is divided by"
    )


def constant_added(p: Pair) -> str | None:
    """The same number too much everywhere."""
    if not p.fits or p.expected.size < 2:
        return None
    difference = p.got - p.expected
    if not same_numbers(difference, np.full_like(difference, difference.mean())):
        return None
    return f"every entry of {p.name} is {difference.mean():.4g} too large"


def argument_missing(p: Pair) -> str | None:
    """An argument was not added, or added where it must not be."""
    for name, array in p.inputs.items():
        full = broadcast(array, p.expected.shape)
        if p.fits and full is not None and full.any():
            if same_numbers(p.got + full, p.expected):
                return f"{p.name} lacks + {name}"
            if same_numbers(p.got - full, p.expected):
                return f"{p.name} has + {name} too much"
    return None


def argument_not_multiplied(p: Pair) -> str | None:
    """An argument was not multiplied by, or once too often."""
    for name, array in p.inputs.items():
        full = broadcast(array, p.expected.shape)
        if p.fits and full is not None and full.all() and full.size:
            if same_numbers(p.got * full, p.expected):
                return f"{p.name} lacks the factor {name}"
            if same_numbers(p.got / full, p.expected):
                return f"{p.name} has the factor {name} once too often"
    return None


def shifted(p: Pair) -> str | None:
    """Off by one along an axis."""
    if not p.fits:
        return None
    for axis, size in enumerate(p.expected.shape):
        for step in (1, -1):
            got, expected = (np.moveaxis(a, axis, 0) for a in (p.got, p.expected))
            ours, theirs = (got[1:], expected[:-1]) if step > 0 else (got[:-1], expected[1:])
            if (
                size > 2
                and same_numbers(ours, theirs)
                and not same_numbers(ours, expected[1:] if step > 0 else expected[:-1])
            ):
                return f"{p.name} is shifted by one along axis {axis}"
    return None


def reversed_order(p: Pair) -> str | None:
    """From the end to the beginning."""
    for axis in range(p.expected.ndim):
        if p.fits and p.expected.shape[axis] > 1 and same_numbers(np.flip(p.got, axis), p.expected):
            return f"{p.name} is in reverse order along axis {axis}"
    return None


def other_order(p: Pair) -> str | None:
    """The right numbers at wrong places."""
    if not p.fits or p.expected.size < 3:
        return None
    if not same_numbers(np.sort(p.got, None), np.sort(p.expected, None)):
        return None
    return f"{p.name} has the right numbers at wrong places: look at the order of axes and indices"


def complement(p: Pair) -> str | None:
    """One minus what is right."""
    return f"{p.name} is 1 minus the right one" if same_numbers(1.0 - p.got, p.expected) else None


def another_power(p: Pair) -> str | None:
    """A root or a square too much, a logarithm or an exponential."""
    if not p.fits or p.expected.size < 1 or not p.expected.any():
        return None
    for what, value in {
        "the square of": p.expected**2,
        "the root of": np.sqrt(np.abs(p.expected)),
        "1 divided by": 1.0 / p.expected,
        "exp of": np.exp(np.minimum(p.expected, 700.0)),
        "the logarithm of": np.log(np.abs(p.expected)),
    }.items():
        if same_numbers(p.got, value):
            return f"{p.name} is {what} the right one"
    return None


def nearly_right(p: Pair) -> str | None:
    """Right to a few digits."""
    if not p.fits or not np.allclose(p.got, p.expected, rtol=1e-3, atol=1e-3, equal_nan=True):
        return None
    return f"{p.name} is nearly right: look for a constant that is a little off, or for lost digits"


RELATIONS: tuple[Callable[[Pair], str | None], ...] = (
    *(input_overwritten, only_reshaped, transposed, wrong_size),
    *(never_written, not_finite, not_filtered),
    *(left_as_it_was, zero, sign_flipped, constant_factor, complement, argument_missing),
    *(argument_not_multiplied, constant_added, another_power, reversed_order, shifted),
    *(first_or_last_wrong, wrong_where_masked, wrong_where_negative, factor_of_each_row),
    *(other_order, nearly_right),
)


def _meaning(factor: float, p: Pair) -> str:
    """Name a factor by the sizes of the arguments' axes."""
    for name, array in p.inputs.items():
        if isinstance(array, np.ndarray):
            for axis, size in enumerate(array.shape):
                for text, value in ((f"{size}", size), (f"sqrt({size})", size**0.5)):
                    where = f"the length of axis {axis} of {name}"
                    if size > 1 and abs(factor - value) < 1e-6 * value:
                        return f": {text}, {where}"
                    if size > 1 and abs(factor * value - 1) < 1e-6:
                        return f": 1 / {text}, {where}"
    return ""


def _largest_of_row(ratio: Array) -> Array:
    largest: Array = np.nan_to_num(ratio, nan=-np.inf).max(axis=-1, keepdims=True)
    return largest


def _float(array: Any) -> Array:
    return np.asarray(array, np.float64)
