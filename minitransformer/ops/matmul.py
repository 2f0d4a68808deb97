"""Batched matrix product."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.broadcasting import unbroadcast
from minitransformer.ops.checks import check_gradient, require_axes, require_floats


class MatmulCache(NamedTuple):
    """What matmul's backward needs."""

    a: np.ndarray  # (..., M, K)
    b: np.ndarray  # (..., K, N)


def _check(a: Any, b: Any) -> None:
    require_floats("matmul", a=a, b=b)
    require_axes("matmul", "a", a, 2)
    require_axes("matmul", "b", b, 2)
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"matmul: a has shape {a.shape} and b {b.shape}; expected a's last axis "
            f"({a.shape[-1]}) to equal b's last but one ({b.shape[-2]})"
        )
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(
            f"matmul: a has shape {a.shape} and b {b.shape}; expected leading axes that broadcast"
        ) from None


def _like_y(cache: Any) -> tuple[tuple[int, ...], Any]:
    batch = np.broadcast_shapes(cache.a.shape[:-2], cache.b.shape[:-2])
    return (*batch, cache.a.shape[-2], cache.b.shape[-1]), cache.a.dtype


@op(_check)
def matmul_forward(
    a: Float[np.ndarray, "... M K"], b: Float[np.ndarray, "... K N"]
) -> tuple[Float[np.ndarray, "... M N"], MatmulCache]:
    """Multiply matrices; leading axes are batch axes and broadcast.

    Parameters
    ----------
    a : (..., M, K)
    b : (..., K, N)

    Returns
    -------
    y : (..., M, N)
    cache : MatmulCache

    Raises
    ------
    ValueError
        If the inner axes differ or the batch axes do not broadcast.

    Notes
    -----
    Forward: ``y[m, n] = sum_k a[m, k] b[k, n]``.

    Backward: ``a[m, k]`` meets every ``y[m, n]`` with weight ``b[k, n]``, so
    ``da[m, k] = sum_n dy[m, n] b[k, n]``, that is ``da = dy b^T``; likewise ``db = a^T dy``.
    A batch axis along which an argument was repeated is summed.
    """
    y = a @ b
    return y, MatmulCache(a, b)


@op(check_gradient("matmul", _like_y))
def matmul_backward(
    dy: Float[np.ndarray, "... M N"], cache: MatmulCache
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Gradients ``(da, db)`` of :func:`matmul_forward`, with the shapes of a and b."""
    a, b = cache
    # y = a @ b
    da = dy @ b.swapaxes(-1, -2)
    db = a.swapaxes(-1, -2) @ dy
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)
