"""Explanations of a gradient that is wrong as a whole.

Each is a function ``Evidence -> sentence | None``. The first five are tried on a wrong shape, the
next two where the true gradient is zero, the others on wrong values.
"""

from itertools import permutations

import numpy as np

from minitransformer.testing.evidence import FIT, Evidence, agree, fit, fits_along
from minitransformer.testing.ratios import name_ratio


def transposed(e: Evidence) -> str | None:
    """Two or more axes are exchanged."""
    axes = range(e.analytic.ndim)
    for order in sorted(
        permutations(axes), key=lambda p: sum(i != j for i, j in zip(p, axes, strict=True))
    ):
        if list(order) != list(axes) and e.is_true(e.analytic.transpose(order)):
            moved = [i for i in axes if order[i] != i]
            return (
                f"{e.gradient} is the transpose of the true one (axes {moved} exchanged): look "
                "at the order of the factors in the matrix product, or at the axes of the transpose"
            )
    return None


def swapped_arguments(e: Evidence) -> str | None:
    """The gradient belongs to another argument."""
    for name, gradient in e.others.items():
        if e.analytic.shape == gradient.shape and agree(e.analytic, gradient):
            return (
                f"what stands in the place of {e.gradient} is the gradient of {name}: the tuple "
                "must be in the order of forward's arguments"
            )
    return None


def broadcast_not_summed(e: Evidence) -> str | None:
    """Forward broadcast the argument; backward forgot to add up."""
    shape = e.numeric.shape
    extra = e.analytic.ndim - len(shape)
    if extra < 0:
        return None
    stretched = tuple(
        i + extra for i, n in enumerate(shape) if n == 1 != e.analytic.shape[i + extra]
    )
    axes = tuple(range(extra)) + stretched
    summed = e.analytic.sum(stretched, keepdims=True).sum(tuple(range(extra)))
    if e.analytic.size == e.numeric.size or not e.is_true(summed):
        return None
    return (
        f"{e.gradient} has the broadcast shape {e.analytic.shape}, not the shape {shape} of "
        f"{e.argument}: each entry of {e.argument} was used many times in forward, so its gradient "
        f"is the sum over axes {list(axes)}"
    )


def group_not_summed(e: Evidence) -> str | None:
    """Forward repeated the entries of an axis (grouped queries); backward forgot to add up."""
    shape, got = e.numeric.shape, e.analytic.shape
    longer = [i for i, (n, m) in enumerate(zip(shape, got, strict=False)) if n and m > n]
    if len(shape) != len(got) or len(longer) != 1 or got[longer[0]] % shape[longer[0]]:
        return None
    (axis,) = longer
    times = got[axis] // shape[axis]
    grouped = e.analytic.reshape(*got[:axis], shape[axis], times, *got[axis + 1 :])
    if not e.is_true(grouped.sum(axis + 1)):
        return None
    return (
        f"axis {axis} of {e.gradient} is {times} times too long: each entry of {e.argument} along "
        f"it serves a group of {times} in forward, so its gradient is the sum over this group"
    )


def wrong_shape(e: Evidence) -> str:
    """Nothing better can be said about a wrong shape."""
    same = e.analytic.size == e.numeric.size and agree(
        e.analytic.reshape(e.numeric.shape), e.numeric
    )
    return (
        f"{e.gradient} has shape {e.analytic.shape}, expected {e.numeric.shape}, the shape of "
        f"{e.argument}" + ("; its numbers are right, it only needs a reshape" if same else "")
    )


def vacuous(e: Evidence) -> str | None:
    """The true gradient is zero, and so is the one on trial."""
    if e.analytic.any() and np.abs(e.analytic).max() > e.floor * FIT:
        return None
    return (
        f"y does not depend on {e.argument} here, so a zero {e.gradient} is right, but proves "
        "nothing: `return 0` would pass. Check the op before it is summed (softmax rows always add "
        "up to 1), at random inputs"
    )


def should_be_zero(e: Evidence) -> str:
    """The true gradient is zero, the one on trial is not."""
    return f"y does not depend on {e.argument} here, so {e.gradient} must be zero"


def dy_ignored(e: Evidence) -> str | None:
    """The gradient does not depend on dy."""
    if e.tripled is None or not agree(e.tripled, e.analytic):
        return None
    return (
        f"{e.gradient} does not change with dy: by the chain rule the gradient that arrives from "
        "above enters everything that backward returns, even for a loss"
    )


def zero(e: Evidence) -> str | None:
    """No gradient at all."""
    if e.analytic.any():
        return None
    return f"{e.gradient} is zero everywhere: no gradient flows back to {e.argument}"


