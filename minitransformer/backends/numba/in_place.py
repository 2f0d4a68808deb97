"""Verbs on state. What is small, or not contiguous, is left to the textbook."""

import numpy as np
from numba import prange

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import flat, is_plain, shard
from minitransformer.backends.numba.threads import SHARDS, Array, compiled, parallel, reassociated

_SMALL = 16_384
"""Elements below which waking the other cores costs more than they save."""

_textbook_accumulate = ops.accumulate.impls["numpy"]
_textbook_scale = ops.scale_.impls["numpy"]
_textbook_zero = ops.zero_.impls["numpy"]


def _is_worth_it(x: Array) -> bool:
    return x.size >= _SMALL and is_plain(x)


@compiled
def _accumulate(total: Array, part: Array) -> None:
    for i in range(total.size):
        total[i] += part[i]


@parallel
def _accumulate_shards(total: Array, part: Array) -> None:
    for s in prange(SHARDS):
        piece = shard(s, total.size)
        _accumulate(total[piece], part[piece])


@kernel("numba", ops.accumulate)
def accumulate(total: Array, part: Array) -> None:
    """One pass."""
    if _is_worth_it(total) and not np.may_share_memory(total, part):
        _accumulate_shards(flat(total), flat(part))
    else:
        _textbook_accumulate(total, part)


@compiled
def _scale(x: Array, factor: float) -> None:
    by = x.dtype.type(factor)
    for i in range(x.size):
        x[i] *= by


@parallel
def _scale_shards(x: Array, factor: float) -> None:
    for s in prange(SHARDS):
        _scale(x[shard(s, x.size)], factor)


@kernel("numba", ops.scale_)
def scale_(x: Array, factor: float) -> None:
    """One pass."""
    if _is_worth_it(x):
        _scale_shards(flat(x), float(factor))
    else:
        _textbook_scale(x, factor)


@compiled
def _zero(x: Array) -> None:
    for i in range(x.size):
        x[i] = x.dtype.type(0)


@parallel
def _zero_shards(x: Array) -> None:
    for s in prange(SHARDS):
        _zero(x[shard(s, x.size)])


@kernel("numba", ops.zero_)
def zero_(x: Array) -> None:
    """One pass."""
    if _is_worth_it(x):
        _zero_shards(flat(x))
    else:
        _textbook_zero(x)


@reassociated
def _sum_of_squares(x: Array) -> float:
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


@parallel
def _sum_of_squares_shards(x: Array, totals: Array) -> None:
    for s in prange(SHARDS):
        totals[s] = _sum_of_squares(x[shard(s, x.size)])


@kernel("numba", ops.sum_of_squares)
def sum_of_squares(x: Array) -> float:
    """Shards add up in float64, and then one another, in their order."""
    totals = np.empty(SHARDS)
    _sum_of_squares_shards(flat(x), totals)
    return float(totals.sum())


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
