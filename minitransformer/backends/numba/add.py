"""Add: what repeats is added to every repetition, and backward sums over them."""

import math

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import flat, own
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.ops.add import AddCache
from minitransformer.ops.broadcasting import unbroadcast


@sharded()
@compiled
def _add(a: Array, b: Array, y: Array, shard: int, shards: int) -> None:
    """``y[n] = a[n] + b``."""
    part = part_of(b.size, shard, shards)
    for n in range(y.shape[0]):
        left, right, total = a[n][part], b[part], y[n][part]
        for i in range(total.size):
            total[i] = left[i] + right[i]


@kernel("numba", ops.add_forward)
def add_forward(a: Array, b: Array) -> tuple[Array, AddCache]:
    """Arguments of one shape, or one with the last axes of the other, are added as they are."""
    shape = a.shape if a.shape == b.shape else np.broadcast_shapes(a.shape, b.shape)
    whole, part = (a, b) if a.shape == shape else (b, a)
    if whole.shape != shape or not _is_repeated(part.shape, shape):
        whole, part = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
    y = np.empty(shape, a.dtype)
    if y.size:
        repetitions = (y.size // part.size, part.size)
        _add(own(whole).reshape(repetitions), flat(part), y.reshape(repetitions))
    return y, AddCache(a.shape, b.shape, a.dtype)


def _is_repeated(part: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return part == shape[len(shape) - len(part) :]


@sharded()
@compiled
def _sum_repetitions(dy: Array, db: Array, shard: int, shards: int) -> None:
    """``db = sum over n of dy[n]``."""
    part = part_of(db.size, shard, shards)
    total = db[part]
    total[:] = db.dtype.type(0)
    for n in range(dy.shape[0]):
        repetition = dy[n][part]
        for i in range(total.size):
            total[i] += repetition[i]


def _reduced(dy: Array, shape: tuple[int, ...]) -> Array:
    if shape == dy.shape:
        return np.array(dy)
    if not _is_repeated(shape, dy.shape):
        return np.array(unbroadcast(dy, shape))
    total = np.empty(shape, dy.dtype)
    repetitions = math.prod(dy.shape[: dy.ndim - len(shape)])
    _sum_repetitions(own(dy).reshape(repetitions, total.size), total.reshape(-1))
    return total


@kernel("numba", ops.add_backward)
def add_backward(dy: Array, cache: AddCache) -> tuple[Array, Array]:
    """A copy for what was not repeated."""
    return _reduced(dy, cache.a_shape), _reduced(dy, cache.b_shape)
