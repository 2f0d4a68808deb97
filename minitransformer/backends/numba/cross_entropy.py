"""Cross-entropy: the probabilities are never stored.

Forward keeps two numbers for each row, its maximum and the sum of its exponentials; from them
backward makes each probability again where it writes the gradient. With a large vocabulary the
probabilities would be the largest array of the whole step.
"""

from typing import Any, NamedTuple

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import rows
from minitransformer.backends.numba.math import exp
from minitransformer.backends.numba.threads import Array, part_of, reassociated, sharded

_IGNORED = -1


class CrossEntropyCache(NamedTuple):
    """What this backward needs: class v has probability ``exp(logits[n, v] - top) / total``."""

    logits: Array  # (..., V)
    targets: Array  # (rows,), int64, -1 where ignored
    top: Array  # (rows,), the largest logit
    total: Array  # (rows,), sum of exp(logits - top)
    kept: int  # number of targets that are not ignored
    label_smoothing: float


@sharded()
@reassociated
def _cross_entropy(
    logits: Array,
    targets: Array,
    smoothing: float,
    top: Array,
    total: Array,
    surprise: Array,
    shard: int,
    shards: int,
) -> None:
    part = part_of(logits.shape[0], shard, shards)
    logits, targets, top, total, surprise = (
        logits[part],
        targets[part],
        top[part],
        total[part],
        surprise[part],
    )
    zero, nothing = logits.dtype.type(0), logits.dtype.type(-np.inf)
    for n in range(logits.shape[0]):
        top[n], total[n], surprise[n] = zero, zero, 0.0
        if targets[n] == _IGNORED:
            continue
        row = logits[n]
        highest = nothing
        for v in range(row.size):
            if row[v] > highest:
                highest = row[v]
        if highest == nothing:
            highest = zero
        weights, distance = zero, zero
        for v in range(row.size):
            weights += exp(row[v] - highest)
            distance += row[v] - highest
        log_total = np.log(np.float64(weights))
        surprise[n] = log_total - np.float64(row[targets[n]] - highest)
        if smoothing > 0.0:
            even = log_total - np.float64(distance) / row.size
            surprise[n] = (1.0 - smoothing) * surprise[n] + smoothing * even
        top[n], total[n] = highest, weights


@kernel("numba", ops.cross_entropy_forward, cache=CrossEntropyCache)
def cross_entropy_forward(
    logits: Array, targets: Array, ignore_index: int = -100, label_smoothing: float = 0.0
) -> tuple[Any, CrossEntropyCache]:
    """Each row twice: its maximum, then its sum of exponentials. Losses add up in float64."""
    logits2 = rows(logits)
    ids = np.array(targets, np.int64).reshape(-1)
    ignored = np.reshape(targets == ignore_index, -1)
    ids[ignored] = _IGNORED
    kept, smoothing = ids.size - int(np.count_nonzero(ignored)), float(label_smoothing)
    top, total = np.empty((2, len(logits2)), logits.dtype)
    surprise = np.empty(len(logits2))
    _cross_entropy(logits2, ids, smoothing, top, total, surprise)
    loss = logits.dtype.type(surprise.sum() / max(1, kept))
    return loss, CrossEntropyCache(logits, ids, top, total, kept, smoothing)


@sharded()
@reassociated
def _cross_entropy_gradient(
    logits: Array,
    targets: Array,
    top: Array,
    total: Array,
    smoothing: float,
    scale: float,
    dlogits: Array,
    shard: int,
    shards: int,
) -> None:
    part = part_of(logits.shape[0], shard, shards)
    logits, targets, top, total, dlogits = (
        logits[part],
        targets[part],
        top[part],
        total[part],
        dlogits[part],
    )
    factor, zero = logits.dtype.type(scale), logits.dtype.type(0)
    even = logits.dtype.type(scale * smoothing / max(1, logits.shape[1]))
    sure = logits.dtype.type(scale * (1.0 - smoothing))
    for n in range(logits.shape[0]):
        if targets[n] == _IGNORED:
            dlogits[n, :] = zero
            continue
        share, highest = factor / total[n], top[n]
        for v in range(logits.shape[1]):
            dlogits[n, v] = exp(logits[n, v] - highest) * share - even
        dlogits[n, targets[n]] -= sure


@kernel("numba", ops.cross_entropy_backward, cache=CrossEntropyCache)
def cross_entropy_backward(dy: Any, cache: CrossEntropyCache) -> tuple[Array]:
    """``dy (p - q) / N`` in one pass."""
    logits, targets, top, total, kept, smoothing = cache
    dlogits = np.empty(logits.shape, logits.dtype)
    scale = float(dy) / max(1, kept)
    _cross_entropy_gradient(rows(logits), targets, top, total, smoothing, scale, rows(dlogits))
    return (dlogits,)
