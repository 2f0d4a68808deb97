"""Batched matrix product."""

import math

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.gemm import multiply, multiply_batch
from minitransformer.backends.numba.threads import SHARDS, Array
from minitransformer.ops.broadcasting import unbroadcast
from minitransformer.ops.matmul import MatmulCache


@kernel("numba", ops.matmul_forward)
def matmul_forward(a: Array, b: Array) -> tuple[Array, MatmulCache]:
    """Multiply matrix by matrix, or all rows at once if b is one matrix for all."""
    return _product(a, b), MatmulCache(a, b)


@kernel("numba", ops.matmul_backward)
def matmul_backward(dy: Array, cache: MatmulCache) -> tuple[Array, Array]:
    """Multiply by the transposes, and sum over repetitions."""
    a, b = cache
    # y = a @ b
    da = _product(dy, b.swapaxes(-1, -2))
    if b.ndim == 2 and a.ndim > 2:
        return unbroadcast(da, a.shape), _product(_rows(a).T, _rows(dy))
    db = _product(a.swapaxes(-1, -2), dy)
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)


def _product(a: Array, b: Array) -> Array:
    if b.ndim == 2:
        y = np.empty((math.prod(a.shape[:-1]), b.shape[1]), a.dtype)
        multiply(_rows(a), b, y)
        return y.reshape(*a.shape[:-1], b.shape[1])
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = np.empty((math.prod(batch), a.shape[-2], b.shape[-1]), a.dtype)
    a, b = (_batch(x, batch) for x in (a, b))
    if len(y) < SHARDS:
        for rows, columns, products in zip(a, b, y, strict=True):
            multiply(rows, columns, products)
    else:
        multiply_batch(a, b, y)
    return y.reshape(*batch, *y.shape[1:])


def _rows(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _batch(x: Array, batch: tuple[int, ...]) -> Array:
    """Repeat matrices to fill the batch, and number them along one axis."""
    return np.broadcast_to(x, (*batch, *x.shape[-2:])).reshape(math.prod(batch), *x.shape[-2:])
