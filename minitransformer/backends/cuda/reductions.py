"""How threads bring their numbers together: through shared memory, or from register to register.

The threads of a block can leave each other numbers in *shared memory*, and must then wait for all
to have done so. The 32 threads of a *warp* run in step, and can read each other's registers with
one instruction, a *shuffle*: neither memory nor waiting.

The order of the additions depends on the number of threads alone, never on which of them is first:
the same input gives the same bits.
"""

import math
from typing import Any

from numba import cuda, float32

from minitransformer.backends.cuda.arrays import Array, empty
from minitransformer.backends.cuda.kernel import SIMULATED, THREADS, device_function, device_kernel

WARP = 32
ALL = 0xFFFFFFFF
"""All lanes of a warp take part in a shuffle."""

PARTS = 128
"""Into so many parts of rows a sum over all rows is divided."""


@device_function
def block_sum_by_halves(shared: Any, value: Any) -> Any:
    """Sum over a block's threads: the first half adds what the second has, then half of these do.

    After log2(THREADS) rounds one number is left. Each round waits for all threads.
    """
    thread = cuda.threadIdx.x
    shared[thread] = value
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if thread < half:
            shared[thread] += shared[thread + half]
        cuda.syncthreads()
        half //= 2
    total = shared[0]
    cuda.syncthreads()  # all have read it before it is overwritten
    return total


@device_function
def block_max_by_halves(shared: Any, value: Any) -> Any:
    """Find the largest number of a block's threads in the same way."""
    thread = cuda.threadIdx.x
    shared[thread] = value
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if thread < half:
            shared[thread] = max(shared[thread], shared[thread + half])
        cuda.syncthreads()
        half //= 2
    top = shared[0]
    cuda.syncthreads()
    return top


@device_function
def warp_sum(value: Any) -> Any:
    """Sum over a warp's lanes: each adds what the lane at distance 16 has, then 8, 4, 2, 1.

    ``a + b`` is ``b + a``, so all lanes end with the same bits.
    """
    distance = WARP // 2
    while distance > 0:
        value += cuda.shfl_xor_sync(ALL, value, distance)
        distance //= 2
    return value


@device_function
def warp_max(value: Any) -> Any:
    """Find the largest number of a warp's lanes."""
    distance = WARP // 2
    while distance > 0:
        value = max(value, cuda.shfl_xor_sync(ALL, value, distance))
        distance //= 2
    return value


@device_function
def block_sum_by_warps(shared: Any, value: Any) -> Any:
    """Sum within each warp, then let every warp sum the warps' sums: one exchange, not eight."""
    thread = cuda.threadIdx.x
    value = warp_sum(value)
    if thread % WARP == 0:
        shared[thread // WARP] = value
    cuda.syncthreads()
    value = shared[thread % WARP] if thread % WARP < THREADS // WARP else float32(0.0)
    cuda.syncthreads()
    return warp_sum(value)


@device_function
def block_max_by_warps(shared: Any, value: Any) -> Any:
    """Find the largest number of each warp, then of the warps."""
    thread = cuda.threadIdx.x
    value = warp_max(value)
    if thread % WARP == 0:
        shared[thread // WARP] = value
    cuda.syncthreads()
    value = shared[thread % (THREADS // WARP)]
    cuda.syncthreads()
    return warp_max(value)


block_sum = block_sum_by_halves if SIMULATED else block_sum_by_warps
"""What kernels use that are not about reductions; the simulator has no shuffles."""
block_max = block_max_by_halves if SIMULATED else block_max_by_warps


@device_kernel("float32[:, ::1], float32[:, ::1]")
def sum_parts_of_columns(x: Any, parts: Any) -> None:
    """Sum some of the rows: neighbouring threads read neighbouring columns."""
    column, part = cuda.grid(1), cuda.blockIdx.y
    if column < x.shape[1]:
        total = float32(0.0)
        for row in range(part, x.shape[0], parts.shape[0]):
            total += x[row, column]
        parts[part, column] = total


def column_sums(x: Array) -> Array:
    """Sum the rows of a matrix in two stages, without atomic additions.

    A thread for each column would be too few for a GPU. So each takes every 128th row, at most, and
    a second kernel adds the parts. Atomic additions would need no second stage, but they come in
    another order every time, and so would the rounding.
    """
    rows, columns = x.shape
    count = min(PARTS, math.isqrt(rows) + 1)
    parts = empty((count, columns))
    _launch(x, parts)
    if count == 1:
        return parts.reshape(columns)
    total = empty((1, columns))
    _launch(parts, total)
    return total.reshape(columns)


def _launch(x: Array, parts: Array) -> None:
    grid = (math.ceil(x.shape[1] / THREADS), parts.shape[0])
    sum_parts_of_columns.launch(grid, THREADS, x, parts)
