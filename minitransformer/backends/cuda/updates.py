"""Optimizer steps: one kernel over the flat buffer of all parameters.

A kernel for each formula would read and write the buffer many times. Here every number is loaded
once, updated in registers, and stored: what a step costs is that traffic.
"""

import math
from typing import Any

from numba import cuda

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import on_device, to_device
from minitransformer.backends.cuda.kernel import device_kernel


@device_kernel(
    "float32[::1], float32[::1], float32[::1], float32[::1], "
    "float32, float32, float32, float32, float32, float32, float32, float32"
)
def adamw(
    parameter: Any,
    grad: Any,
    m: Any,
    v: Any,
    shrink: float,
    rate: float,
    keep1: float,
    new1: float,
    keep2: float,
    new2: float,
    root_correction: float,
    eps: float,
) -> None:
    """Four numbers in, three out, for each parameter."""
    for i in range(cuda.grid(1), parameter.size, cuda.gridsize(1)):
        mean = keep1 * m[i] + new1 * grad[i]
        mean_square = keep2 * v[i] + new2 * grad[i] * grad[i]
        size = math.sqrt(mean_square) / root_correction + eps
        parameter[i] = shrink * parameter[i] - rate * mean / size
        m[i] = mean
        v[i] = mean_square


@kernel("cuda", ops.adamw_step)
def adamw_step(
    parameter: Any,
    grad: Any,
    m: Any,
    v: Any,
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """What is the same for all parameters is worked out here, once."""
    for name, array in {"parameter": parameter, "m": m, "v": v}.items():
        on_device("adamw_step", name, array)
    adamw.stride(
        parameter.size,
        *(each.reshape(-1) for each in (parameter, to_device(grad), m, v)),
        1 - lr * weight_decay,
        lr / (1 - beta1**t),
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        math.sqrt(1 - beta2**t),
        eps,
    )


@device_kernel("float32[::1], float32[::1], float32[::1], float32, float32, float32, boolean")
def sgd(
    parameter: Any,
    grad: Any,
    velocity: Any,
    rate: float,
    momentum: float,
    decay: float,
    nesterov: bool,
) -> None:
    """Three numbers in, two out, for each parameter."""
    for i in range(cuda.grid(1), parameter.size, cuda.gridsize(1)):
        push = grad[i] + decay * parameter[i]
        u = momentum * velocity[i] + push
        velocity[i] = u
        parameter[i] -= rate * (push + momentum * u if nesterov else u)


@kernel("cuda", ops.sgd_step)
def sgd_step(
    parameter: Any,
    grad: Any,
    velocity: Any,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """One pass."""
    for name, array in {"parameter": parameter, "velocity": velocity}.items():
        on_device("sgd_step", name, array)
    arrays = (each.reshape(-1) for each in (parameter, to_device(grad), velocity))
    sgd.stride(parameter.size, *arrays, lr, momentum, weight_decay, nesterov)
