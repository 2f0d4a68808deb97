"""Rotary position embedding: a thread turns one pair of features."""

from typing import Any

from numba import cuda

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.broadcasting import repeated_once, source
from minitransformer.backends.cuda.kernel import device_kernel
from minitransformer.ops.rotary import RotaryCache


@device_kernel(
    "float32[:, ::1], float32[::1], int64, int64, float32[::1], int64, int64, "
    "boolean, boolean, float32[:, ::1]"
)
def turn(
    x: Any,
    cos: Any,
    cos_repeat: int,
    cos_after: int,
    sin: Any,
    sin_repeat: int,
    sin_after: int,
    interleaved: bool,
    back: bool,
    y: Any,
) -> None:
    """``y1 = x1 cos - x2 sin``, ``y2 = x2 cos + x1 sin`` for pair i; back: by the opposite angle.

    One angle serves all heads and sequences. It is read again for each, from the GPU's cache.
    """
    half = x.shape[1] // 2
    for i in range(cuda.grid(1), x.size // 2, cuda.gridsize(1)):
        row, pair = i // half, i % half
        first = 2 * pair if interleaved else pair
        second = first + 1 if interleaved else pair + half
        c = cos[source(i, cos_repeat, cos_after)]
        s = sin[source(i, sin_repeat, sin_after)]
        s = -s if back else s
        x1, x2 = x[row, first], x[row, second]
        y[row, first] = x1 * c - x2 * s
        y[row, second] = x2 * c + x1 * s


def _turned(x: Array, cos: Array, sin: Array, interleaved: bool, back: bool) -> Array:
    y = empty(x.shape)
    width = x.shape[-1]
    angles = (*x.shape[:-1], width // 2)
    (few_cos, of_cos), (few_sin, of_sin) = repeated_once(cos, angles), repeated_once(sin, angles)
    tables = (few_cos, *of_cos[1:], few_sin, *of_sin[1:])
    rows, out = x.reshape(-1, width), y.reshape(-1, width)
    turn.stride(x.size // 2, rows, *tables, interleaved, back, out)
    return y


@kernel("cuda", ops.rotary_forward)
def rotary_forward(
    x: Any, cos: Any, sin: Any, interleaved: bool = False
) -> tuple[Array, RotaryCache]:
    """One pass."""
    x, cos, sin = to_device(x), to_device(cos), to_device(sin)
    return _turned(x, cos, sin, interleaved, False), RotaryCache(cos, sin, interleaved, x.shape)


@kernel("cuda", ops.rotary_backward)
def rotary_backward(dy: Any, cache: RotaryCache) -> tuple[Array]:
    """The rotation back."""
    return (_turned(to_device(dy), cache.cos, cache.sin, cache.interleaved, True),)
