"""Activations: each thread reads one number, bends it, and writes one.

Such kernels wait for memory, not for arithmetic: what they cost is the bytes they move. Constants
are wrapped in ``float32``, because a number of Python's is float64, which a gaming GPU computes 64
times more slowly.
"""

import math
from typing import Any, NamedTuple

from numba import cuda, float32

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, DeviceArray, empty, to_device
from minitransformer.backends.cuda.kernel import device_function, device_kernel
from minitransformer.ops.activations import ReluCache, SiluCache, TanhCache

HALF, ONE, THREE = float32(0.5), float32(1.0), float32(3.0)
CUBIC = float32(0.044715)
ROOT_HALF = float32(math.sqrt(0.5))
ROOT_2_OVER_PI = float32(math.sqrt(2.0 / math.pi))


@device_kernel("float32[::1], float32[::1]")
def relu(x: Any, y: Any) -> None:
    """``y = max(x, 0)``; NaN, which is not below 0 either, stays."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = float32(0.0) if x[i] <= float32(0.0) else x[i]


@device_kernel("float32[::1], float32[::1], float32[::1]")
def relu_gradient(dy: Any, x: Any, dx: Any) -> None:
    """The gradient passes where x was positive."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        dx[i] = dy[i] if x[i] > float32(0.0) else float32(0.0)


@kernel("cuda", ops.relu_forward)
def relu_forward(x: Any) -> tuple[Array, ReluCache]:
    """One pass."""
    x = to_device(x)
    y = empty(x.shape)
    relu.stride(x.size, x.reshape(-1), y.reshape(-1))
    return y, ReluCache(x)


@kernel("cuda", ops.relu_backward)
def relu_backward(dy: Any, cache: ReluCache) -> tuple[Array]:
    """One pass."""
    return (_gradient(relu_gradient, dy, cache.x),)


@device_kernel("float32[::1], float32[::1]")
def tanh(x: Any, y: Any) -> None:
    """``y = tanh(x)``."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = math.tanh(x[i])


@device_kernel("float32[::1], float32[::1], float32[::1]")
def tanh_gradient(dy: Any, y: Any, dx: Any) -> None:
    """``dx = dy (1 - y^2)``."""
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        dx[i] = dy[i] * (ONE - y[i] * y[i])


@kernel("cuda", ops.tanh_forward)
def tanh_forward(x: Any) -> tuple[Array, TanhCache]:
    """One pass."""
    x = to_device(x)
    y = empty(x.shape)
    tanh.stride(x.size, x.reshape(-1), y.reshape(-1))
    return y, TanhCache(y)


@kernel("cuda", ops.tanh_backward)
def tanh_backward(dy: Any, cache: TanhCache) -> tuple[Array]:
    """One pass."""
    return (_gradient(tanh_gradient, dy, cache.y),)


@device_function
def logistic(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, by an exponential that is never above 1 and so cannot overflow."""
    small = math.exp(-abs(x))
    return (small if x < float32(0.0) else ONE) / (ONE + small)


@device_kernel("float32[::1], float32[::1], float32[::1]")
def silu(x: Any, sigmoid: Any, y: Any) -> None:
    """``y = x s`` with ``s = 1 / (1 + exp(-x))``, which is kept."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        s = logistic(x[i])
        sigmoid[i] = s
        y[i] = x[i] * s


@device_kernel("float32[::1], float32[::1], float32[::1], float32[::1]")
def silu_gradient(dy: Any, x: Any, sigmoid: Any, dx: Any) -> None:
    """``dx = dy (s + x s (1 - s))``."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        s = sigmoid[i]
        dx[i] = dy[i] * (s + x[i] * s * (ONE - s))


@kernel("cuda", ops.silu_forward)
def silu_forward(x: Any) -> tuple[Array, SiluCache]:
    """One pass."""
    x = to_device(x)
    sigmoid, y = empty(x.shape), empty(x.shape)
    silu.stride(x.size, x.reshape(-1), sigmoid.reshape(-1), y.reshape(-1))
    return y, SiluCache(x, sigmoid)


@kernel("cuda", ops.silu_backward)
def silu_backward(dy: Any, cache: SiluCache) -> tuple[Array]:
    """One pass."""
    return (_gradient(silu_gradient, dy, cache.x, cache.sigmoid),)


class GeluCache(NamedTuple):
    """What this backward needs: the tanh, or erf, is computed again where the textbook keeps it."""

    x: Array
    approximate: str


@device_function
def gelu_of(x: Any, by_tanh: bool) -> tuple[Any, Any]:
    """Return ``r``, which is ``tanh(...)`` or ``erf(...)``, and ``y = x (1 + r) / 2``.

    All threads take the same side of the branch: it costs next to nothing. Only where threads of
    one warp disagree must both sides be run, one after the other.
    """
    if by_tanh:
        r = math.tanh(ROOT_2_OVER_PI * x * (ONE + CUBIC * x * x))
    else:
        r = math.erf(x * ROOT_HALF)
    return r, HALF * x * (ONE + r)


@device_function
def gelu_slope(x: Any, by_tanh: bool) -> Any:
    """``(1 + r + x r') / 2``."""
    r, _ = gelu_of(x, by_tanh)
    if by_tanh:
        slope = (ONE - r * r) * (ROOT_2_OVER_PI * (ONE + THREE * CUBIC * x * x))
    else:
        slope = ROOT_2_OVER_PI * math.exp(-HALF * x * x)
    return HALF * (ONE + r + x * slope)


@device_kernel("float32[::1], boolean, float32[::1]")
def gelu(x: Any, by_tanh: bool, y: Any) -> None:
    """Read x, write y; to keep r as well would be half as many bytes again, here and in backward.

    Some twenty instructions more for backward are hidden behind what memory takes.
    """
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        _, y[i] = gelu_of(x[i], by_tanh)


@device_kernel("float32[::1], float32[::1], boolean, float32[::1]")
def gelu_gradient(dy: Any, x: Any, by_tanh: bool, dx: Any) -> None:
    """``dx = dy (1 + r + x r') / 2``."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        dx[i] = dy[i] * gelu_slope(x[i], by_tanh)


@kernel("cuda", ops.gelu_forward, cache=GeluCache)
def gelu_forward(x: Any, approximate: str = "tanh") -> tuple[Array, GeluCache]:
    """One pass."""
    x = to_device(x)
    y = empty(x.shape)
    gelu.stride(x.size, x.reshape(-1), approximate == "tanh", y.reshape(-1))
    return y, GeluCache(x, approximate)


@kernel("cuda", ops.gelu_backward, cache=GeluCache)
def gelu_backward(dy: Any, cache: GeluCache) -> tuple[Array]:
    """One pass."""
    return (_gradient(gelu_gradient, dy, cache.x, cache.approximate == "tanh"),)


def _gradient(gradient: Any, dy: Any, *kept: Any) -> Array:
    """Run a kernel over dy and what was kept of each element; numbers are passed as they are."""
    dy = to_device(dy)
    dx = empty(dy.shape)
    flat = [each.reshape(-1) if isinstance(each, DeviceArray) else each for each in kept]
    gradient.stride(dy.size, dy.reshape(-1), *flat, dx.reshape(-1))
    return dx
