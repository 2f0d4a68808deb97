"""Sum of two arrays: residual connections and position embeddings."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.broadcasting import unbroadcast
from minitransformer.ops.checks import check_gradient, require_floats


class AddCache(NamedTuple):
    """What add's backward needs."""

    a_shape: tuple[int, ...]
    b_shape: tuple[int, ...]
    dtype: Any


def _check(a: Any, b: Any) -> None:
    require_floats("add", a=a, b=b)
    if a.shape == b.shape:
        return
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(
            f"add: a has shape {a.shape} and b {b.shape}, expected shapes that broadcast"
        ) from None


def _like_y(cache: Any) -> tuple[tuple[int, ...], Any]:
    return np.broadcast_shapes(cache.a_shape, cache.b_shape), cache.dtype


@op(_check)
def add_forward(
    a: Float[np.ndarray, "..."], b: Float[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, "..."], AddCache]:
    """Add two arrays, repeating size-1 and missing leading axes.

    Parameters
    ----------
    a, b : shapes that broadcast

    Returns
    -------
    y : the broadcast shape
    cache : AddCache

    Raises
    ------
    ValueError
        If the shapes do not broadcast.

    Notes
    -----
    Forward: ``y = a + b``.

    Backward: the slope is 1 in both: ``da = dy`` and ``db = dy``. An argument that was repeated
    meets several elements of y, so its gradient is their sum.
    """
    return a + b, AddCache(a.shape, b.shape, a.dtype)


@op(check_gradient("add", _like_y))
def add_backward(
    dy: Float[np.ndarray, "..."], cache: AddCache
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Gradients ``(da, db)`` of :func:`add_forward`, with the shapes of a and b."""
    # y = a + b
    return np.array(unbroadcast(dy, cache.a_shape)), np.array(unbroadcast(dy, cache.b_shape))
