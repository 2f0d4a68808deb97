"""Verbs on state. They overwrite arrays of the device; those of the host they refuse."""

import math
from typing import Any

import numpy as np
from numba import cuda, float32, float64

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, empty, on_device, to_device
from minitransformer.backends.cuda.kernel import THREADS, device_kernel
from minitransformer.backends.cuda.reductions import block_sum_by_halves

MOST_SUMS = 4 * THREADS
"""One block adds these up: a few for each thread."""


@device_kernel("float32[::1], float32[::1]")
def copy(x: Any, y: Any) -> None:
    """``y = x``."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = x[i]


def copied(x: Array) -> Array:
    """Return the same numbers in memory of their own."""
    y = empty(x.shape)
    copy.stride(x.size, x.reshape(-1), y.reshape(-1))
    return y


@device_kernel("float32[::1], float32[::1]")
def add_to(total: Any, part: Any) -> None:
    """``total += part``."""
    for i in range(cuda.grid(1), total.size, cuda.gridsize(1)):
        total[i] += part[i]


@kernel("cuda", ops.accumulate)
def accumulate(total: Any, part: Any) -> None:
    """One pass."""
    on_device("accumulate", "total", total)
    add_to.stride(total.size, total.reshape(-1), to_device(part).reshape(-1))


@device_kernel("float32[::1], float32")
def scale(x: Any, factor: float) -> None:
    """``x *= factor``."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        x[i] *= factor


@kernel("cuda", ops.scale_)
def scale_(x: Any, factor: float) -> None:
    """One pass."""
    on_device("scale_", "x", x)
    scale.stride(x.size, x.reshape(-1), float(factor))


@device_kernel("float32[::1]")
def zero(x: Any) -> None:
    """``x = 0``."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        x[i] = float32(0.0)


@kernel("cuda", ops.zero_)
def zero_(x: Any) -> None:
    """One pass."""
    on_device("zero_", "x", x)
    zero.stride(x.size, x.reshape(-1))


@device_kernel("float32[::1], float64[::1]")
def squares_of_blocks(x: Any, sums: Any) -> None:
    """Each block sums the squares of its share: every thread in a register, then all together."""
    shared = cuda.shared.array(THREADS, float64)
    own = float64(0.0)
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        own += float64(x[i]) * float64(x[i])
    total = block_sum_by_halves(shared, own)
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = total


@device_kernel("float64[::1], float64[::1]")
def sum_up(sums: Any, total: Any) -> None:
    """Sum what the blocks found, by one block."""
    shared = cuda.shared.array(THREADS, float64)
    own = float64(0.0)
    for i in range(cuda.threadIdx.x, sums.size, cuda.blockDim.x):
        own += sums[i]
    whole = block_sum_by_halves(shared, own)
    if cuda.threadIdx.x == 0:
        total[0] = whole


def squares(x: Array) -> Array:
    """Sum of all squares, (1,) in float64, in which it cannot overflow.

    Two kernels, one after the other: blocks cannot wait for one another.
    """
    blocks = min(max(math.ceil(x.size / THREADS), 1), MOST_SUMS)
    sums, total = empty((blocks,), np.float64), empty((1,), np.float64)
    squares_of_blocks.launch(blocks, THREADS, x.reshape(-1), sums)
    sum_up.launch(1, THREADS, sums, total)
    return total


@kernel("cuda", ops.sum_of_squares)
def sum_of_squares(x: Any) -> float:
    """Eight bytes come home."""
    return float(squares(to_device(x)).reshape(()))
