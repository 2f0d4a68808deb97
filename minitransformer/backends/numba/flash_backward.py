"""Backward of attention, block by block: the probabilities are computed again, not remembered.

For one head, with ``p = exp(scale q k^T - logsumexp)``:

    y = drop(p) v            dv = drop(p)^T dy,   dp = drop(dy v^T)
    p = softmax(scores)      dscores = p (dp - sum_j dp p),  and  sum_j dp p = sum_d dy y
    scores = scale q k^T     dq = scale dscores k,   dk = dscores^T (scale q)

The row sum needs no probabilities: y already is their mean of v. All blocks are transposed, keys by
queries: then both products with ``^T`` read their rows as they lie. Keys come in strips of a tile's
height, each with its own first query.

References
----------
Dao et al. (2022), FlashAttention, arXiv:2205.14135.
"""

import numpy as np

from minitransformer.backends.numba.flash_forward import BLOCK, STEP, clear
from minitransformer.backends.numba.hints import contiguous, strided
from minitransformer.backends.numba.math import exp_down
from minitransformer.backends.numba.packing import multiply_strip, packed, parts
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.backends.numba.tiles import ROW_BYTES, ROWS


@sharded(any_strides=8, any_split=True, results=3)
@compiled
def backward(
    dy: Array,
    q: Array,
    k: Array,
    v: Array,
    y: Array,
    logsumexp: Array,
    mask: Array,
    keep: Array,
    has_mask: bool,
    has_keep: bool,
    causal: bool,
    scale: float,
    kept: float,
    dq: Array,
    dk: Array,
    dv: Array,
    shard: int,
    shards: int,
) -> None:
    """Differentiate some of the heads, block of keys by block of keys.

    ``dk`` and ``dv`` are (B, H, S, D): a query head's share in the gradient of its key head. Rows
    of ``dy``, ``q``, ``y`` and of the three gradients are contiguous.
    """
    (B, H, T, D), (Hk, S, Dv) = q.shape, v.shape[1:]
    columns = ROW_BYTES // q.itemsize
    d_columns, dv_columns = parts(D, columns) * columns, parts(Dv, columns) * columns
    nothing = np.zeros((ROWS, BLOCK), q.dtype)
    probs = np.empty((BLOCK, BLOCK), q.dtype)
    dscores = np.empty((BLOCK, BLOCK), q.dtype)
    one = q.dtype.type(1)
    d_all, dv_all = slice(0, d_columns), slice(0, dv_columns)
    scaled, dq_sums = np.empty((T, D), q.dtype), np.empty((T, d_columns), q.dtype)
    dk_sums = np.empty((BLOCK, d_columns), q.dtype)
    dv_sums = np.empty((BLOCK, dv_columns), q.dtype)
    heads = part_of(B * H, shard, shards)
    for n in range(heads.start, heads.stop):
        b, h = n // H, n % H
        g = h // (H // Hk)
        keys_of, values_of, dy_of = k[b, g], v[b, g], dy[b, h]
        copy_scaled(q[b, h], scale, scaled)
        clear(dq_sums)
        q_rows, dy_rows = packed(strided(scaled), columns), packed(dy_of, columns)
        q_columns, dy_columns = packed(strided(scaled.T), BLOCK), packed(dy_of.T, BLOCK)
        k_rows = packed(keys_of, columns)
        level, expected = row_terms(dy_of, y[b, h], logsumexp[b, h])
        for s in range(0, S, BLOCK):
            keys = min(BLOCK, S - s)
            clear(dk_sums)
            clear(dv_sums)
            for t in range(0, T, BLOCK):
                queries, panel = min(BLOCK, T - t), t // columns
                q_block, dy_block = q_columns[panel * D :], dy_columns[panel * Dv :]
                ahead = S - T + t - s if causal else BLOCK
                for j in range(0, keys, ROWS):
                    rows, first = min(ROWS, keys - j), max(j - ahead - ROWS, 0) // STEP * STEP
                    if first >= queries:
                        break
                    p, ds, seen = probs[j:], dscores[j:], slice(first, BLOCK)
                    multiply_strip(p, nothing, keys_of[s + j :], rows, q_block, D, D, seen)
                    multiply_strip(ds, nothing, values_of[s + j :], rows, dy_block, Dv, Dv, seen)
                    recompute(p, rows, first, level[t:])
                    if causal:
                        hide(p, rows, first, j - ahead)
                    if has_mask:
                        apply_mask(p, rows, queries, t, s + j, mask[b, h])
                    if has_keep:
                        drop(p, ds, rows, queries, t, s + j, expected, keep[b, h], kept)
                    else:
                        differentiate(p, ds, rows, first, expected[t:])
                    p_seen, ds_seen = strided(p[:, first:]), strided(ds[:, first:])
                    dk_rows, dv_rows = dk_sums[j:], dv_sums[j:]
                    at, count = t + first, queries - first
                    multiply_strip(dv_rows, dv_rows, p_seen, rows, dy_rows[at:], T, count, dv_all)
                    multiply_strip(dk_rows, dk_rows, ds_seen, rows, q_rows[at:], T, count, d_all)
                for i in range(0, queries, ROWS):
                    rows, dq_rows = min(ROWS, queries - i), dq_sums[t + i :]
                    depth, ds_seen = min(keys, i + rows + ahead), strided(dscores.T[i:])
                    if depth > 0:
                        multiply_strip(dq_rows, dq_rows, ds_seen, rows, k_rows[s:], S, depth, d_all)
            copy_scaled(dk_sums[:keys], one, dk[b, h, s:])
            copy_scaled(dv_sums[:keys], one, dv[b, h, s:])
        copy_scaled(dq_sums, scale, dq[b, h])


