"""Embedding: rows are copied, and their gradients added back in the order of positions.

Two cores that add to one row would have to agree on who comes first. So each takes some of the
columns of all rows, and no two ever meet.
"""

import math

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import rows
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.ops.embedding import EmbeddingCache

FEW = 8
"""Rows that are copied before another core would be awake."""
_COLUMNS = 64
"""Width of a block of columns: whole cache lines."""

_textbook = ops.embedding_forward.impls["numpy"]


@sharded(any_strides=1, any_split=True)
@compiled
def _gather(w: Array, ids: Array, y: Array, shard: int, shards: int) -> None:
    part = part_of(ids.size, shard, shards)
    ids, y = ids[part], y[part]
    for n in range(ids.size):
        row = w[ids[n]]
        for c in range(row.size):
            y[n, c] = row[c]


@kernel("numba", ops.embedding_forward)
def embedding_forward(ids: Array, w: Array) -> tuple[Array, EmbeddingCache]:
    """The table is read as it lies, a memory map too: it may be huge."""
    if ids.size <= FEW:
        return _textbook(ids, w)  # type: ignore[no-any-return]
    y = np.empty((*ids.shape, w.shape[1]), w.dtype)
    _gather(w, _flat_ids(ids), rows(y))
    return y, EmbeddingCache(ids, w)


@sharded(any_split=True)
@compiled
def _scatter(dy: Array, ids: Array, dw: Array, shard: int, shards: int) -> None:
    blocks = part_of((dw.shape[1] + _COLUMNS - 1) // _COLUMNS, shard, shards)
    block = slice(blocks.start * _COLUMNS, blocks.stop * _COLUMNS)
    for n in range(ids.size):
        source, target = dy[n][block], dw[ids[n]][block]
        for c in range(source.size):
            target[c] += source[c]


@kernel("numba", ops.embedding_backward)
def embedding_backward(dy: Array, cache: EmbeddingCache) -> tuple[Array]:
    """Each block of columns walks through all positions."""
    ids, w = cache
    dw = np.zeros(w.shape, w.dtype)
    _scatter(rows(dy), _flat_ids(ids), dw)
    return (dw,)


def _flat_ids(ids: Array) -> Array:
    return np.array(ids, np.int64).reshape(math.prod(ids.shape))
