"""Relations of results that are right in part: what is special where they are wrong."""

from typing import Any

import numpy as np

from minitransformer.exercises.grader.related import Array, Pair, broadcast


def input_overwritten(p: Pair) -> str | None:
    """An argument that must stay as it was."""
    given = p.inputs.get(p.name)
    if not isinstance(given, np.ndarray) or not np.array_equal(given, p.expected):
        return None
    return f"your function writes into its argument {p.name}, which belongs to the caller"


def never_written(p: Pair) -> str | None:
    """Memory as it was allocated, in which the grader had set every bit."""
    bits = np.ascontiguousarray(p.got).view(np.uint64)
    untouched = bits == np.iinfo(np.uint64).max
    if not untouched.any():
        return None
    return f"{untouched.sum()} of the {untouched.size} entries of {p.name} were never written"


def first_or_last_wrong(p: Pair) -> str | None:
    """Right everywhere but at one end of an axis."""
    if not p.fits:
        return None
    wrong = ~np.isclose(p.got, p.expected, rtol=1e-6, atol=1e-12, equal_nan=True)
    for axis, size in enumerate(wrong.shape):
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        hit = np.flatnonzero(wrong.any(axis=others)).tolist()
        if size > 2 and hit in ([0], [size - 1]):
            end = "first" if hit == [0] else "last"
            return f"{p.name} is wrong only at the {end} index of axis {axis}"
    return None


def wrong_where_masked(p: Pair) -> str | None:
    """Right where a mask is True, wrong where it is False, or the other way round."""
    if not p.fits:
        return None
    wrong = ~np.isclose(p.got, p.expected, rtol=1e-6, atol=1e-12, equal_nan=True)
    for name, array in p.inputs.items():
        for view in _views(array):
            mask = broadcast(view, wrong.shape)
            if mask is None or mask.all() or not mask.any():
                continue
            if not (wrong & mask.astype(bool)).any():
                return f"{p.name} is right where {name} is True and wrong where it is False"
            if not (wrong & ~mask.astype(bool)).any():
                return f"{p.name} is right where {name} is False and wrong where it is True"
    return None


def wrong_where_negative(p: Pair) -> str | None:
    """Right for positive numbers only, or for negative ones."""
    if not p.fits:
        return None
    wrong = ~np.isclose(p.got, p.expected, rtol=1e-6, atol=1e-12, equal_nan=True)
    for name, array in p.inputs.items():
        x = broadcast(array, wrong.shape)
        if x is None or x.dtype.kind != "f" or (x > 0).all() or (x < 0).all():
            continue
        for sign, there, elsewhere in (("positive", x > 0, x < 0), ("negative", x < 0, x > 0)):
            mostly = 2 * wrong[elsewhere].sum() > elsewhere.sum()
            if mostly and not wrong[there].any():
                return f"{p.name} is right where {name} is {sign} and wrong where it is not"
    return None


def _views(array: Any) -> list[Array]:
    if not isinstance(array, np.ndarray) or array.dtype != np.bool_:
        return []
    return [array, array[..., None]] if array.ndim else []
