"""Top rung of the matrix product: 8 by 8 sums a thread, 128-bit loads, and two buffers.

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

At the edges, and where rows do not start at multiples of 16 bytes, numbers are fetched one by one,
and zeros stand for what is outside: they change no sum. Numba's simulator cannot run this rung, for
it has no 128-bit loads.

Each element of a is fetched from global memory once for every 128 columns of y, each of b once for
every 128 rows: with a tile of 16 it was eight times as often.

What is left: a thread takes about 140 registers, so one block at a time fits into a multiprocessor
of 65,536; with 128 there would be two, and while one waits at a barrier the other could go on.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda, float32

from minitransformer.backends.cuda.broadcasting import source
from minitransformer.backends.cuda.kernel import DeviceKernel, device_function, device_kernel
from minitransformer.backends.cuda.vectors import copy4, rows_are_aligned

SIDE = 128
"""Rows and columns of y that a block computes."""
HALF = SIDE // 2
DEPTH = 8
"""Steps of the inner sum between two barriers."""
PADDED = SIDE + 4
PER_THREAD = 8
THREADS = (SIDE // PER_THREAD) ** 2
ALIGNMENT = 16

SIGNATURE = (
    "float32[:, :, ::1], float32[:, :, ::1], float32[::1], float32[:, :, ::1], "
    "int64, int64, int64, int64"
)


@device_function
def fetch_four(four: Any, x: Any, z: int, i: int, j: int, aligned: bool) -> None:
    """Load ``x[z, i, j : j + 4]`` into registers, with zeros for what is outside."""
    if aligned and i < x.shape[1] and j < x.shape[2]:
        copy4(four, 0, x, (z, i, j))
    else:
        for n in range(4):
            inside = i < x.shape[1] and j + n < x.shape[2]
            four[n] = x[z, i, j + n] if inside else float32(0.0)


@device_function
def fetch_across(four: Any, x: Any, z: int, first: int, k: int, aligned: bool) -> None:
    """Fetch from a matrix with the inner axis last: two threads a row, 32 bytes in one piece."""
    thread = cuda.threadIdx.x
    fetch_four(four, x, z, first + thread // 2, k + thread % 2 * 4, aligned)


@device_function
def fetch_along(four: Any, x: Any, z: int, first: int, k: int, aligned: bool) -> None:
    """Fetch from a matrix with the inner axis first: a warp for each step, 512 bytes in a row."""
    thread = cuda.threadIdx.x
    fetch_four(four, x, z, k + thread // 32, first + thread % 32 * 4, aligned)


@device_function
def stage_across(tiles: Any, buffer: int, four: Any) -> None:
    """Turn over what :func:`fetch_across` fetched: four steps of one row."""
    thread = cuda.threadIdx.x
    for n in range(4):
        tiles[buffer, thread % 2 * 4 + n, thread // 2] = four[n]


@device_function
def stage_along(tiles: Any, buffer: int, four: Any) -> None:
    """Put down what :func:`fetch_along` fetched, as it is."""
    thread = cuda.threadIdx.x
    copy4(tiles, (buffer, thread // 32, thread % 32 * 4), four, 0)


@device_function
def multiply_tiles(
    sums: Any, a_tiles: Any, b_tiles: Any, buffer: int, row: int, column: int
) -> None:
    """Add ``DEPTH`` products to each of the thread's sums: this is where the time goes."""
    of_a = cuda.local.array(PER_THREAD, float32, ALIGNMENT)
    of_b = cuda.local.array(PER_THREAD, float32, ALIGNMENT)
    for k in range(DEPTH):
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


def tiled(name: str, a_transposed: bool, b_transposed: bool) -> DeviceKernel:
    """Make the kernel for one way in which a and b may lie; the compiler sees only that one."""
    fetch_a: Callable[..., None] = fetch_along if a_transposed else fetch_across
    stage_a: Callable[..., None] = stage_along if a_transposed else stage_across
    fetch_b: Callable[..., None] = fetch_across if b_transposed else fetch_along
    stage_b: Callable[..., None] = stage_across if b_transposed else stage_along

    def multiply(
        a: Any, b: Any, bias: Any, y: Any, a_repeat: int, a_after: int, b_repeat: int, b_after: int
    ) -> None:
        a_tiles = cuda.shared.array((2, DEPTH, PADDED), float32, ALIGNMENT)
        b_tiles = cuda.shared.array((2, DEPTH, PADDED), float32, ALIGNMENT)
        next_a = cuda.local.array(4, float32, ALIGNMENT)
        next_b = cuda.local.array(4, float32, ALIGNMENT)
        sums = cuda.local.array((PER_THREAD, PER_THREAD), float32, ALIGNMENT)
        top, left, z = cuda.blockIdx.x * SIDE, cuda.blockIdx.y * SIDE, cuda.blockIdx.z
        row, column = cuda.threadIdx.x // 16 * PER_THREAD, cuda.threadIdx.x % 16 * 4
        of_a, of_b = source(z, a_repeat, a_after), source(z, b_repeat, b_after)
        a_aligned, b_aligned = rows_are_aligned(a), rows_are_aligned(b)
        inner = a.shape[1] if a_transposed else a.shape[2]

        for j in range(PER_THREAD):
            to = left + column_of(column, j)
            start = bias[to] if to < bias.size else float32(0.0)
            for i in range(PER_THREAD):
                sums[i, j] = start
        fetch_a(next_a, a, of_a, top, 0, a_aligned)
        fetch_b(next_b, b, of_b, left, 0, b_aligned)
        stage_a(a_tiles, 0, next_a)
        stage_b(b_tiles, 0, next_b)
        cuda.syncthreads()
        buffer = 0
        for k in range(DEPTH, inner + DEPTH, DEPTH):
            fetch_a(next_a, a, of_a, top, k, a_aligned)  # zeros, after the last
            fetch_b(next_b, b, of_b, left, k, b_aligned)
            multiply_tiles(sums, a_tiles, b_tiles, buffer, row, column)
            buffer = 1 - buffer
            stage_a(a_tiles, buffer, next_a)
            stage_b(b_tiles, buffer, next_b)
            cuda.syncthreads()
        store(y, z, top + row, left + column, sums)

    multiply.__name__ = name
    multiply.__doc__ = "Compute 128 by 128 elements of y; see the head of this file."
    return device_kernel(SIGNATURE)(multiply)


KERNELS = {
    (False, False): tiled("matmul_register_tiles", False, False),
    (True, False): tiled("matmul_register_tiles_a_transposed", True, False),
    (False, True): tiled("matmul_register_tiles_b_transposed", False, True),
}
"""By whether a, and b, is stored transposed: y, and the gradients at b and at a, in this order."""
