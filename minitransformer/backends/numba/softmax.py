"""Softmax: each row is read once from memory and stays in the core's nearest cache."""

import numpy as np
from numba import prange

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import repeating_rows, rows, shard
from minitransformer.backends.numba.math import exp
from minitransformer.backends.numba.threads import SHARDS, Array, parallel, reassociated
from minitransformer.ops.softmax import SoftmaxCache


@reassociated
def _softmax(x: Array, mask: Array, start: int, probs: Array) -> None:
    zero, one, nothing = x.dtype.type(0), x.dtype.type(1), x.dtype.type(-np.inf)
    for n in range(x.shape[0]):
        scores, taking_part, row = x[n], mask[(start + n) % mask.shape[0]], probs[n]
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


@parallel
def _softmax_shards(x: Array, mask: Array, probs: Array) -> None:
    for s in prange(SHARDS):
        part = shard(s, x.shape[0])
        _softmax(x[part], mask, part.start, probs[part])


@kernel("numba", ops.softmax_forward)
def softmax_forward(x: Array, mask: Array | None = None) -> tuple[Array, SoftmaxCache]:
    """The mask's rows repeat: without a mask there is one row, all True."""
    probs = np.empty(x.shape, x.dtype)
    if mask is None:
        mask = np.ones((1, x.shape[-1]), np.bool_)
    _softmax_shards(rows(x), repeating_rows(mask, x.shape), rows(probs))
    return probs, SoftmaxCache(probs)


@reassociated
def _softmax_gradient(dy: Array, probs: Array, dx: Array) -> None:
    for n in range(dy.shape[0]):
        expected = dy.dtype.type(0)
        for j in range(dy.shape[1]):
            expected += dy[n, j] * probs[n, j]
        for j in range(dy.shape[1]):
            dx[n, j] = probs[n, j] * (dy[n, j] - expected)


@parallel
def _softmax_gradient_shards(dy: Array, probs: Array, dx: Array) -> None:
    for s in prange(SHARDS):
        part = shard(s, dy.shape[0])
        _softmax_gradient(dy[part], probs[part], dx[part])


@kernel("numba", ops.softmax_backward)
def softmax_backward(dy: Array, cache: SoftmaxCache) -> tuple[Array]:
    """Two passes over a row: what dy is on average, and what it is beyond that."""
    dx = np.empty(dy.shape, dy.dtype)
    _softmax_gradient_shards(rows(dy), rows(cache.probs), rows(dx))
    return (dx,)
