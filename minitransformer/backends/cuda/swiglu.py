"""SwiGLU: three numbers per element through memory instead of the five of a SiLU and a product."""

from typing import Any

from numba import cuda

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.activations import ONE, logistic
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.kernel import device_kernel
from minitransformer.ops.swiglu import SwigluCache


@device_kernel("float32[::1], float32[::1], float32[::1], float32[::1]")
def swiglu(gate: Any, up: Any, sigmoid: Any, y: Any) -> None:
    """``y = g s u`` with ``s = 1 / (1 + exp(-g))``, which is kept."""
    for i in range(cuda.grid(1), gate.size, cuda.gridsize(1)):
        s = logistic(gate[i])
        sigmoid[i] = s
        y[i] = gate[i] * s * up[i]


@kernel("cuda", ops.swiglu_forward)
def swiglu_forward(gate: Any, up: Any) -> tuple[Array, SwigluCache]:
    """One pass."""
    gate, up = to_device(gate), to_device(up)
    sigmoid, y = empty(gate.shape), empty(gate.shape)
    swiglu.stride(y.size, *(each.reshape(-1) for each in (gate, up, sigmoid, y)))
    return y, SwigluCache(gate, up, sigmoid)


@device_kernel("float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1]")
def swiglu_gradient(dy: Any, gate: Any, up: Any, sigmoid: Any, dgate: Any, dup: Any) -> None:
    """``du = dy g s`` and ``dg = dy u (s + g s (1 - s))``."""
    for i in range(cuda.grid(1), gate.size, cuda.gridsize(1)):
        s = sigmoid[i]
        open_gate = gate[i] * s
        dup[i] = dy[i] * open_gate
        dgate[i] = dy[i] * up[i] * (s + open_gate * (ONE - s))


@kernel("cuda", ops.swiglu_backward)
def swiglu_backward(dy: Any, cache: SwigluCache) -> tuple[Array, Array]:
    """One pass writes both."""
    dgate, dup = empty(cache.gate.shape), empty(cache.gate.shape)
    flat = (each.reshape(-1) for each in (to_device(dy), *cache, dgate, dup))
    swiglu_gradient.stride(dgate.size, *flat)
    return dgate, dup
