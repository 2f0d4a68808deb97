"""Mean squared error: difference and loss in one pass, both gradients in another."""

from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import flat
from minitransformer.backends.numba.threads import (
    SHARDS,
    Array,
    compiled,
    part_of,
    reassociated,
    sharded,
)
from minitransformer.ops.mse import MseCache


@sharded()
@reassociated
def _mse(
    prediction: Array, target: Array, difference: Array, totals: Array, shard: int, shards: int
) -> None:
    part = part_of(prediction.size, shard, shards)
    prediction, target, difference = prediction[part], target[part], difference[part]
    total = 0.0
    for i in range(prediction.size):
        d = prediction[i] - target[i]
        difference[i] = d
        total += np.float64(d) * np.float64(d)
    totals[shard] = total


@kernel("numba", ops.mse_forward)
def mse_forward(prediction: Array, target: Array) -> tuple[Any, MseCache]:
    """Squares add up in float64, shard by shard."""
    difference = np.empty(prediction.shape, prediction.dtype)
    totals = np.empty(SHARDS)
    _mse(flat(prediction), flat(target), flat(difference), totals)
    return prediction.dtype.type(totals.sum() / difference.size), MseCache(difference)


@sharded()
@compiled
def _mse_gradient(
    difference: Array, factor: float, dprediction: Array, dtarget: Array, shard: int, shards: int
) -> None:
    part = part_of(difference.size, shard, shards)
    difference, dprediction, dtarget = difference[part], dprediction[part], dtarget[part]
    slope = difference.dtype.type(factor)
    for i in range(difference.size):
        dprediction[i] = slope * difference[i]
        dtarget[i] = -slope * difference[i]


@kernel("numba", ops.mse_backward)
def mse_backward(dy: Any, cache: MseCache) -> tuple[Array, Array]:
    """The two gradients differ in sign only."""
    (difference,) = cache
    dprediction = np.empty(difference.shape, difference.dtype)
    dtarget = np.empty(difference.shape, difference.dtype)
    factor = float(dy) * 2.0 / difference.size
    _mse_gradient(flat(difference), factor, flat(dprediction), flat(dtarget))
    return dprediction, dtarget
