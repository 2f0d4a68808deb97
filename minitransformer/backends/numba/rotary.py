"""Rotary: a pass over rows, whose angles repeat."""

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import repeating_rows, rows
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.ops.rotary import RotaryCache


@sharded()
@compiled
def _turn(
    x: Array,
    cos: Array,
    sin: Array,
    direction: int,
    interleaved: bool,
    y: Array,
    shard: int,
    shards: int,
) -> None:
    part = part_of(x.shape[0], shard, shards)
    x, y = x[part], y[part]
    half = x.shape[1] // 2
    sign = x.dtype.type(direction)
    for n in range(x.shape[0]):
        c, s = cos[(part.start + n) % cos.shape[0]], sin[(part.start + n) % sin.shape[0]]
        if interleaved:
            for i in range(half):
                first, second = x[n, 2 * i], x[n, 2 * i + 1]
                y[n, 2 * i] = first * c[i] - second * (sign * s[i])
                y[n, 2 * i + 1] = second * c[i] + first * (sign * s[i])
        else:
            for i in range(half):
                first, second = x[n, i], x[n, half + i]
                y[n, i] = first * c[i] - second * (sign * s[i])
                y[n, half + i] = second * c[i] + first * (sign * s[i])


def _turned(x: Array, cos: Array, sin: Array, interleaved: bool, direction: int) -> Array:
    angles = (*x.shape[:-1], x.shape[-1] // 2)
    cos, sin = repeating_rows(cos, angles), repeating_rows(sin, angles)
    y = np.empty(x.shape, x.dtype)
    _turn(rows(x), cos, sin, direction, bool(interleaved), rows(y))
    return y


@kernel("numba", ops.rotary_forward)
def rotary_forward(
    x: Array, cos: Array, sin: Array, interleaved: bool = False
) -> tuple[Array, RotaryCache]:
    """Turn each pair by its angle."""
    return _turned(x, cos, sin, interleaved, 1), RotaryCache(cos, sin, interleaved, x.shape)


@kernel("numba", ops.rotary_backward)
def rotary_backward(dy: Array, cache: RotaryCache) -> tuple[Array]:
    """Turn back."""
    return (_turned(dy, cache.cos, cache.sin, cache.interleaved, -1),)