def dtype_lost(e: Evidence) -> str | None:
    """Right up to the rounding of float32."""
    error = np.nanmax(np.abs(e.difference)) / np.nanmax(np.abs(e.numeric))
    if error > 2e-6:
        return None
    return (
        f"{e.gradient} is off by {error:.0e} only, the rounding of float32, although all arguments "
        "are float64: look for a dtype written out, or for a small constant that differs"
    )


def nearly_right(e: Evidence) -> str | None:
    """Too far off for rounding, too near for a forgotten term."""
    if not agree(e.analytic, e.numeric):
        return None
    return (
        f"{e.gradient} is right to about five digits: too far off for rounding, so a small "
        "constant (eps?) is left out or stands in another place than in forward"
    )


def constant_ratio(e: Evidence) -> str | None:
    """Every entry is off by the same factor."""
    inverse = fit(e.numeric, e.analytic)
    if not inverse:
        return None
    ratio = 1 / inverse
    named = name_ratio(ratio, e)
    if named:
        return f"{e.gradient} is {named[0]} the true gradient in every entry; {named[1]}"
    if e.known.sum() < 2:
        return None
    return (
        f"{e.gradient} is {ratio:.6g} times the true gradient in every entry: a constant factor is "
        "wrong"
    )


def wrong_factor(e: Evidence) -> str | None:
    """An array was not multiplied by, or once too often."""
    if np.count_nonzero(e.numeric[e.known]) < 3:
        return None
    for name, array in e.candidates():
        missing = fit(e.numeric, e.analytic * array)
        if missing is not None:
            return f"{e.gradient} lacks the factor {name}{_times(missing, e)}"
        inverse = fit(np.where(e.known, e.analytic, np.nan), e.numeric * array)
        if inverse is not None:
            return (
                f"{e.gradient} is the true gradient times {name}{_times(inverse, e)}: this factor "
                "is one too many, or a division by it is missing"
            )
    return None


def wrong_contribution(e: Evidence) -> str | None:
    """One term of a sum is missing, or is there twice."""
    if e.wrong.sum() < 3:
        return None
    for name, array in e.candidates():
        c = fit(e.difference, array)
        if c is not None:
            verb = "is missing" if c < 0 else "is one too many"
            direct = ", the direct path from input to output (a residual)," if name == "dy" else ""
            return (
                f"the contribution {name}{_times(abs(c), e)}{direct} {verb} in {e.gradient}: when "
                f"{e.argument} reaches y on several paths, their gradients add up"
            )
    return None


def factor_outside_mean(e: Evidence) -> str | None:
    """A mean was subtracted before something multiplied that belongs in front of it."""
    for axis in (axis for axis in reversed(range(e.numeric.ndim)) if e.numeric.shape[axis] > 2):
        if not _sums_to_zero(e.numeric, axis) or _sums_to_zero(e.analytic, axis):
            continue
        for name, array in e.candidates():
            if array.all() and _sums_to_zero(e.analytic / array, axis):
                return (
                    f"the true {e.gradient} adds up to 0 along {e.axis_name(axis)}, and yours does "
                    f"when it is divided by {name}: {name} belongs inside the sums (or means) over "
                    "this axis, so multiply by it before they are taken"
                )
    return None


def missing_constant_term(e: Evidence) -> str | None:
    """What is missing is constant along an axis, perhaps times a known array."""
    ones = np.ones(e.numeric.shape)
    factors = [("", ones)] + [(name, array * ones) for name, array in e.candidates()]
    for axis in reversed(range(e.numeric.ndim)):
        for name, array in factors:
            if fits_along(e.difference, array, axis):
                what = f"{name} times a number" if name else "a number"
                return (
                    f"{e.gradient} is off by {what} that is constant along {e.axis_name(axis)}: a "
                    "term with a sum (or mean) over this axis is missing. In forward each entry "
                    "changes the whole row, since all of them enter its sum"
                )
    return None


def not_linear_in_dy(e: Evidence) -> str | None:
    """Backward is always linear in dy."""
    if e.tripled is None or agree(e.tripled, 3 * e.analytic):
        return None
    return f"{e.gradient} is not 3 times as large for 3 dy, but backward is always linear in dy"


def _sums_to_zero(gradient: np.ndarray, axis: int) -> bool:
    largest = np.abs(gradient).max(initial=0.0)
    return bool((np.abs(gradient.sum(axis)) <= FIT * largest).all())


def _times(c: float, e: Evidence) -> str:
    if abs(c - 1) < FIT:
        return ""
    named = name_ratio(c, e)
    return f" (times {c:.6g}; {named[1]})" if named else f" (times {c:.6g})"
