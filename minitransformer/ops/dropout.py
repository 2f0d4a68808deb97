"""Inverted dropout with a mask that the caller draws."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from minitransformer.backend import op
from minitransformer.ops.checks import (
    check_gradient,
    require_boolean,
    require_floats,
    require_probability,
    require_shape,
)


class DropoutCache(NamedTuple):
    """What dropout's backward needs."""

    keep: np.ndarray | None  # the shape of x; None: nothing was dropped
    p: float
    shape: tuple[int, ...]
    dtype: Any


def _check(x: Any, keep: Any, p: float) -> None:
    require_floats("dropout", x=x)
    require_probability("dropout", "p", p)
    if keep is not None:
        require_boolean("dropout", "keep", keep)
        require_shape("dropout", "keep", keep, x.shape, "the shape of x")


def drop(x: np.ndarray, keep: np.ndarray | None, p: float) -> np.ndarray:
    """``x / (1 - p)`` where keep, else 0; a copy of x without keep."""
    return x.copy() if keep is None else np.where(keep, x * (1.0 / (1.0 - float(p))), 0.0)


@op(_check)
def dropout_forward(
    x: Float[np.ndarray, "*shape"], keep: Bool[np.ndarray, "*shape"] | None, p: float
) -> tuple[Float[np.ndarray, "*shape"], DropoutCache]:
    """Set dropped values to 0 and divide the kept ones by ``1 - p``, so that the mean stays.

    Parameters
    ----------
    x : any shape
    keep : the shape of x
        True = keep, drawn by the caller with probability ``1 - p``; None = keep everything
        unscaled, as outside training.
    p
        Probability of dropping, 0 <= p < 1.

    Returns
    -------
    y : the shape of x
    cache : DropoutCache

    Raises
    ------
    ValueError
        If p is outside [0, 1) or keep does not have the shape of x.

    Notes
    -----
    Forward: ``y = x keep / (1 - p)``, linear in x with a constant weight for each element.

    Backward: the same weight: ``dx = dy keep / (1 - p)``.

    References
    ----------
    Srivastava et al. (2014), Dropout, JMLR 15.
    """
    return drop(x, keep, p), DropoutCache(keep, p, x.shape, x.dtype)


@op(check_gradient("dropout", lambda cache: (cache.shape, cache.dtype)))
def dropout_backward(
    dy: Float[np.ndarray, "*shape"], cache: DropoutCache
) -> tuple[Float[np.ndarray, "*shape"]]:
    """Gradient ``(dx,)`` of :func:`dropout_forward`."""
    # y = drop(x, keep, p)
    return (drop(dy, cache.keep, cache.p),)
