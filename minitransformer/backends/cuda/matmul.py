"""Batched matrix product, and how a GPU is programmed, from the bottom up.

A GPU runs one program, the *kernel*, in thousands of *threads* at once. Threads come in *blocks*
(here of 256), and each asks which one it is: ``blockIdx`` says which block of the grid,
``threadIdx`` which thread of the block. Groups of 32, *warps*, carry out each instruction together.

What a kernel costs is above all the way of its numbers:

============= ========================== =================== ==============================
memory        who sees it                size (A100)         answers after about
============= ========================== =================== ==============================
registers     one thread                 255 numbers         at once
shared memory the threads of one block   48 KB a block       30 cycles
global memory all, and the host          40 GB               500 cycles, 32 bytes at a time
============= ========================== =================== ==============================

A multiply-add takes a thread one cycle, so numbers must be used again and again on each level
before they are fetched once more from the one below. This is the whole story of the ladder:

1. :data:`matmul_thread_per_element`: each thread computes one element of y, all from global memory.
2. :data:`matmul_shared_tiles`: a block fetches tiles of a and b that its threads share.
3. :data:`matmul_thread_tiles`: each thread keeps 16 sums in registers.
4. :mod:`.matmul_tiles`: 64 sums, loads of 128 bits, and the next tile on its way meanwhile;
   and b stored in 16 bits, see :mod:`.storage`.

Where warps meet global memory, look at the addresses: 32 lanes that read 32 neighbours are served
with four pieces of 32 bytes (*coalescing*); if they are far apart it takes 32 pieces, for the same
128 bytes. So the thread number runs along rows, everywhere below.
"""

import math
from typing import Any

import numpy as np
from numba import cuda, float32

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda import matmul_tiles
from minitransformer.backends.cuda.arrays import Array, empty, require_unrounded, to_device
from minitransformer.backends.cuda.broadcasting import (
    Repetition,
    repeated_once,
    source,
    summed_to,
)
from minitransformer.backends.cuda.kernel import (
    SIMULATED,
    device_function,
    device_kernel,
    kernel_of_each_storage,
)
from minitransformer.backends.cuda.matmul_tiles import grid_of
from minitransformer.backends.cuda.widening import widen
from minitransformer.ops.matmul import MatmulCache

TILE = 4 if SIMULATED else 16
"""Rows and columns of a tile in shared memory."""
PADDED = TILE + 1
"""Numbers between the beginnings of two rows: a column's numbers lie in different banks."""
FEW = 32
"""So few rows, or columns, would leave most of a large tile empty."""


@device_kernel("float32[:, ::1], float32[:, ::1], float32[:, ::1]")
def matmul_thread_per_element(a: Any, b: Any, y: Any) -> None:
    """Write the definition down: one thread, one element, one sum over k.

    The lanes of a warp have neighbouring j: ``b[k, j]`` is coalesced, ``a[i, k]`` is the same for
    all and fetched once. But every multiply-add waits for two loads from global memory, and the
    threads below and beside fetch the same numbers again: each of a comes N times, each of b M
    times.
    """
    j, i = cuda.grid(2)
    if i < y.shape[0] and j < y.shape[1]:
        total = float32(0.0)
        for k in range(a.shape[1]):
            total += a[i, k] * b[k, j]
        y[i, j] = total


@device_function
def fetch_tile(tile: Any, x: Any, z: int, top: int, left: int, transposed: bool) -> None:
    """Bring one number a thread, zero outside: ``tile[r, c]`` becomes ``x[z, top + r, left + c]``.

    Of a matrix that is stored transposed the rows are fetched too, so as to be coalesced, and
    turned over on the way into the tile.
    """
    row, column = cuda.threadIdx.y, cuda.threadIdx.x
    i, j = (left + row, top + column) if transposed else (top + row, left + column)
    number = widen(x[z, i, j]) if i < x.shape[1] and j < x.shape[2] else float32(0.0)
    if transposed:
        tile[column, row] = number
    else:
        tile[row, column] = number


@kernel_of_each_storage(f"{matmul_tiles.SIGNATURE}, boolean, boolean")
def matmul_shared_tiles(
    a: Any,
    b: Any,
    bias: Any,
    y: Any,
    a_repeat: int,
    a_after: int,
    b_repeat: int,
    b_after: int,
    a_transposed: bool,
    b_transposed: bool,
) -> None:
    """Let the 256 threads of a block compute 16 by 16 elements from tiles that they share.

    Each thread fetches one number of either tile, waits until all have (``syncthreads``), and uses
    16 of each: global memory is read a sixteenth as often. The second barrier keeps the fast from
    overwriting a tile that the slow still read. Shared memory has 32 *banks*, neighbours in
    different ones: lanes that want different numbers of one bank wait for each other. Here the
    lanes of a warp read two numbers of a and 16 neighbours of b, without conflict. A row of a tile
    has 17 numbers, not 16: that costs a conflict when two rows are written, as number 32 meets
    number 0, and saves 14 when a tile is turned over.

    What is left: two loads from shared memory for each multiply-add.
    """
    a_tile = cuda.shared.array((TILE, PADDED), float32)
    b_tile = cuda.shared.array((TILE, PADDED), float32)
    row, column = cuda.threadIdx.y, cuda.threadIdx.x
    top, left, z = matmul_tiles.place_of_block(y, TILE)
    of_a, of_b = source(z, a_repeat, a_after), source(z, b_repeat, b_after)
    inner = a.shape[1] if a_transposed else a.shape[2]
    total = bias[left + column] if left + column < bias.size else float32(0.0)
    for k in range(0, inner, TILE):
        fetch_tile(a_tile, a, of_a, top, k, a_transposed)
        fetch_tile(b_tile, b, of_b, k, left, b_transposed)
        cuda.syncthreads()
        for n in range(TILE):
            total += a_tile[row, n] * b_tile[n, column]
        cuda.syncthreads()
    if top + row < y.shape[1] and left + column < y.shape[2]:
        y[z, top + row, left + column] = total


