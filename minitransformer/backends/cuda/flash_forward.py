"""Attention without the table of scores: fused into one kernel, with online softmax.

A block of threads takes some queries of one head, and walks over the keys, tile by tile. The scores
of a tile live in registers, their exponentials in shared memory for as long as they are multiplied
with the values; global memory never sees them. For T queries and S keys of width D the composed
kernels move ``6 T S`` numbers and more; here it is ``T (2 D + 1)`` for the queries and results, and
``2 S D`` for each tile of queries.

For each of its queries the block keeps three things, see :mod:`.softmax` for the first two:

* ``top``, the largest score so far, and ``total``, the sum of ``exp(score - top)`` so far,
* ``sums``, the sum of ``exp(score - top) v`` so far.

A tile with a larger top shrinks what was summed by ``exp(old top - new top)``. In the end
``sums / total`` is what softmax would have given, and ``top + log(total)`` is all that backward
needs to compute any probability again.

Thread (r, c) of 16 by 16 computes the scores of some neighbouring queries with every 16th key, and
of their results every 16th column. So the 16 threads that share a query are half a warp, and agree
on its top by shuffles.

Keys and values are widened on their way into a tile, if they are stored in 16 bits (see
:mod:`.storage`): generation reads all of them for every token. They may be buffers of which only
the first ``S`` positions are filled.

What is left: keys and values are fetched again for every tile of queries, from the GPU's second
cache as a rule; larger tiles would need more shared memory than the 48 KB of a block.

References
----------
Milakov, Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867;
Dao et al. (2022), FlashAttention, arXiv:2205.14135.
"""

import math
from typing import Any

from numba import cuda, float32

from minitransformer.backends.cuda.flash_tiles import (
    ALIGNMENT,
    HIDDEN,
    SIDE,
    Tile,
    fetch_rows,
    is_visible,
    kept_factor,
    place_of_block,
    row_max,
    row_sum,
)
from minitransformer.backends.cuda.kernel import (
    DeviceKernel,
    device_function,
    stored_as,
)
from minitransformer.backends.cuda.softmax import above, share
from minitransformer.backends.cuda.storage import STORAGES
from minitransformer.backends.cuda.vectors import copy4

HEADS = "float32[:, :, :, ::1]"
MASK = "boolean[:, :, :, ::1]"
STORED = "stored[:, :, :, ::1]"
SIGNATURE = (
    f"{HEADS}, {STORED}, {STORED}, int64, {MASK}, {MASK}, boolean, boolean, boolean, "
    f"float32, float32, {HEADS}, float32[:, :, ::1]"
)


@device_function
def clear(numbers: Any) -> None:
    """Set all registers of a table to 0."""
    for i in range(numbers.shape[0]):
        for j in range(numbers.shape[1]):
            numbers[i, j] = float32(0.0)


@device_function
def add_scores(scores: Any, queries: Any, keys: Any, row: int, column: int, width: int) -> None:
    """Multiply the thread's rows of one tile with its rows of another, four columns at a time."""
    of_query = cuda.local.array(4, float32, ALIGNMENT)
    of_key = cuda.local.array(4, float32, ALIGNMENT)
    for d in range(0, width, 4):
        for j in range(scores.shape[1]):
            copy4(of_key, 0, keys, (column + j * SIDE, d))
            for i in range(scores.shape[0]):
                copy4(of_query, 0, queries, (row + i, d))
                for n in range(4):
                    scores[i, j] += of_query[n] * of_key[n]


@device_function
def add_rows(sums: Any, weights: Any, values: Any, row: int, column: int, count: int) -> None:
    """Add ``count`` rows of values to the thread's sums, weighted."""
    of_row = cuda.local.array(4, float32, ALIGNMENT)
    for s in range(0, count, 4):
        for i in range(sums.shape[0]):
            copy4(of_row, 0, weights, (row + i, s))
            for n in range(4):
                for c in range(sums.shape[1]):
                    sums[i, c] += of_row[n] * values[s + n, column + c * SIDE]


@device_function
def weigh(scores: Any, sums: Any, top: Any, total: Any) -> None:
    """Turn scores into ``exp(score - top)``, after shrinking what was summed with a lower top."""
    for i in range(scores.shape[0]):
        highest = top[i]
        for j in range(scores.shape[1]):
            highest = max(highest, scores[i, j])
        highest = row_max(highest)
        shrink = above(top[i], highest)
        top[i] = highest
        total[i] *= shrink
        for c in range(sums.shape[1]):
            sums[i, c] *= shrink
        for j in range(scores.shape[1]):
            scores[i, j] = above(scores[i, j], highest)
            total[i] += scores[i, j]


