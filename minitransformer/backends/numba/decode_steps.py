"""The steps of a block for one token, on all cores.

The cores share out the rows of a matrix, which lie one behind the other in memory. Their products
are partial sums of all the results, and the step that follows begins with adding them up.
"""

import math

import numpy as np

from minitransformer.backends.numba.activations import gelu_share
from minitransformer.backends.numba.decode_attention import softmax
from minitransformer.backends.numba.hints import never_inline
from minitransformer.backends.numba.layer_norm import mean_and_rstd
from minitransformer.backends.numba.math import exp
from minitransformer.backends.numba.matvec import add_dots, add_rows
from minitransformer.backends.numba.rms_norm import rrms_of
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded

Norm = tuple[Array, Array, float]
"""gamma, beta and eps; without a beta it is an RMS norm."""
Affine = tuple[Array, Array]
"""Matrix and bias."""
Rotary = tuple[Array, Array, bool]
"""Cosines and sines of one position, and whether neighbours are a pair."""


@sharded(steps=9)
@compiled
def block_step(
    keys: Array,
    values: Array,
    length: int,
    x: Array,
    attention_norm: Norm,
    query_key_value: Affine,
    rotary: Rotary,
    projection: Affine,
    feed_forward_norm: Norm,
    expand: Affine,
    gate: Affine,
    contract: Affine,
    is_gated: bool,
    scratch: Array,
    y: Array,
    shard: int,
    shards: int,
) -> None:
    """Do one of the steps for one shard.

    Parameters
    ----------
    keys, values : (1, Hk, S, D)
        Hold the positions before this one, which is added.
    length
        Number of those positions.
    x, y : (1, 1, C)
    scratch
        For what one step leaves to the next.
    """
    step, shard = divmod(shard, shards)
    x, y, keys, values = x[0, 0], y[0, 0], keys[0], values[0]
    C, D, F = len(x), len(projection[0]), len(contract[0])
    queries, merged = scratch[:D], scratch[D : 2 * D]
    middle, hidden = scratch[2 * D : 2 * D + C], scratch[2 * D + C : 2 * D + C + F]
    partial = scratch[2 * D + C + F :]
    sums = partial.reshape(2, shards, partial.size // (2 * shards))
    wide, inner, deep = (
        part_of(C, shard, shards),
        part_of(D, shard, shards),
        part_of(F, shard, shards),
    )
    if step == 0:
        _multiply(_normed(x, attention_norm, wide), query_key_value, wide, sums[0, shard])
    elif step == 1:
        _split(sums[0], query_key_value[1], rotary, queries, keys, values, length, shard, shards)
    elif step == 2:
        _attend(queries, keys, values, length + 1, merged, shard, shards)
    elif step == 3:
        _multiply(merged[inner], projection, inner, sums[0, shard])
    elif step == 4:
        _add_up(sums[0], projection[1], x, wide, middle)
    elif step == 5:
        normed = _normed(middle, feed_forward_norm, wide)
        _multiply(normed, expand, wide, sums[0, shard])
        if is_gated:
            _multiply(normed, gate, wide, sums[1, shard])
    elif step == 6:
        _add_up(sums[0], expand[1], expand[1][:0], deep, hidden)
        if is_gated:
            opening = np.empty_like(hidden)
            _add_up(sums[1], gate[1], gate[1][:0], deep, opening)
            _swiglu(hidden[deep], opening[deep])
        else:
            _gelu(hidden[deep])
    elif step == 7:
        _multiply(hidden[deep], contract, deep, sums[0, shard])
    else:
        _add_up(sums[0], contract[1], middle, wide, y)


@compiled
def _normed(x: Array, norm: Norm, part: slice) -> Array:
    """Part of the normalised x; every shard finds out the mean of all."""
    never_inline()
    gamma, beta, eps = norm
    mean, scale = mean_and_rstd(x, eps) if beta.size else (x.dtype.type(0), rrms_of(x, eps))
    y = np.empty(part.stop - part.start, x.dtype)
    for i in range(y.size):
        n = part.start + i
        y[i] = (x[n] - mean) * scale * gamma[n]
        if beta.size:
            y[i] += beta[n]
    return y


@compiled
def _multiply(x: Array, affine: Affine, rows: slice, y: Array) -> None:
    """``y = x w[rows]``."""
    never_inline()
    w = affine[0][rows]
    total = y[: w.shape[1]].reshape(1, w.shape[1])
    for n in range(total.size):
        total[0, n] = 0
    add_rows(x.reshape(1, x.size), w, 0, x.size, total)


@compiled
def _add_up(sums: Array, bias: Array, residual: Array, part: slice, y: Array) -> None:
    """Sum over the shards in their order, and add what is not empty of the others."""
    never_inline()
    for n in range(part.start, part.stop):
        y[n] = sums[0, n]
    for shard in range(1, len(sums)):
        for n in range(part.start, part.stop):
            y[n] += sums[shard, n]
    for term in (bias, residual):
        for n in range(part.start, min(part.stop, term.size)):
            y[n] += term[n]


@compiled
def _split(
    sums: Array,
    bias: Array,
    rotary: Rotary,
    queries: Array,
    keys: Array,
    values: Array,
    length: int,
    shard: int,
    shards: int,
) -> None:
    """Put queries, keys and values of the token where they belong, head by head."""
    never_inline()
    Hk, _, D = keys.shape
    H = queries.size // D
    fused = np.empty((H + 2 * Hk) * D, queries.dtype)
    heads = part_of(H + 2 * Hk, shard, shards)
    for h in range(heads.start, heads.stop):
        part = slice(h * D, h * D + D)
        _add_up(sums, bias, bias[:0], part, fused)
        head = fused[part]
        if h < H:
            _turn(head, rotary, queries.dtype.type(1 / math.sqrt(D)), queries[part])
        elif h < H + Hk:
            _turn(head, rotary, queries.dtype.type(1), keys[h - H, length])
        else:
            for d in range(D):
                values[h - H - Hk, length, d] = head[d]


@compiled
def _turn(x: Array, rotary: Rotary, scale: float, y: Array) -> None:
    """Turn the pairs of a head, if they are to be turned, and scale all."""
    never_inline()
    cos, sin, interleaved = rotary
    for d in range(x.size):
        y[d] = scale * x[d]
    for i in range(cos.size):
        a, b = (2 * i, 2 * i + 1) if interleaved else (i, cos.size + i)
        first, second = y[a], y[b]
        y[a] = first * cos[i] - second * sin[i]
        y[b] = second * cos[i] + first * sin[i]


@compiled
def _attend(
    queries: Array,
    keys: Array,
    values: Array,
    length: int,
    y: Array,
    shard: int,
    shards: int,
) -> None:
    """As in :mod:`.decode_attention`: queries of a key head are the rows of two products."""
    Hk, _, D = keys.shape
    G = queries.size // (Hk * D)
    q, heads = queries.reshape(Hk, G, D), y.reshape(Hk, G, D)
    never_inline()
    pairs = part_of(Hk, shard, shards)
    for g in range(pairs.start, pairs.stop):
        probs = np.zeros((G, length), y.dtype)
        add_dots(q[g], keys[g], 0, length, probs)
        for i in range(G):
            softmax(probs[i])
        for i in range(G):
            for d in range(D):
                heads[g, i, d] = 0
        add_rows(probs, values[g], 0, length, heads[g])


@compiled
def _swiglu(x: Array, gate: Array) -> None:
    one = x.dtype.type(1)
    for i in range(x.size):
        x[i] *= gate[i] / (one + exp(-gate[i]))


@compiled
def _gelu(x: Array) -> None:
    for i in range(x.size):
        x[i] *= gelu_share(x[i])
