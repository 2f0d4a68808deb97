"""Attention without the table of scores: online softmax over blocks of keys.

The scores of 64 queries and 64 keys fit into a core's nearest cache; all of them, T by S, may not
even fit into memory. So each block of queries walks over the blocks of keys, and keeps per query

* ``top``, the largest score so far, and ``total``, the sum of ``exp(score - top)`` so far,
* ``sums``, the sum of ``exp(score - top) v`` so far.

When a block brings a larger top, what was summed so far shrinks by ``exp(old top - new top)``. In
the end ``sums / total`` is what softmax would have given, and ``top + log(total)`` is all that
backward needs to compute any probability again: ``exp(score - logsumexp)``.

Within a block the queries come in *strips* of a tile's height. A strip has its own end: where the
future is hidden, most of the diagonal's blocks beyond it is neither multiplied nor weighed.

References
----------
Milakov, Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867;
Dao et al. (2022), FlashAttention, arXiv:2205.14135.
"""

import math

import numpy as np

from minitransformer.backends.numba.hints import contiguous, strided
from minitransformer.backends.numba.math import exp_down
from minitransformer.backends.numba.packing import multiply_strip, packed, parts
from minitransformer.backends.numba.threads import Array, compiled, part_of, reassociated, sharded
from minitransformer.backends.numba.tiles import ROW_BYTES, ROWS

BLOCK = 64
"""Queries, and keys, of a block; a multiple of every tile's columns."""
LANES = 16
STEP = max(LANES, ROW_BYTES // 4)
"""Keys that a strip of queries adds to what it sees, until it sees all of a block."""


@sharded(any_strides=5, any_split=True, results=2)
@compiled
def forward(
    q: Array,
    k: Array,
    v: Array,
    mask: Array,
    keep: Array,
    has_mask: bool,
    has_keep: bool,
    causal: bool,
    scale: float,
    kept: float,
    y: Array,
    logsumexp: Array,
    shard: int,
    shards: int,
) -> None:
    """Attend in some of the heads, block of queries by block of queries.

    Parameters
    ----------
    q, k, v : (B, H, T, D), (B, Hk, S, D), (B, Hk, S, Dv)
        Rows of q are contiguous.
    mask, keep : (B, H, T, S)
        Ignored, and of any size, unless ``has_mask`` and ``has_keep``.
    scale
        Factor of the scores.
    kept
        Factor of the probabilities that are kept.
    y : (B, H, T, Dv)
        Its rows are contiguous.
    logsumexp : (B, H, T)
    """
    (B, H, T, D), (Hk, S, Dv) = q.shape, v.shape[1:]
    columns = ROW_BYTES // q.itemsize
    nothing = np.zeros((ROWS, BLOCK), q.dtype)
    scores = np.empty((ROWS, BLOCK), q.dtype)
    queries = np.empty((BLOCK, D), q.dtype)
    sums = np.empty((BLOCK, parts(Dv, columns) * columns), q.dtype)
    whole = slice(0, sums.shape[1])
    top, total = np.empty(BLOCK, q.dtype), np.empty(BLOCK, q.dtype)
    heads = part_of(B * H, shard, shards)
    for n in range(heads.start, heads.stop):
        b, h = n // H, n % H
        g = h // (H // Hk)
        keys, values = packed(k[b, g].T, BLOCK), packed(v[b, g], columns)
        for t in range(0, T, BLOCK):
            rows = min(BLOCK, T - t)
            begin(q[b, h], t, rows, scale, queries, top, total, sums)
            for s in range(0, S, BLOCK):
                width, block = min(BLOCK, S - s), keys[s // columns * D :]
                for i in range(0, rows, ROWS):
                    strip = min(ROWS, rows - i)
                    seen = min(width, t + i + strip + S - T - s) if causal else width
                    if seen <= 0:
                        continue
                    end = parts(seen, STEP) * STEP
                    multiply_strip(
                        scores, nothing, strided(queries[i:]), strip, block, D, D, slice(0, end)
                    )
                    hide(scores, strip, width, end, t + i + S - T - s if causal else S)
                    if has_mask:
                        apply_mask(scores, strip, seen, t + i, s, mask[b, h])
                    weigh(scores, i, strip, end, top, total, sums)
                    if has_keep:
                        drop(scores, strip, seen, t + i, s, keep[b, h], kept)
                    multiply_strip(
                        sums[i:], sums[i:], strided(scores), strip, values[s:], S, seen, whole
                    )
            for i in range(rows):
                share = 1 / total[i] if total[i] != 0 else total[i]
                row = contiguous(y[b, h, t + i])
                for d in range(Dv):
                    row[d] = sums[i, d] * share
                logsumexp[b, h, t + i] = top[i] + math.log(total[i])


@compiled
def clear(sums: Array) -> None:
    """Set all elements to 0."""
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            sums[i, j] = 0


@compiled
def begin(
    q: Array,
    t: int,
    rows: int,
    scale: float,
    queries: Array,
    top: Array,
    total: Array,
    sums: Array,
) -> None:
    """Scale a block of queries, and have nothing summed yet."""
    clear(sums)
    for i in range(rows):
        top[i], total[i] = -np.inf, 0
        row = contiguous(q[t + i])
        for d in range(row.size):
            queries[i, d] = scale * row[d]


@compiled
def hide(scores: Array, rows: int, width: int, end: int, ahead: int) -> None:
    """Set the scores to -inf of keys that do not exist or lie in the future.

    Query i sees keys of the block up to ``i + ahead``.
    """
    for i in range(rows):
        for j in range(max(min(width, i + ahead + 1), 0), end):
            scores[i, j] = -np.inf


@compiled
def apply_mask(scores: Array, rows: int, width: int, t: int, s: int, mask: Array) -> None:
    """Set the scores to -inf of masked keys."""
    for i in range(rows):
        for j in range(width):
            if not mask[t + i, s + j]:
                scores[i, j] = -np.inf


@reassociated
def weigh(
    scores: Array, first: int, rows: int, end: int, top: Array, total: Array, sums: Array
) -> None:
    """Turn scores into ``exp(score - top)``, after shrinking what was summed with a lower top."""
    highest = np.empty(LANES, scores.dtype)
    zero = scores.dtype.type(0)
    for r in range(rows):
        i = first + r
        highest[:] = top[i]
        for j in range(0, end, LANES):
            for lane in range(LANES):
                score = scores[r, j + lane]
                highest[lane] = score if score > highest[lane] else highest[lane]
        new = highest[0]
        for lane in range(1, LANES):
            new = highest[lane] if highest[lane] > new else new
        reference = new if new != -np.inf else zero
        shrink = exp_down(top[i] - reference)
        top[i] = new
        added = zero
        for j in range(end):
            scores[r, j] = exp_down(scores[r, j] - reference)
            added += scores[r, j]
        total[i] = total[i] * shrink + added
        for d in range(sums.shape[1]):
            sums[i, d] *= shrink


@compiled
def drop(probs: Array, rows: int, width: int, t: int, s: int, keep: Array, kept: float) -> None:
    """Drop probabilities as ``keep`` says, and raise those that are kept."""
    for i in range(rows):
        for j in range(width):
            probs[i, j] = probs[i, j] * kept if keep[t + i, s + j] else 0
