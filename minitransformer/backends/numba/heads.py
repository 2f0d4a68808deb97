"""Splitting and merging heads: copies of rows of D features, one head of one sequence at a time."""

import itertools

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import own
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.ops.heads import MergeHeadsCache, SplitHeadsCache


@sharded(any_split=True)
@compiled
def _gather_heads(x: Array, first: int, y: Array, shard: int, shards: int) -> None:
    """``y[b, h, t] = x[b, t, first + h]``."""
    B, H, T, D = y.shape
    pairs = part_of(B * H, shard, shards)
    for pair in range(pairs.start, pairs.stop):
        b, h = pair // H, pair % H
        for t in range(T):
            source, target = x[b, t, first + h], y[b, h, t]
            for d in range(D):
                target[d] = source[d]


@sharded(any_split=True)
@compiled
def _scatter_heads(y: Array, first: int, x: Array, shard: int, shards: int) -> None:
    """``x[b, t, first + h] = y[b, h, t]``."""
    B, H, T, D = y.shape
    pairs = part_of(B * H, shard, shards)
    for pair in range(pairs.start, pairs.stop):
        b, h = pair // H, pair % H
        for t in range(T):
            source, target = y[b, h, t], x[b, t, first + h]
            for d in range(D):
                target[d] = source[d]


def _by_head(x: Array, heads: int) -> Array:
    """(B, T, H D) as (B, T, H, D)."""
    B, T, F = x.shape
    return own(x).reshape(B, T, heads, F // heads)


@kernel("numba", ops.split_heads_forward)
def split_heads_forward(
    x: Array, heads: tuple[int, ...]
) -> tuple[tuple[Array, ...], SplitHeadsCache]:
    """One copy for each part."""
    by_head = _by_head(x, sum(heads))
    B, T, _, D = by_head.shape
    parts = tuple(np.empty((B, h, T, D), x.dtype) for h in heads)
    for part, first in zip(parts, _first_heads(heads), strict=True):
        _gather_heads(by_head, first, part)
    return parts, SplitHeadsCache(x.shape, heads, x.dtype)


@kernel("numba", ops.split_heads_backward)
def split_heads_backward(dy: tuple[Array, ...], cache: SplitHeadsCache) -> tuple[Array]:
    """One copy for each part, back to where it came from."""
    dx = np.empty(cache.shape, cache.dtype)
    by_head = _by_head(dx, sum(cache.heads))
    for part, first in zip(dy, _first_heads(cache.heads), strict=True):
        _scatter_heads(own(part), first, by_head)
    return (dx,)


def _first_heads(heads: tuple[int, ...]) -> list[int]:
    """Where each part begins."""
    return [0, *itertools.accumulate(heads[:-1])]


@kernel("numba", ops.merge_heads_forward)
def merge_heads_forward(x: Array) -> tuple[Array, MergeHeadsCache]:
    """One copy."""
    B, H, T, D = x.shape
    y = np.empty((B, T, H * D), x.dtype)
    _scatter_heads(own(x), 0, y.reshape(B, T, H, D))
    return y, MergeHeadsCache(x.shape, x.dtype)


@kernel("numba", ops.merge_heads_backward)
def merge_heads_backward(dy: Array, cache: MergeHeadsCache) -> tuple[Array]:
    """One copy back."""
    B, H, T, D = cache.shape
    dx = np.empty(cache.shape, cache.dtype)
    _gather_heads(own(dy).reshape(B, T, H, D), 0, dx)
    return (dx,)
