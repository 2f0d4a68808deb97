"""Dropout: one multiplication with a choice, forward and backward alike."""

import numpy as np
from numba import prange

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import flat, shard
from minitransformer.backends.numba.threads import SHARDS, Array, compiled, parallel
from minitransformer.ops.dropout import DropoutCache


@compiled
def _drop(x: Array, keep: Array, factor: float, y: Array) -> None:
    scale, zero = x.dtype.type(factor), x.dtype.type(0)
    for i in range(x.size):
        y[i] = scale * x[i] if keep[i] else zero


@parallel
def _drop_shards(x: Array, keep: Array, factor: float, y: Array) -> None:
    for s in prange(SHARDS):
        part = shard(s, x.size)
        _drop(x[part], keep[part], factor, y[part])


def _dropped(x: Array, keep: Array | None, p: float) -> Array:
    if keep is None:
        return x.copy()
    y = np.empty(x.shape, x.dtype)
    _drop_shards(flat(x), flat(keep), 1.0 / (1.0 - float(p)), flat(y))
    return y


@kernel("numba", ops.dropout_forward)
def dropout_forward(x: Array, keep: Array | None, p: float) -> tuple[Array, DropoutCache]:
    """One pass."""
    return _dropped(x, keep, p), DropoutCache(keep, p, x.shape, x.dtype)


@kernel("numba", ops.dropout_backward)
def dropout_backward(dy: Array, cache: DropoutCache) -> tuple[Array]:
    """The same pass."""
    return (_dropped(dy, cache.keep, cache.p),)
