"""Verbs on state. What is not contiguous is left to the textbook."""

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import flat, is_plain
from minitransformer.backends.numba.threads import (
    SHARDS,
    Array,
    compiled,
    part_of,
    reassociated,
    seen_by_python,
    sharded,
)

_textbook_accumulate = ops.accumulate.impls["numpy"]
_textbook_scale = ops.scale_.impls["numpy"]
_textbook_zero = ops.zero_.impls["numpy"]


@sharded()
@compiled
def _accumulate(total: Array, part: Array, shard: int, shards: int) -> None:
    piece = part_of(total.size, shard, shards)
    total, part = total[piece], part[piece]
    for i in range(total.size):
        total[i] += part[i]


@kernel("numba", ops.accumulate)
def accumulate(total: Array, part: Array) -> None:
    """One pass."""
    if is_plain(total) and not np.may_share_memory(total, part):
        _accumulate(flat(total), flat(part))
    else:
        _textbook_accumulate(total, part)


@sharded()
@compiled
def _scale(x: Array, factor: float, shard: int, shards: int) -> None:
    x = x[part_of(x.size, shard, shards)]
    by = x.dtype.type(factor)
    for i in range(x.size):
        x[i] *= by


@kernel("numba", ops.scale_)
def scale_(x: Array, factor: float) -> None:
    """One pass."""
    if is_plain(x):
        _scale(flat(x), float(factor))
    else:
        _textbook_scale(x, factor)


@sharded()
@compiled
def _zero(x: Array, shard: int, shards: int) -> None:
    x = x[part_of(x.size, shard, shards)]
    for i in range(x.size):
        x[i] = x.dtype.type(0)


@kernel("numba", ops.zero_)
def zero_(x: Array) -> None:
    """One pass."""
    if is_plain(x):
        _zero(flat(x))
    else:
        _textbook_zero(x)


@sharded()
@reassociated
def _sum_of_squares(x: Array, totals: Array, shard: int, shards: int) -> None:
    x = x[part_of(x.size, shard, shards)]
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i]) * np.float64(x[i])
    totals[shard] = total


@kernel("numba", ops.sum_of_squares)
def sum_of_squares(x: Array) -> float:
    """Shards add up in float64, and then one another, in their order."""
    totals = np.empty(SHARDS)
    _sum_of_squares(flat(x), totals)
    return float(totals.sum())


@seen_by_python
@compiled
def _append(buffer: Array, length: int, new: Array) -> None:
    for b in range(new.shape[0]):
        for h in range(new.shape[1]):
            for t in range(new.shape[2]):
                source, target = new[b, h, t], buffer[b, h, length + t]
                for d in range(source.size):
                    target[d] = source[d]


@kernel("numba", ops.kv_append)
def kv_append(keys: Array, values: Array, length: int, k: Array, v: Array) -> tuple[Array, Array]:
    """A copy by one core: a token brings little."""
    end = length + k.shape[2]
    _append(keys, length, k)
    _append(values, length, v)
    return keys[:, :, :end], values[:, :, :end]