SIDE, DEPTH, PER_THREAD = 64, 16, 4


@device_kernel("float32[:, ::1], float32[:, ::1], float32[:, ::1]")
def matmul_thread_tiles(a: Any, b: Any, y: Any) -> None:
    """Let each thread keep 4 by 4 sums in registers, 64 by 64 a block.

    For each k it reads 4 numbers of a and 4 of b from shared memory, for 16 multiply-adds: half a
    load each rather than two. A *local* array whose indices are known when the kernel is compiled,
    because its loops are unrolled, is kept in registers. The sums of a thread are 16 rows and 16
    columns apart, so that neighbouring lanes still read neighbouring columns of b.
    """
    a_tile = cuda.shared.array((SIDE, DEPTH), float32)
    b_tile = cuda.shared.array((DEPTH, SIDE), float32)
    sums = cuda.local.array((PER_THREAD, PER_THREAD), float32)
    thread = cuda.threadIdx.x
    row, column = thread // 16, thread % 16
    top, left = cuda.blockIdx.x * SIDE, cuda.blockIdx.y * SIDE
    for i in range(PER_THREAD):
        for j in range(PER_THREAD):
            sums[i, j] = float32(0.0)
    for k in range(0, a.shape[1], DEPTH):
        for n in range(PER_THREAD):
            r, c = thread // DEPTH + 16 * n, thread % DEPTH
            inside = top + r < a.shape[0] and k + c < a.shape[1]
            a_tile[r, c] = a[top + r, k + c] if inside else float32(0.0)
            r, c = thread // SIDE + 4 * n, thread % SIDE
            inside = k + r < b.shape[0] and left + c < b.shape[1]
            b_tile[r, c] = b[k + r, left + c] if inside else float32(0.0)
        cuda.syncthreads()
        for n in range(DEPTH):
            for i in range(PER_THREAD):
                for j in range(PER_THREAD):
                    sums[i, j] += a_tile[row + 16 * i, n] * b_tile[n, column + 16 * j]
        cuda.syncthreads()
    for i in range(PER_THREAD):
        for j in range(PER_THREAD):
            if top + row + 16 * i < y.shape[0] and left + column + 16 * j < y.shape[1]:
                y[top + row + 16 * i, left + column + 16 * j] = sums[i, j]


def product(
    a: Array,
    b: Array,
    a_transposed: bool = False,
    b_transposed: bool = False,
    bias: Array | None = None,
) -> Array:
    """Multiply matrices, of which one at most is stored transposed, and add bias to every row."""
    if len(b.shape) == 2 and not a_transposed:  # all rows of a at once
        rows = (1, math.prod(a.shape[:-1]), a.shape[-1])
        y = _batched(a.reshape(rows), b, False, b_transposed, bias)
        return y.reshape(*a.shape[:-1], y.shape[-1])
    return _batched(a, b, a_transposed, b_transposed, bias)


def _batched(
    a: Array,
    b: Array,
    a_transposed: bool,
    b_transposed: bool,
    bias: Array | None,
) -> Array:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    rows, columns = a.shape[-1 if a_transposed else -2], b.shape[-2 if b_transposed else -1]
    y = empty((math.prod(batch), rows, columns))
    a, of_a = _matrices(a, batch)
    b, of_b = _matrices(b, batch)
    arguments = (a, b, empty((0,)) if bias is None else bias, y, *of_a[1:], *of_b[1:])
    if SIMULATED or min(rows, columns) <= FEW:
        small, block = matmul_shared_tiles[b.storage], (TILE, TILE)
        small.launch(grid_of(y, TILE), block, *arguments, a_transposed, b_transposed)
    else:
        large = matmul_tiles.KERNELS[a_transposed, b_transposed, b.storage]
        large.launch(grid_of(y, matmul_tiles.SIDE), matmul_tiles.THREADS, *arguments)
    return y.reshape(*batch, rows, columns)


def _matrices(x: Array, batch: tuple[int, ...]) -> tuple[Array, Repetition]:
    """Number the matrices along one axis; say which one belongs to an entry of the batch."""
    matrix = x.shape[-2:]
    flat, elements = repeated_once(x, (*batch, *matrix))
    size = max(math.prod(matrix), 1)
    matrices = flat.reshape(x.size and flat.size // size, *matrix)
    return matrices, Repetition(elements.before, elements.repeat, max(elements.after // size, 1))


@kernel("cuda", ops.matmul_forward)
def matmul_forward(a: Any, b: Any) -> tuple[Array, MatmulCache]:
    """Multiply; a batch axis along which an argument is repeated costs no copy."""
    a, b = to_device(a), to_device(b)
    return product(a, b), MatmulCache(a, b)


@kernel("cuda", ops.matmul_backward)
def matmul_backward(dy: Any, cache: MatmulCache) -> tuple[Array, Array]:
    """Multiply by the transposes, which are read as they lie, and sum over repetitions."""
    a, b = cache
    require_unrounded("matmul_backward", b=b)
    dy = to_device(dy)
    # y = a @ b
    da = summed_to(product(dy, b, b_transposed=True), a.shape)
    if len(b.shape) == 2:
        a, dy = (x.reshape(-1, x.shape[-1]) for x in (a, dy))
    return da, summed_to(product(a, dy, a_transposed=True), b.shape)
