"""Affine map of the last axis: three matrix products and a sum."""

import math

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import rows
from minitransformer.backends.numba.endings import NOTHING
from minitransformer.backends.numba.gemm import multiply
from minitransformer.backends.numba.matvec import FEW, add_product
from minitransformer.backends.numba.threads import Array
from minitransformer.ops.linear import LinearCache


@kernel("numba", ops.linear_forward)
def linear_forward(
    x: Array, w: Array, b: Array | None = None, transposed: bool = False
) -> tuple[Array, LinearCache]:
    """Multiply all rows at once; every row of sums starts from b. Few rows need no packing."""
    cache, weights = LinearCache(x, w, b is not None, transposed), w.T if transposed else w
    if math.prod(x.shape[:-1]) > FEW:
        return affine(x, weights, b), cache
    y = np.empty((*x.shape[:-1], weights.shape[1]), x.dtype)
    y[:] = 0 if b is None else b
    add_product(_rows(x), weights, _rows(y))
    return y, cache


@kernel("numba", ops.linear_backward)
def linear_backward(dy: Array, cache: LinearCache) -> tuple[Array, Array, Array | None]:
    """Multiply by the transposes, which are packed as they lie."""
    db = np.zeros(dy.shape[-1], dy.dtype) if cache.has_bias else None
    dw = np.zeros(cache.w.shape, dy.dtype)
    return add_gradients(dy, cache, dw, db), dw, db


def affine(
    x: Array, w: Array, b: Array | None, ending: int = NOTHING, other: Array | None = None
) -> Array:
    """Compute ``x w + b``, and what :func:`.multiply` does with it in the end."""
    y = np.empty((*x.shape[:-1], w.shape[1]), x.dtype)
    end = ending, None if other is None else rows(other)
    multiply(_rows(x), w, _rows(y), b, False, *end)
    return y


def add_gradients(
    dy: Array,
    cache: LinearCache,
    dw: Array,
    db: Array | None,
    ending: int = NOTHING,
    other: Array | None = None,
) -> Array:
    """Add the gradients of w and b to arrays; returns dx, as an ending of its product leaves it."""
    x, w, _, transposed = cache
    x_rows, dy_rows = _rows(x), rows(dy)
    # y += b
    # y = x_rows @ (w.T if transposed else w)
    if not transposed:
        multiply(x_rows.T, dy_rows, dw, add=True, sums=db)
    else:
        multiply(dy_rows.T, x_rows, dw, add=True)
        if db is not None:
            multiply(np.ones((1, len(dy_rows)), dy.dtype), dy_rows, db.reshape(1, -1), add=True)
    return affine(dy_rows, w if transposed else w.T, None, ending, other).reshape(x.shape)


def _rows(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
