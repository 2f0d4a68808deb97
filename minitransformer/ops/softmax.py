"""Softmax over the last axis, with a mask."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from minitransformer.backend import op
from minitransformer.ops.checks import (
    check_gradient,
    require_axes,
    require_boolean,
    require_broadcast,
    require_floats,
)


class SoftmaxCache(NamedTuple):
    """What softmax's backward needs."""

    probs: np.ndarray  # (..., S)


def _check(x: Any, mask: Any = None) -> None:
    require_floats("softmax", x=x)
    require_axes("softmax", "x", x, 1)
    if mask is not None:
        require_boolean("softmax", "mask", mask)
        require_broadcast("softmax", "mask", mask, x.shape, "the shape of x")


@op(_check)
def softmax_forward(
    x: Float[np.ndarray, "*leading S"], mask: Bool[np.ndarray, "..."] | None = None
) -> tuple[Float[np.ndarray, "*leading S"], SoftmaxCache]:
    """Turn scores into probabilities over the last axis.

    Parameters
    ----------
    x : (..., S)
        Scores; -inf has probability 0.
    mask : broadcasts to (..., S), optional
        True = takes part. A position that does not has probability exactly 0.

    Returns
    -------
    y : (..., S)
        Rows sum to 1, but for rows in which nothing takes part: those are 0.
    cache : SoftmaxCache

    Raises
    ------
    TypeError
        If the mask is not boolean.

    Notes
    -----
    Forward: ``y[j] = exp(x[j]) / sum_k exp(x[k])``. Subtracting the row's maximum changes nothing,
    as numerator and denominator shrink alike, and keeps exp from overflowing.

    Backward: ``dy[j]/dx[i] = y[j] ((i = j) - y[i])``: raising one score raises its own probability
    and lowers all in proportion. So ``dx[i] = sum_j dy[j] y[j] ((i = j) - y[i])
    = y[i] (dy[i] - sum_j dy[j] y[j])``. Where y is 0, dx is 0: masked scores get no gradient.
    """
    if mask is not None:
        x = np.where(mask, x, -np.inf)
    top = x.max(axis=-1, keepdims=True, initial=-np.inf)
    weights = np.exp(x - np.where(top == -np.inf, 0.0, top))
    total = weights.sum(axis=-1, keepdims=True)
    probs = weights / np.where(total == 0.0, 1.0, total)
    return probs, SoftmaxCache(probs)


@op(check_gradient("softmax", lambda cache: (cache.probs.shape, cache.probs.dtype)))
def softmax_backward(
    dy: Float[np.ndarray, "*leading S"], cache: SoftmaxCache
) -> tuple[Float[np.ndarray, "*leading S"]]:
    """Gradient ``(dx,)`` of :func:`softmax_forward`."""
    (probs,) = cache
    # y[j] = exp(x[j]) / sum_k exp(x[k])
    expected = (dy * probs).sum(axis=-1, keepdims=True)
    dx = probs * (dy - expected)
    return (dx,)
