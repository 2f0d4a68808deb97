"""Attention of one query per head to all keys so far: what a model does for every token it writes.

The scores of one query fit into the nearest cache, so there is no need for blocks. Attention is
then two products of few rows with a matrix, the keys and then the values, and a softmax between.
The rows are the query heads that share a key head.
"""

import math
from typing import Any

import numpy as np

from minitransformer.backends.numba.hints import contiguous
from minitransformer.backends.numba.math import exp_down
from minitransformer.backends.numba.matvec import add_dots, add_rows
from minitransformer.backends.numba.threads import Array, compiled, part_of, reassociated, sharded


def fits(q: Array, k: Array, v: Array) -> bool:
    """Whether there is one query per head, and a head's keys and values lie row behind row."""
    return q.shape[2] == 1 and _is_dense(k) and _is_dense(v)


def _is_dense(x: Array) -> bool:
    return x.flags.aligned and x.strides[2:] == (x.shape[3] * x.itemsize, x.itemsize)


@sharded(any_strides=5, any_split=True)
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
    """Attend in some of the key heads.

    The parameters are those of :func:`.flash_forward.forward` with T = 1. The one query is the last
    position, which sees all others: ``causal`` changes nothing.
    """
    (B, H, _, D), (Hk, S, Dv) = q.shape, v.shape[1:]
    group = H // Hk
    queries = np.empty((group, D), q.dtype)
    probs = np.empty((group, S), q.dtype)
    sums = np.empty((group, Dv), q.dtype)
    pairs = part_of(B * Hk, shard, shards)
    for n in range(pairs.start, pairs.stop):
        b, g = n // Hk, n % Hk
        for i in range(group):
            for d in range(D):
                queries[i, d] = scale * q[b, g * group + i, 0, d]
        probs[:] = 0
        add_dots(queries, contiguous(k[b, g]), slice(0, S), probs)
        for i in range(group):
            h = g * group + i
            if has_mask:
                select(probs[i], mask[b, h, 0], 1, -np.inf)
            logsumexp[b, h, 0] = softmax(probs[i])
            if has_keep:
                select(probs[i], keep[b, h, 0], kept, 0)
        sums[:] = 0
        add_rows(probs, contiguous(v[b, g]), slice(0, S), sums)
        for i in range(group):
            for d in range(Dv):
                y[b, g * group + i, 0, d] = sums[i, d]


@compiled
def select(x: Array, mask: Array, factor: float, otherwise: float) -> None:
    """Multiply by a factor where the mask is True, and overwrite the others."""
    for s in range(x.size):
        x[s] = x[s] * factor if mask[s] else otherwise


@reassociated
def softmax(x: Array) -> Any:
    """Turn scores into probabilities, all 0 if all are -inf; returns their log-sum-exp."""
    zero = x.dtype.type(0)
    top = x.dtype.type(-np.inf)
    for s in range(x.size):
        top = x[s] if x[s] > top else top
    reference = top if top != -np.inf else zero
    total = zero
    for s in range(x.size):
        x[s] = exp_down(x[s] - reference)
        total += x[s]
    share = 1 / total if total != 0 else total
    for s in range(x.size):
        x[s] *= share
    return top + math.log(total)