@compiled
def copy_scaled(x: Array, scale: float, to: Array) -> None:
    """Copy as many rows as x has and as many columns as ``to`` has, times a factor."""
    for i in range(x.shape[0]):
        source, row = contiguous(x[i]), contiguous(to[i])
        for j in range(row.size):
            row[j] = scale * source[j]


@compiled
def row_terms(dy: Array, y: Array, logsumexp: Array) -> tuple[Array, Array]:
    """Logsumexp and ``sum_d dy y`` of every query, padded to whole blocks.

    Where there is nothing to attend to, or no query, the level is infinite: probabilities are 0.
    Sums run in the order of the product ``dy v^T``: of a single key nothing is left over.
    """
    level = np.full(parts(len(y), BLOCK) * BLOCK, np.inf, y.dtype)
    expected = np.zeros(len(level), y.dtype)
    for t in range(len(y)):
        if logsumexp[t] != -np.inf:
            level[t] = logsumexp[t]
        dy_row, y_row = contiguous(dy[t]), contiguous(y[t])
        for d in range(y_row.size):
            expected[t] += dy_row[d] * y_row[d]
    return level, expected


@compiled
def recompute(scores: Array, rows: int, first: int, level: Array) -> None:
    """Turn scores, keys by queries, into probabilities."""
    levels = contiguous(level[first:BLOCK])
    for j in range(rows):
        row = contiguous(scores[j, first:])
        for i in range(row.size):
            row[i] = exp_down(row[i] - levels[i])


@compiled
def hide(probs: Array, rows: int, first: int, behind: int) -> None:
    """Set the probabilities to 0 of keys that lie in a query's future.

    Key j is seen by queries of the block from ``j + behind`` on.
    """
    for j in range(rows):
        for i in range(first, min(j + behind, BLOCK)):
            probs[j, i] = 0


@compiled
def apply_mask(probs: Array, rows: int, queries: int, t: int, s: int, mask: Array) -> None:
    """Set the probabilities to 0 of masked keys."""
    for j in range(rows):
        for i in range(queries):
            if not mask[t + i, s + j]:
                probs[j, i] = 0


@compiled
def differentiate(probs: Array, dprobs: Array, rows: int, first: int, expected: Array) -> None:
    """Turn dprobs into dscores."""
    terms = contiguous(expected[first:BLOCK])
    for j in range(rows):
        p, dp = contiguous(probs[j, first:]), contiguous(dprobs[j, first:])
        for i in range(p.size):
            dp[i] = p[i] * (dp[i] - terms[i])


@compiled
def drop(
    probs: Array,
    dprobs: Array,
    rows: int,
    queries: int,
    t: int,
    s: int,
    expected: Array,
    keep: Array,
    kept: float,
) -> None:
    """Turn the gradient of the dropped probabilities into dscores, and drop the probabilities."""
    for j in range(rows):
        for i in range(queries):
            factor = kept if keep[t + i, s + j] else kept - kept
            dprobs[j, i] = probs[j, i] * (factor * dprobs[j, i] - expected[t + i])
            probs[j, i] *= factor
