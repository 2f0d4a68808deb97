"""Attention without the table of scores: online softmax over blocks of keys.

The scores of 64 queries and 64 keys fit into a core's nearest cache; all of them, T by S, may not
even fit into memory. So each block of queries walks over the blocks of keys, and keeps per query

* ``top``, the largest score so far, and ``total``, the sum of ``exp(score - top)`` so far,
* ``sums``, the sum of ``exp(score - top) v`` so far.

When a block brings a larger top, what was summed so far shrinks by ``exp(old top - new top)``. In
the end ``sums / total`` is what softmax would have given, and ``top + log(total)`` is all that
backward needs to compute any probability again: ``exp(score - logsumexp)``.

References
----------
Milakov, Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867;
Dao et al. (2022), FlashAttention, arXiv:2205.14135.
"""

import math

import numpy as np

from minitransformer.backends.numba.hints import contiguous, strided
from minitransformer.backends.numba.math import exp
from minitransformer.backends.numba.packing import multiply_block, packed, parts
from minitransformer.backends.numba.threads import Array, compiled, part_of, reassociated, sharded
from minitransformer.backends.numba.tiles import ROW_BYTES

BLOCK = 64
"""Queries, and keys, of a block; a multiple of every tile's columns."""
LANES = 16
LOW = -80
"""Scores so far below the top have weight 0: their weights would be numbers so close to 0 that the
CPU falls out of step, and next to the top's weight of 1 they are nothing."""


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
    scores = np.empty((BLOCK, BLOCK), q.dtype)
    queries = np.empty((BLOCK, D), q.dtype)
    sums = np.empty((BLOCK, parts(Dv, columns) * columns), q.dtype)
    top = np.empty(BLOCK, q.dtype)
    total = np.empty(BLOCK, q.dtype)
    heads = part_of(B * H, shard, shards)
    for n in range(heads.start, heads.stop):
        b, h = n // H, n % H
        g = h // (H // Hk)
        keys, values = packed(k[b, g].T, scores.shape[1]), packed(v[b, g], columns)
        for t in range(0, T, BLOCK):
            rows = min(BLOCK, T - t)
            begin(q[b, h], t, rows, scale, queries, top, total, sums)
            seen = min(S, t + rows + S - T) if causal else S
            for s in range(0, seen, BLOCK):
                width = min(BLOCK, S - s)
                clear(scores)
                multiply_block(scores, strided(queries), rows, keys, D, s // columns * D, D)
                hide(scores, rows, width, t, s, S - T if causal else S)
                if has_mask:
                    apply_mask(scores, rows, width, t, s, mask[b, h])
                weigh(scores, rows, top, total, sums)
                if has_keep:
                    drop(scores, rows, width, t, s, keep[b, h], kept)
                multiply_block(sums, strided(scores), rows, values, S, s, width)
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
        for d in range(q.shape[1]):
            queries[i, d] = scale * q[t + i, d]


@compiled
def hide(scores: Array, rows: int, width: int, t: int, s: int, ahead: int) -> None:
    """Set the scores to -inf of keys that do not exist or lie in the future.

    ``t`` and ``s`` are the block's first query and key; query t sees keys up to ``t + ahead``.
    """
    for i in range(rows):
        for j in range(max(min(width, t + i + ahead + 1 - s), 0), BLOCK):
            scores[i, j] = -np.inf


@compiled
def apply_mask(scores: Array, rows: int, width: int, t: int, s: int, mask: Array) -> None:
    """Set the scores to -inf of masked keys."""
    for i in range(rows):
        for j in range(width):
            if not mask[t + i, s + j]:
                scores[i, j] = -np.inf


@compiled
def weight(x: float, low: float) -> float:
    """Compute exp(x), or 0 below ``low``."""
    raised: float = exp(low if x < low else x)
    return low - low if x < low else raised


@reassociated
def weigh(scores: Array, rows: int, top: Array, total: Array, sums: Array) -> None:
    """Turn scores into ``exp(score - top)``, after shrinking what was summed with a lower top."""
    highest = np.empty(LANES, scores.dtype)
    zero, low = scores.dtype.type(0), scores.dtype.type(LOW)
    for i in range(rows):
        highest[:] = top[i]
        for j in range(0, BLOCK, LANES):
            for lane in range(LANES):
                score = scores[i, j + lane]
                highest[lane] = score if score > highest[lane] else highest[lane]
        new = highest[0]
        for lane in range(1, LANES):
            new = max(new, highest[lane])
        reference = new if new != -np.inf else zero
        shrink = exp(top[i] - reference)
        top[i] = new
        added = zero
        for j in range(BLOCK):
            scores[i, j] = weight(scores[i, j] - reference, low)
            added += scores[i, j]
        total[i] = total[i] * shrink + added
        for d in range(sums.shape[1]):
            sums[i, d] *= shrink


@compiled
def drop(probs: Array, rows: int, width: int, t: int, s: int, keep: Array, kept: float) -> None:
    """Drop probabilities as ``keep`` says, and raise those that are kept."""
    for i in range(rows):
        for j in range(width):
            probs[i, j] = probs[i, j] * kept if keep[t + i, s + j] else 0
