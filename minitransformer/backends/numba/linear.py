"""Affine map of the last axis: three matrix products and a sum."""

import math

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.gemm import multiply
from minitransformer.backends.numba.matvec import FEW, add_product
from minitransformer.backends.numba.threads import SHARDS, Array, compiled, part_of, sharded
from minitransformer.ops.linear import LinearCache


@kernel("numba", ops.linear_forward)
def linear_forward(
    x: Array, w: Array, b: Array | None = None, transposed: bool = False
) -> tuple[Array, LinearCache]:
    """Multiply all rows at once; every row of sums starts from b. Few rows need no packing."""
    rows = _rows(x)
    weights = w.T if transposed else w
    y = np.empty((len(rows), weights.shape[1]), x.dtype)
    if len(rows) <= FEW:
        y[:] = 0 if b is None else b
        add_product(rows, weights, y)
    else:
        multiply(rows, weights, y, b)
    return y.reshape(*x.shape[:-1], y.shape[1]), LinearCache(x, w, b is not None, transposed)


@kernel("numba", ops.linear_backward)
def linear_backward(dy: Array, cache: LinearCache) -> tuple[Array, Array, Array | None]:
    """Multiply by the transposes, which are packed as they lie."""
    x, w, has_bias, transposed = cache
    rows, drows = _rows(x), _rows(dy)
    # y += b
    db = column_sums(drows) if has_bias else None
    # y = rows @ (w.T if transposed else w)
    dw = np.empty(w.shape, w.dtype)
    multiply(*((drows.T, rows) if transposed else (rows.T, drows)), dw)
    dx = np.empty(rows.shape, x.dtype)
    multiply(drows, w if transposed else w.T, dx)
    return dx.reshape(x.shape), dw, db


def column_sums(x: Array) -> Array:
    """Sum the rows of a matrix, in the same order on any number of cores."""
    parts = np.zeros((SHARDS, x.shape[1]), x.dtype)
    _sum_rows(x, parts)
    total: Array = parts.sum(axis=0)
    return total


@sharded(any_strides=1)
@compiled
def _sum_rows(x: Array, parts: Array, shard: int, shards: int) -> None:
    part = part_of(len(x), shard, shards)
    for i in range(part.start, part.stop):
        for j in range(x.shape[1]):
            parts[shard, j] += x[i, j]


def _rows(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
