"""Backward of attention, block by block: the probabilities are computed again, not remembered.

For one head, with ``p = exp(scale q k^T - logsumexp)``:

    y = drop(p) v            dv = drop(p)^T dy,   dp = drop(dy v^T)
    p = softmax(scores)      dscores = p (dp - sum_j dp p),  and  sum_j dp p = sum_d dy y
    scores = scale q k^T     dq = scale dscores k,   dk = dscores^T (scale q)

The row sum needs no probabilities: y already is their mean of v. All blocks are transposed, keys by
queries: then both products with ``^T`` read their rows as they lie.

References
----------
Dao et al. (2022), FlashAttention, arXiv:2205.14135.
"""

import numpy as np

from minitransformer.backends.numba.flash_forward import BLOCK, LOW, clear, weight
from minitransformer.backends.numba.hints import contiguous, strided
from minitransformer.backends.numba.packing import multiply_block, packed, parts
from minitransformer.backends.numba.threads import Array, compiled, part_of, reassociated, sharded
from minitransformer.backends.numba.tiles import ROW_BYTES


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
    of these and of ``dq`` are contiguous.
    """
    (B, H, T, D), (Hk, S, Dv) = q.shape, v.shape[1:]
    columns = ROW_BYTES // q.itemsize
    scaled = np.empty((T, D), q.dtype)
    probs = np.empty((BLOCK, BLOCK), q.dtype)
    dscores = np.empty((BLOCK, BLOCK), q.dtype)
    dq_sums = np.empty((T, parts(D, columns) * columns), q.dtype)
    dk_sums = np.empty((BLOCK, parts(D, columns) * columns), q.dtype)
    dv_sums = np.empty((BLOCK, parts(Dv, columns) * columns), q.dtype)
    heads = part_of(B * H, shard, shards)
    for n in range(heads.start, heads.stop):
        b, h = n // H, n % H
        keys_of, values_of, dy_of = k[b, h // (H // Hk)], v[b, h // (H // Hk)], dy[b, h]
        copy_scaled(strided(q[b, h]), scale, scaled)
        clear(dq_sums)
        query_rows, dy_rows = packed(strided(scaled), columns), packed(dy_of, columns)
        query_columns = packed(strided(scaled.T), probs.shape[1])
        dy_columns = packed(dy_of.T, probs.shape[1])
        key_rows = packed(keys_of, columns)
        level, expected = row_terms(dy_of, y[b, h], logsumexp[b, h])
        for s in range(0, S, BLOCK):
            keys = min(BLOCK, S - s)
            clear(dk_sums)
            clear(dv_sums)
            first = max(s - (S - T), 0) // BLOCK * BLOCK if causal else 0
            for t in range(first, T, BLOCK):
                queries, panel = min(BLOCK, T - t), t // columns
                clear(probs)
                clear(dscores)
                multiply_block(probs, keys_of[s:], keys, query_columns, D, panel * D, D)
                multiply_block(dscores, values_of[s:], keys, dy_columns, Dv, panel * Dv, Dv)
                recompute(probs, keys, t, level)
                if causal:
                    hide(probs, keys, t, s, S - T)
                if has_mask:
                    apply_mask(probs, keys, queries, t, s, mask[b, h])
                if has_keep:
                    drop(probs, dscores, keys, queries, t, s, expected, keep[b, h], kept)
                else:
                    differentiate(probs, dscores, keys, t, expected)
                p_of, ds_of = strided(probs), strided(dscores)
                multiply_block(dv_sums, p_of, keys, dy_rows, T, t, queries)
                multiply_block(dk_sums, ds_of, keys, query_rows, T, t, queries)
                multiply_block(dq_sums[t:], ds_of.T, queries, key_rows, S, s, keys)
            copy_scaled(strided(dk_sums[:keys]), 1, dk[b, h, s:])
            copy_scaled(strided(dv_sums[:keys]), 1, dv[b, h, s:])
        copy_scaled(strided(dq_sums), scale, dq[b, h])


@compiled
def copy_scaled(x: Array, scale: float, to: Array) -> None:
    """Copy the columns that ``to`` has, times a factor."""
    for i in range(x.shape[0]):
        row = contiguous(to[i])
        for j in range(row.size):
            row[j] = scale * x[i, j]


@reassociated
def row_terms(dy: Array, y: Array, logsumexp: Array) -> tuple[Array, Array]:
    """Logsumexp and ``sum_d dy y`` of every query, padded to whole blocks.

    Where there is nothing to attend to, or no query, the level is infinite: probabilities are 0.
    """
    T, Dv = y.shape
    level = np.full(-(-T // BLOCK) * BLOCK, np.inf, y.dtype)
    expected = np.zeros(len(level), y.dtype)
    for t in range(T):
        if logsumexp[t] != -np.inf:
            level[t] = logsumexp[t]
        for d in range(Dv):
            expected[t] += dy[t, d] * y[t, d]
    return level, expected


@compiled
def recompute(scores: Array, keys: int, t: int, level: Array) -> None:
    """Turn scores, keys by queries, into probabilities."""
    low = scores.dtype.type(LOW)
    for j in range(keys):
        for i in range(BLOCK):
            scores[j, i] = weight(scores[j, i] - level[t + i], low)


@compiled
def hide(probs: Array, keys: int, t: int, s: int, ahead: int) -> None:
    """Set the probabilities to 0 of keys that lie in a query's future."""
    for j in range(keys):
        for i in range(min(s + j - ahead - t, BLOCK)):
            probs[j, i] = 0


@compiled
def apply_mask(probs: Array, keys: int, queries: int, t: int, s: int, mask: Array) -> None:
    """Set the probabilities to 0 of masked keys."""
    for j in range(keys):
        for i in range(queries):
            if not mask[t + i, s + j]:
                probs[j, i] = 0


@compiled
def differentiate(probs: Array, dprobs: Array, keys: int, t: int, expected: Array) -> None:
    """Turn dprobs into dscores."""
    for j in range(keys):
        for i in range(BLOCK):
            dprobs[j, i] = probs[j, i] * (dprobs[j, i] - expected[t + i])


@compiled
def drop(
    probs: Array,
    dprobs: Array,
    keys: int,
    queries: int,
    t: int,
    s: int,
    expected: Array,
    keep: Array,
    kept: float,
) -> None:
    """Turn the gradient of the dropped probabilities into dscores, and drop the probabilities."""
    for j in range(keys):
        for i in range(queries):
            factor = kept if keep[t + i, s + j] else kept - kept
            dprobs[j, i] = probs[j, i] * (factor * dprobs[j, i] - expected[t + i])
            probs[j, i] *= factor
