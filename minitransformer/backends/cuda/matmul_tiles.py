"""Top rung of the matrix product: 8 by 8 sums a thread, 128-bit loads, two buffers.

Read :mod:`.matmul` first. A block of 256 threads computes 128 by 128 elements of y, eight steps of
the inner sum at a time:

* **Registers.** Thread (row, column) of 16 by 16 keeps 8 rows by 8 columns of sums. For each step
  it reads 8 numbers of a and 8 of b, and does 64 multiply-adds with them: 8 for each number read,
  where one sum a thread gives one for two.
* **128-bit loads.** These 16 numbers come with 4 instructions. a's tile lies in shared memory with
  the inner axis first, so that its 8 rows are neighbours. The 8 columns are 4 and 4, half a tile
  apart: so 8 lanes read 128 bytes in a row, every bank once. Rows have 132 numbers rather than 128,
  so that turning a's tile over, 4 rows at a time, meets 32 different banks too.
* **Two buffers.** While the threads multiply one tile, the next is on its way from global memory
  into registers; it then goes into the other buffer. One barrier a tile is enough, and nobody waits
  for memory, which takes hundreds of cycles to answer, unless the multiplying is done sooner.
* **Two blocks at a time.** Left alone the compiler takes some 140 registers a thread, so that one
  block fills a multiprocessor with its 65,536. Told that two shall fit, it makes do with 128 and
  still spills none; while one block waits at a barrier, the other goes on.

At the edges, and where rows do not start at multiples of 16 bytes, numbers are fetched one by one,
and zeros stand for what is outside: they change no sum. Numba's simulator cannot run this rung, for
it has no 128-bit loads.

Each element of a is fetched from global memory once for every 128 columns of y, each of b once for
every 128 rows: with a tile of 16 it was eight times as often.

Weights stored in 16 bits are fetched in half the bytes, and widened on their way from registers
into the tile: not before, for then the thread would wait for memory. Of a transposed matrix a tile
is then 16 steps deep, or the two threads of a row would fetch half a piece of 32 bytes.
"""

import math
from collections.abc import Callable
from typing import Any

from numba import cuda, float32

from minitransformer.backends.cuda.arrays import Array
from minitransformer.backends.cuda.broadcasting import source
from minitransformer.backends.cuda.kernel import (
    DeviceKernel,
    device_function,
    stored_as,
)
from minitransformer.backends.cuda.matmul_staging import (
    ALIGNMENT,
    fetch_across,
    fetch_along,
    fetch_far_across,
    stage_across,
    stage_along,
    stage_far_across,
)
from minitransformer.backends.cuda.storage import STORAGES
from minitransformer.backends.cuda.vectors import copy4, rows_are_aligned

