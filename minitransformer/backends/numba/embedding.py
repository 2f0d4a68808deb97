"""Embedding: rows are copied, and their gradients added back in the order of positions.

Two cores that add to one row would have to agree on who comes first. So each takes some of the
columns of all rows, and no two ever meet.
"""

import math

import numpy as np
from numba import prange

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import rows, shard
from minitransformer.backends.numba.threads import SHARDS, Array, compiled, parallel
from minitransformer.ops.embedding import EmbeddingCache

_COLUMNS = 64
"""Width of a block of columns: whole cache lines."""


@compiled
def _gather(ids: Array, w: Array, y: Array) -> None:
    for n in range(ids.size):
        row = w[ids[n]]
        for c in range(row.size):
            y[n, c] = row[c]


@parallel
def _gather_shards(ids: Array, w: Array, y: Array) -> None:
    for s in prange(SHARDS):
        part = shard(s, ids.size)
        _gather(ids[part], w, y[part])


@kernel("numba", ops.embedding_forward)
def embedding_forward(ids: Array, w: Array) -> tuple[Array, EmbeddingCache]:
    """A read-only table, such as a memory map, is not copied: it may be huge."""
    y = np.empty((*ids.shape, w.shape[1]), w.dtype)
    _gather_shards(_flat_ids(ids), np.ascontiguousarray(w), rows(y))
    return y, EmbeddingCache(ids, w)


@compiled
def _scatter(ids: Array, dy: Array, start: int, dw: Array) -> None:
    block = slice(start, start + _COLUMNS)
    for n in range(ids.size):
        source, target = dy[n][block], dw[ids[n]][block]
        for c in range(source.size):
            target[c] += source[c]


@parallel
def _scatter_blocks(ids: Array, dy: Array, dw: Array) -> None:
    for block in prange(-(-dw.shape[1] // _COLUMNS)):
        _scatter(ids, dy, block * _COLUMNS, dw)


@kernel("numba", ops.embedding_backward)
def embedding_backward(dy: Array, cache: EmbeddingCache) -> tuple[Array]:
    """Each block of columns walks through all positions."""
    ids, w = cache
    dw = np.zeros(w.shape, w.dtype)
    _scatter_blocks(_flat_ids(ids), rows(dy), dw)
    return (dw,)


def _flat_ids(ids: Array) -> Array:
    return np.array(ids, np.int64).reshape(math.prod(ids.shape))
