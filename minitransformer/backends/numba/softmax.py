"""Softmax: each row is read once from memory and stays in the core's nearest cache."""

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import repeating_rows, rows
from minitransformer.backends.numba.math import exp
from minitransformer.backends.numba.threads import Array, part_of, reassociated, sharded
from minitransformer.ops.softmax import SoftmaxCache


@sharded()
@reassociated
def _softmax(x: Array, mask: Array, probs: Array, shard: int, shards: int) -> None:
    part = part_of(x.shape[0], shard, shards)
    x, probs = x[part], probs[part]
    zero, one, nothing = x.dtype.type(0), x.dtype.type(1), x.dtype.type(-np.inf)
    for n in range(x.shape[0]):
        scores, taking_part, row = x[n], mask[(part.start + n) % mask.shape[0]], probs[n]
        top = nothing
        for j in range(scores.size):
            score = scores[j]
            top = score if taking_part[j] and score > top else top
        if top == nothing:
            top = zero
        total = zero
        for j in range(scores.size):
            weight = exp(scores[j] - top)
            weight = weight if taking_part[j] else zero
            row[j] = weight
            total += weight
        share = one / (total if total != zero else one)
        for j in range(scores.size):
            row[j] *= share


@kernel("numba", ops.softmax_forward)
def softmax_forward(x: Array, mask: Array | None = None) -> tuple[Array, SoftmaxCache]:
    """The mask's rows repeat: without a mask there is one row, all True."""
    probs = np.empty(x.shape, x.dtype)
    if mask is None:
        mask = np.ones((1, x.shape[-1]), np.bool_)
    _softmax(rows(x), repeating_rows(mask, x.shape), rows(probs))
    return probs, SoftmaxCache(probs)


@sharded()
@reassociated
def _softmax_gradient(dy: Array, probs: Array, dx: Array, shard: int, shards: int) -> None:
    part = part_of(dy.shape[0], shard, shards)
    dy, probs, dx = dy[part], probs[part], dx[part]
    for n in range(dy.shape[0]):
        expected = dy.dtype.type(0)
        for j in range(dy.shape[1]):
            expected += dy[n, j] * probs[n, j]
        for j in range(dy.shape[1]):
            dx[n, j] = probs[n, j] * (dy[n, j] - expected)


@kernel("numba", ops.softmax_backward)
def softmax_backward(dy: Array, cache: SoftmaxCache) -> tuple[Array]:
    """Two passes over a row: what dy is on average, and what it is beyond that."""
    dx = np.empty(dy.shape, dy.dtype)
    _softmax_gradient(rows(dy), rows(cache.probs), rows(dx))
    return (dx,)