SIDE = 128
"""Rows and columns of y that a block computes."""
HALF = SIDE // 2
DEPTH = 8
"""Steps of the inner sum between two barriers."""
PADDED = SIDE + 4
PER_THREAD = 8
THREADS = (SIDE // PER_THREAD) ** 2

SIGNATURE = (
    "float32[:, :, ::1], stored[:, :, ::1], float32[::1], float32[:, :, ::1], "
    "int64, int64, int64, int64"
)


@device_function
def place_of_block(y: Any, side: int) -> tuple[int, int, int]:
    """First row and column of the block's elements of y, and their matrix.

    Along y and z a grid ends at 65,535 blocks, along x at two billion: matrices are counted there.
    """
    tiles = (y.shape[1] + side - 1) // side
    return cuda.blockIdx.x % tiles * side, cuda.blockIdx.y * side, cuda.blockIdx.x // tiles


def grid_of(y: Array, side: int) -> tuple[int, int]:
    """Blocks for all elements of y, so many rows and columns each."""
    matrices, rows, columns = y.shape
    return math.ceil(rows / side) * matrices, math.ceil(columns / side)


@device_function
def multiply_tiles(
    sums: Any, a_tiles: Any, b_tiles: Any, buffer: int, row: int, column: int
) -> None:
    """Add ``DEPTH`` products to each of the thread's sums: this is where the time goes."""
    of_a = cuda.local.array(PER_THREAD, float32, ALIGNMENT)
    of_b = cuda.local.array(PER_THREAD, float32, ALIGNMENT)
    for k in range(a_tiles.shape[1]):
        copy4(of_a, 0, a_tiles, (buffer, k, row))
        copy4(of_a, 4, a_tiles, (buffer, k, row + 4))
        copy4(of_b, 0, b_tiles, (buffer, k, column))
        copy4(of_b, 4, b_tiles, (buffer, k, column + HALF))
        for i in range(PER_THREAD):
            for j in range(PER_THREAD):
                sums[i, j] += of_a[i] * of_b[j]


@device_function
def column_of(column: int, j: int) -> int:
    """Where the j-th of a thread's columns lies: the second four are half a tile further on."""
    return column + j + j // 4 * (HALF - 4)


@device_function
def store(y: Any, z: int, i: int, j: int, sums: Any) -> None:
    """Write a thread's sums to rows from i on and columns from j on, as far as there are any."""
    if rows_are_aligned(y):
        for n in range(PER_THREAD):
            if i + n < y.shape[1] and j < y.shape[2]:
                copy4(y, (z, i + n, j), sums, (n, 0))
            if i + n < y.shape[1] and j + HALF < y.shape[2]:
                copy4(y, (z, i + n, j + HALF), sums, (n, 4))
    else:
        for n in range(PER_THREAD):
            for m in range(PER_THREAD):
                if i + n < y.shape[1] and column_of(j, m) < y.shape[2]:
                    y[z, i + n, column_of(j, m)] = sums[n, m]


def tiled(a_transposed: bool, b_transposed: bool, storage: str = "float32") -> DeviceKernel:
    """Make the kernel for one way in which a and b may lie; the compiler sees only that one."""
    far = b_transposed and storage != "float32"
    depth = 2 * DEPTH if far else DEPTH
    a_fetches, b_count = depth // DEPTH, depth // 2
    fetch_a: Callable[..., None] = fetch_along if a_transposed else fetch_across
    stage_a: Callable[..., None] = stage_along if a_transposed else stage_across
    fetch_b: Callable[..., None] = fetch_across if b_transposed else fetch_along
    stage_b: Callable[..., None] = stage_across if b_transposed else stage_along
    if far:
        fetch_b, stage_b = fetch_far_across, stage_far_across

    def multiply(
        a: Any, b: Any, bias: Any, y: Any, a_repeat: int, a_after: int, b_repeat: int, b_after: int
    ) -> None:
        a_tiles = cuda.shared.array((2, depth, PADDED), float32, ALIGNMENT)
        b_tiles = cuda.shared.array((2, depth, PADDED), float32, ALIGNMENT)
        next_a = cuda.local.array((a_fetches, 4), float32, ALIGNMENT)
        next_b = cuda.local.array((1, b_count), b.dtype, ALIGNMENT)
        sums = cuda.local.array((PER_THREAD, PER_THREAD), float32, ALIGNMENT)
        top, left, z = place_of_block(y, SIDE)
        row, column = cuda.threadIdx.x // 16 * PER_THREAD, cuda.threadIdx.x % 16 * 4
        of_a, of_b = source(z, a_repeat, a_after), source(z, b_repeat, b_after)
        a_aligned, b_aligned = rows_are_aligned(a), rows_are_aligned(b)
        inner = a.shape[1] if a_transposed else a.shape[2]

        for j in range(PER_THREAD):
            to = left + column_of(column, j)
            start = bias[to] if to < bias.size else float32(0.0)
            for i in range(PER_THREAD):
                sums[i, j] = start
        buffer = 1
        for k in range(0, inner + depth, depth):
            for n in range(a_fetches):  # zeros, after the last
                fetch_a(next_a, n, a, of_a, top, k + DEPTH * n, a_aligned)
            fetch_b(next_b, 0, b, of_b, left, k, b_aligned)
            if k > 0:
                multiply_tiles(sums, a_tiles, b_tiles, buffer, row, column)
            buffer = 1 - buffer
            for n in range(a_fetches):
                stage_a(a_tiles, buffer, next_a, n)
            stage_b(b_tiles, buffer, next_b, 0)
            cuda.syncthreads()
        store(y, z, top + row, left + column, sums)

    multiply.__name__ = NAMES[a_transposed, b_transposed]
    multiply.__doc__ = "Compute 128 by 128 elements of y; see the head of this file."
    return stored_as(storage, SIGNATURE, blocks=1 if far else 2)(multiply)


NAMES = {
    (False, False): "matmul_register_tiles",
    (True, False): "matmul_register_tiles_a_transposed",
    (False, True): "matmul_register_tiles_b_transposed",
}
KERNELS = {
    (*lies, STORAGES[storage]): tiled(*lies, storage)
    for lies in NAMES
    for storage in STORAGES
    if storage == "float32" or not lies[0]
}
"""By whether a, and b, is stored transposed, and by what b is stored in.

y, and the gradients at b and at a, in this order; of weights in 16 bits nobody asks for a gradient.
"""
