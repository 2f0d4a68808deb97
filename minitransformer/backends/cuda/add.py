"""Add: residual connections, and positions that are repeated for every sequence."""

from typing import Any

import numpy as np
from numba import cuda

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, Shape, empty, to_device
from minitransformer.backends.cuda.broadcasting import repeated_once, source, summed_to
from minitransformer.backends.cuda.in_place import copied
from minitransformer.backends.cuda.kernel import device_kernel
from minitransformer.ops.add import AddCache


@device_kernel("float32[::1], float32[::1], float32[::1]")
def add(a: Any, b: Any, y: Any) -> None:
    """``y = a + b``, all of one size."""
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        y[i] = a[i] + b[i]


@device_kernel("float32[::1], int64, int64, float32[::1], int64, int64, float32[::1]")
def add_repeated(
    a: Any, a_repeat: int, a_after: int, b: Any, b_repeat: int, b_after: int, y: Any
) -> None:
    """``y = a + b``, where a thread finds out which element of each is repeated at its place."""
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        y[i] = a[source(i, a_repeat, a_after)] + b[source(i, b_repeat, b_after)]


@kernel("cuda", ops.add_forward)
def add_forward(a: Any, b: Any) -> tuple[Array, AddCache]:
    """One pass; what is repeated is read again, from the GPU's cache."""
    a, b = to_device(a), to_device(b)
    shape = np.broadcast_shapes(a.shape, b.shape)
    y = empty(shape)
    if a.shape == b.shape:
        add.stride(y.size, a.reshape(-1), b.reshape(-1), y.reshape(-1))
    else:
        (few_a, of_a), (few_b, of_b) = repeated_once(a, shape), repeated_once(b, shape)
        add_repeated.stride(y.size, few_a, *of_a[1:], few_b, *of_b[1:], y.reshape(-1))
    return y, AddCache(a.shape, b.shape, a.dtype)


@kernel("cuda", ops.add_backward)
def add_backward(dy: Any, cache: AddCache) -> tuple[Array, Array]:
    """A copy for what was not repeated: gradients are added to, each has its own memory."""
    dy = to_device(dy)
    return _reduced(dy, cache.a_shape), _reduced(dy, cache.b_shape)


def _reduced(dy: Array, shape: Shape) -> Array:
    return copied(dy) if shape == dy.shape else summed_to(dy, shape)
