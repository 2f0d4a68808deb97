"""Activations: forward also leaves the slope, so that backward is one multiplication.

While y is computed, all that the slope dy/dx needs is in registers. Backward then neither reads x
nor computes an exp or an erf again.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import flat
from minitransformer.backends.numba.math import erf, exp, tanh
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.ops.activations import ReluCache, TanhCache
from minitransformer.ops.checks import require_gradient

_SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)
_SQRT_HALF = math.sqrt(0.5)
_TANH_CUBIC = 0.044715


class SlopeCache(NamedTuple):
    """What the backward of SiLU and GELU needs."""

    slope: Array  # dy/dx, the shape of x


@sharded()
@compiled
def _silu(x: Array, y: Array, slope: Array, shard: int, shards: int) -> None:
    part = part_of(x.size, shard, shards)
    x, y, slope = x[part], y[part], slope[part]
    one = x.dtype.type(1)
    for i in range(x.size):
        sigmoid = one / (one + exp(-x[i]))
        y[i] = x[i] * sigmoid
        slope[i] = sigmoid + x[i] * sigmoid * (one - sigmoid)


@kernel("numba", ops.silu_forward, cache=SlopeCache)
def silu_forward(x: Array) -> tuple[Array, SlopeCache]:
    """1 / (1 + exp(-x)) is right even where exp overflows: it is 0 there."""
    y, slope = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    _silu(flat(x), flat(y), flat(slope))
    return y, SlopeCache(slope)


@kernel("numba", ops.silu_backward, cache=SlopeCache)
def silu_backward(dy: Array, cache: SlopeCache) -> tuple[Array]:
    """One multiplication."""
    return _times_slope("silu", dy, cache)


@compiled
def gelu_share(x: Any) -> Any:
    """``gelu(x) / x = (1 + tanh(u)) / 2``, the sigmoid of 2 u: as exact where it is nearly 0."""
    number = type(x)
    one, k, cubic = number(1), number(2.0 * _SQRT_2_OVER_PI), number(_TANH_CUBIC)
    return one / (one + exp(-k * x * (one + cubic * x * x)))


@compiled
def gelu_and_slope(x: Any) -> Any:
    """Compute GELU by tanh, and its slope."""
    number = type(x)
    one, three = number(1), number(3)
    k, cubic = number(2.0 * _SQRT_2_OVER_PI), number(_TANH_CUBIC)
    share, bend = gelu_share(x), cubic * x * x
    return x * share, share + x * share * (one - share) * k * (one + three * bend)


@sharded()
@compiled
def _gelu_tanh(x: Array, y: Array, slope: Array, shard: int, shards: int) -> None:
    part = part_of(x.size, shard, shards)
    x, y, slope = x[part], y[part], slope[part]
    for i in range(x.size):
        y[i], slope[i] = gelu_and_slope(x[i])


@sharded()
@compiled
def _gelu_erf(x: Array, y: Array, slope: Array, shard: int, shards: int) -> None:
    part = part_of(x.size, shard, shards)
    x, y, slope = x[part], y[part], slope[part]
    half, one = x.dtype.type(0.5), x.dtype.type(1)
    k, root = x.dtype.type(_SQRT_2_OVER_PI), x.dtype.type(_SQRT_HALF)
    for i in range(x.size):
        inner = erf(x[i] * root)
        inner_slope = k * exp(-half * x[i] * x[i])
        y[i] = half * x[i] * (one + inner)
        slope[i] = half * (one + inner + x[i] * inner_slope)


@kernel("numba", ops.gelu_forward, cache=SlopeCache)
def gelu_forward(
    x: Array, approximate: Literal["tanh", "none"] = "tanh"
) -> tuple[Array, SlopeCache]:
    """Two forms, two kernels: whoever uses one does not compile the other."""
    y, slope = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    run = _gelu_tanh if approximate == "tanh" else _gelu_erf
    run(flat(x), flat(y), flat(slope))
    return y, SlopeCache(slope)


@kernel("numba", ops.gelu_backward, cache=SlopeCache)
def gelu_backward(dy: Array, cache: SlopeCache) -> tuple[Array]:
    """One multiplication."""
    return _times_slope("gelu", dy, cache)


@sharded()
@compiled
def _multiply(a: Array, b: Array, y: Array, shard: int, shards: int) -> None:
    part = part_of(a.size, shard, shards)
    a, b, y = a[part], b[part], y[part]
    for i in range(a.size):
        y[i] = a[i] * b[i]


def _times_slope(op: str, dy: Array, cache: SlopeCache) -> tuple[Array]:
    (slope,) = cache
    require_gradient(op, dy, slope.shape, slope.dtype)
    dx = np.empty(slope.shape, slope.dtype)
    _multiply(flat(dy), flat(slope), flat(dx))
    return (dx,)


@sharded()
@compiled
def _relu(x: Array, y: Array, shard: int, shards: int) -> None:
    part = part_of(x.size, shard, shards)
    x, y = x[part], y[part]
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] < zero else x[i]


@kernel("numba", ops.relu_forward)
def relu_forward(x: Array) -> tuple[Array, ReluCache]:
    """Written so that NaN stays NaN."""
    y = np.empty(x.shape, x.dtype)
    _relu(flat(x), flat(y))
    return y, ReluCache(x)


@sharded()
@compiled
def _relu_gradient(dy: Array, x: Array, dx: Array, shard: int, shards: int) -> None:
    part = part_of(x.size, shard, shards)
    dy, x, dx = dy[part], x[part], dx[part]
    zero = x.dtype.type(0)
    for i in range(x.size):
        dx[i] = dy[i] if x[i] > zero else zero


@kernel("numba", ops.relu_backward)
def relu_backward(dy: Array, cache: ReluCache) -> tuple[Array]:
    """Pass dy on where x is positive."""
    dx = np.empty(dy.shape, dy.dtype)
    _relu_gradient(flat(dy), flat(cache.x), flat(dx))
    return (dx,)


@sharded()
@compiled
def _tanh(x: Array, y: Array, shard: int, shards: int) -> None:
    part = part_of(x.size, shard, shards)
    x, y = x[part], y[part]
    for i in range(x.size):
        y[i] = tanh(x[i])


@kernel("numba", ops.tanh_forward)
def tanh_forward(x: Array) -> tuple[Array, TanhCache]:
    """Keep y, which is all that backward needs."""
    y = np.empty(x.shape, x.dtype)
    _tanh(flat(x), flat(y))
    return y, TanhCache(y)


@sharded()
@compiled
def _tanh_gradient(dy: Array, y: Array, dx: Array, shard: int, shards: int) -> None:
    part = part_of(y.size, shard, shards)
    dy, y, dx = dy[part], y[part], dx[part]
    one = y.dtype.type(1)
    for i in range(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


@kernel("numba", ops.tanh_backward)
def tanh_backward(dy: Array, cache: TanhCache) -> tuple[Array]:
    """Two multiplications; no tanh is computed again."""
    dx = np.empty(dy.shape, dy.dtype)
    _tanh_gradient(flat(dy), flat(cache.y), flat(dx))
    return (dx,)