def attend(tile: Tile, storage: str) -> DeviceKernel:
    """Make the kernel for heads of up to ``tile.width`` features, and a storage of keys."""
    width, row_length, queries_of_tile, keys_of_tile, score_row = tile
    queries_each, keys_each = queries_of_tile // SIDE, keys_of_tile // SIDE
    columns_each = width // SIDE

    def flash_forward(
        q: Any,
        k: Any,
        v: Any,
        S: int,
        mask: Any,
        keep: Any,
        has_mask: bool,
        has_keep: bool,
        causal: bool,
        scale: float,
        kept: float,
        y: Any,
        logsumexp: Any,
    ) -> None:
        queries = cuda.shared.array((queries_of_tile, row_length), float32, ALIGNMENT)
        keys = cuda.shared.array((keys_of_tile, row_length), float32, ALIGNMENT)
        values = cuda.shared.array((keys_of_tile, row_length), float32, ALIGNMENT)
        weights = cuda.shared.array((queries_of_tile, score_row), float32, ALIGNMENT)
        scores = cuda.local.array((queries_each, keys_each), float32)
        sums = cuda.local.array((queries_each, columns_each), float32)
        top = cuda.local.array(queries_each, float32)
        total = cuda.local.array(queries_each, float32)
        b, h, first = place_of_block(q, queries_of_tile)
        row, column = cuda.threadIdx.x // SIDE * queries_each, cuda.threadIdx.x % SIDE
        H, T = q.shape[1], q.shape[2]
        g = h // (H // k.shape[1])

        fetch_rows(queries, queries_of_tile, width, q, b, h, first, T)
        clear(sums)
        for i in range(queries_each):
            top[i] = float32(HIDDEN)
            total[i] = float32(0.0)
        seen = min(S, first + queries_of_tile + S - T) if causal else S
        for start in range(0, seen, keys_of_tile):
            cuda.syncthreads()  # all are done with the tiles before
            fetch_rows(keys, keys_of_tile, width, k, b, g, start, S)
            fetch_rows(values, keys_of_tile, width, v, b, g, start, S)
            cuda.syncthreads()
            clear(scores)
            add_scores(scores, queries, keys, row, column, width)
            for i in range(queries_each):
                for j in range(keys_each):
                    t, s = first + row + i, start + column + j * SIDE
                    visible = is_visible(mask, has_mask, causal, b, h, t, s, T, S)
                    scores[i, j] = scale * scores[i, j] if visible else float32(HIDDEN)
            weigh(scores, sums, top, total)
            for i in range(queries_each):
                for j in range(keys_each):
                    t, s = first + row + i, start + column + j * SIDE
                    factor = kept_factor(keep, has_keep, kept, b, h, t, s)
                    weights[row + i, column + j * SIDE] = scores[i, j] * factor
            cuda.syncthreads()
            add_rows(sums, weights, values, row, column, keys_of_tile)

        for i in range(queries_each):
            t, whole = first + row + i, row_sum(total[i])
            for c in range(columns_each):
                if t < T and column + c * SIDE < v.shape[3]:
                    y[b, h, t, column + c * SIDE] = sums[i, c] * share(whole)
            if t < T and column == 0:
                logsumexp[b, h, t] = top[i] + math.log(whole)

    flash_forward.__name__ = f"flash_forward_{width}"
    flash_forward.__doc__ = "Attend, a tile of queries a block; see the head of this file."
    return stored_as(storage, SIGNATURE, blocks=2)(flash_forward)


LEAST_OF_16_BITS = 64
"""Narrower heads, of small models, are served by this width if they are stored in 16 bits."""
TILES = {
    32: Tile(width=32, row=36, queries=64, keys=32, score_row=36),
    64: Tile(width=64, row=68, queries=64, keys=32, score_row=36),
    128: Tile(width=128, row=132, queries=32, keys=16, score_row=24),
}
KERNELS = {
    (width, STORAGES[storage]): attend(tile, storage)
    for width, tile in TILES.items()
    for storage in STORAGES
    if storage == "float32" or width >= LEAST_OF_16_BITS
}
"""By the number of features of a head, at most, and by what keys and values are stored in."""
