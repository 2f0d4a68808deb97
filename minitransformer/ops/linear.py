"""Affine map of the last axis."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import check_gradient, require_axes, require_floats, require_shape


class LinearCache(NamedTuple):
    """What linear's backward needs."""

    x: np.ndarray  # (..., I)
    w: np.ndarray  # (I, O), or (O, I) if transposed
    has_bias: bool
    transposed: bool


def _check(x: Any, w: Any, b: Any = None, transposed: bool = False) -> None:
    require_floats("linear", x=x, w=w, b=b)
    require_axes("linear", "x", x, 1)
    if len(w.shape) != 2:
        raise ValueError(f"linear: w has shape {w.shape}, expected 2 axes")
    inputs, outputs = w.shape[::-1] if transposed else w.shape
    if x.shape[-1] != inputs:
        raise ValueError(
            f"linear: x has shape {x.shape}, expected a last axis of {inputs} (w is {w.shape})"
        )
    if b is not None:
        require_shape("linear", "b", b, (outputs,), f"one per output of w, which is {w.shape}")


def _like_y(cache: Any) -> tuple[tuple[int, ...], Any]:
    outputs = cache.w.shape[0 if cache.transposed else 1]
    return (*cache.x.shape[:-1], outputs), cache.x.dtype


@op(_check)
def linear_forward(
    x: Float[np.ndarray, "*leading I"],
    w: Float[np.ndarray, "_ _"],
    b: Float[np.ndarray, " O"] | None = None,
    transposed: bool = False,
) -> tuple[Float[np.ndarray, "*leading O"], LinearCache]:
    """Map the last axis from I inputs to O outputs: ``y = x w + b``.

    Parameters
    ----------
    x : (..., I)
    w : (I, O)
    b : (O,), optional
    transposed
        w is stored as (O, I), as when an embedding also serves as the output layer.

    Returns
    -------
    y : (..., O)
    cache : LinearCache

    Raises
    ------
    ValueError
        If the last axis of x does not match w, or b does not.

    Notes
    -----
    Forward: with the N leading positions as rows, ``y[n, o] = sum_i x[n, i] w[i, o] + b[o]``.

    Backward: ``dx = dy w^T``. Every row uses the same w and b, so their gradients are sums over
    rows: ``dw = x^T dy`` and ``db = sum_n dy[n]``.
    """
    rows = x.reshape(-1, x.shape[-1])
    y = rows @ (w.T if transposed else w)
    if b is not None:
        y += b
    return y.reshape(*x.shape[:-1], y.shape[-1]), LinearCache(x, w, b is not None, transposed)


@op(check_gradient("linear", _like_y))
def linear_backward(
    dy: Float[np.ndarray, "*leading O"], cache: LinearCache
) -> tuple[
    Float[np.ndarray, "*leading I"], Float[np.ndarray, "_ _"], Float[np.ndarray, " O"] | None
]:
    """Gradients ``(dx, dw, db)`` of :func:`linear_forward`; db is None without b."""
    x, w, has_bias, transposed = cache
    rows = x.reshape(-1, x.shape[-1])
    drows = dy.reshape(-1, dy.shape[-1])
    # y += b
    db = drows.sum(axis=0) if has_bias else None
    # y = rows @ (w.T if transposed else w)
    dw = drows.T @ rows if transposed else rows.T @ drows
    dx = drows @ (w if transposed else w.T)
    return dx.reshape(x.shape), dw, db
