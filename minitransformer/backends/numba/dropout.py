"""Dropout: one multiplication with a choice, forward and backward alike."""

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import flat
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.ops.dropout import DropoutCache


@sharded()
@compiled
def _drop(x: Array, keep: Array, factor: float, y: Array, shard: int, shards: int) -> None:
    part = part_of(x.size, shard, shards)
    x, keep, y = x[part], keep[part], y[part]
    scale, zero = x.dtype.type(factor), x.dtype.type(0)
    for i in range(x.size):
        y[i] = scale * x[i] if keep[i] else zero


def _dropped(x: Array, keep: Array | None, p: float) -> Array:
    if keep is None:
        return x.copy()
    y = np.empty(x.shape, x.dtype)
    _drop(flat(x), flat(keep), 1.0 / (1.0 - float(p)), flat(y))
    return y


@kernel("numba", ops.dropout_forward)
def dropout_forward(x: Array, keep: Array | None, p: float) -> tuple[Array, DropoutCache]:
    """One pass."""
    return _dropped(x, keep, p), DropoutCache(keep, p, x.shape, x.dtype)


@kernel("numba", ops.dropout_backward)
def dropout_backward(dy: Array, cache: DropoutCache) -> tuple[Array]:
    """The same pass."""
    return (_dropped(dy, cache.keep, cache.p),)
