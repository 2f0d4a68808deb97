"""The product of two matrices: the climb from 1% to all of what the machine can do.

Two square matrices of 672 rows: 1.8 MB each, more than a core's second cache (0.25 to 2 MB) and
less than the third. The product is 2 * 672^3 = 607 million operations on three matrices, 84 for
each byte that has to come from memory, once. So memory is not the limit, and all rungs stand in one
column of the picture. What differs is how often a number is fetched again from a cache into a
register. A core can start two multiply-adds of 4 to 16 lanes each cycle, but only about two loads
and one store: **a product is fast if every number that is loaded is used many times.**

| rung         | loads and stores for each multiply-add | where they find the numbers          |
|--------------|----------------------------------------|--------------------------------------|
| three loops  | 2, for a single number                 | second cache, a line for each number |
| loop order   | 3, for a vector                        | first cache, and for b the third     |
| blocking     | 1.5, for a vector                      | first cache, and for b the second    |
| packing      | 1.5, for a vector                      | first cache                          |
| micro-kernel | 0.7, for a vector (tile of 6 by 16)    | first cache                          |
"""

import numpy as np

from benchmarks.ladders.rungs import READ, WRITE, Array, Arrays, Ladder, Rung
from minitransformer.backends.numba.gemm import multiply
from minitransformer.backends.numba.simd import multiply_add_tile
from minitransformer.backends.numba.threads import compiled, seen_by_python
from minitransformer.backends.numba.tiles import ROW_BYTES, ROWS

SIDE = (
    672  # a multiple of every block below, and rows do not all fall on the same places of a cache
)
DEPTH, WIDTH = 32, 224
"""Rows and columns of b in a block: 28 KB, which fits into a first cache of 32 KB."""


@seen_by_python
@compiled
def three_loops(a: Array, b: Array) -> Array:
    """Write the definition down: every element of c is the sum of K products.

    The innermost loop walks down a column of b. Neighbours in a column are a whole row apart in
    memory, so each step fetches a line of 64 bytes for the sake of 4, and 672 such lines, 43 KB,
    are more than the first cache holds: before the next column could use them, they are gone. Nor
    can vector lanes help, as additions may not be reordered. Expect 1 to 2 operations a nanosecond,
    of the hundred that a core can do.
    """
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            total = a.dtype.type(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total
    return c


@seen_by_python
@compiled
def loop_order(a: Array, b: Array) -> Array:
    """Swap the two inner loops: add multiples of rows of b to a row of c.

    The same additions in the same order, but now the innermost loop walks along rows. All of a
    line is used, the hardware sees the pattern and fetches ahead, and since the elements of a row
    do not depend on each other, the compiler uses vector lanes. Expect ten to twenty times the
    speed, for a swap of two lines. What is left: for every multiply-add there are two loads and one
    store of the first cache, and all of b comes by from the third for every row of a.
    """
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(c.shape[0]):
        for k in range(a.shape[1]):
            factor = a[i, k]
            for j in range(c.shape[1]):
                c[i, j] += factor * b[k, j]
    return c


@seen_by_python
@compiled
def blocking(a: Array, b: Array) -> Array:
    """Let 32 rows of b serve all rows of a before the next 32, and four of them at a time.

    A block is 86 KB and stays in the second cache, so b comes from the third once and not 672
    times. Taking four rows at once blocks for registers: a vector of c is loaded and stored once
    for four multiply-adds. Of the two it is the latter that shows on one core, since a third cache
    keeps up with one core; the former shows when all cores draw on it, or when b is larger than it.
    """
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for first in range(0, a.shape[1], DEPTH):
        for i in range(c.shape[0]):
            for k in range(first, first + DEPTH, 4):
                f, g, p, q = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
                for j in range(c.shape[1]):
                    c[i, j] += f * b[k, j] + g * b[k + 1, j] + p * b[k + 2, j] + q * b[k + 3, j]
    return c


@seen_by_python
@compiled
def packing(a: Array, b: Array) -> Array:
    """Copy a block of b together, so small that it stays in the first cache.

    A block of 32 by 224 is cut out of the middle of b. In place its rows lie 2,688 bytes apart, on
    pages and in cache sets of their own, and to the compiler a cut-out may have any stride, so it
    gives vector lanes up (try it: five times slower). A copy is 28 KB in one piece. It costs one
    pass over b and is used for all 672 rows of a.
    """
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    block = np.empty((DEPTH, WIDTH), b.dtype)
    for first in range(0, a.shape[1], DEPTH):
        for column in range(0, b.shape[1], WIDTH):
            block[:] = b[first : first + DEPTH, column : column + WIDTH]
            for i in range(c.shape[0]):
                row = c[i, column : column + WIDTH]
                for k in range(0, DEPTH, 4):
                    x = first + k
                    f, g, p, q = a[i, x], a[i, x + 1], a[i, x + 2], a[i, x + 3]
                    for j in range(WIDTH):
                        row[j] += (
                            f * block[k, j]
                            + g * block[k + 1, j]
                            + p * block[k + 2, j]
                            + q * block[k + 3, j]
                        )
    return c


def micro_kernel(a: Array, b: Array) -> Array:
    """Keep a tile of c in registers while the whole sum over k runs.

    So far every fourth multiply-add at the latest stored c and loaded it again. A tile of 6 rows by
    two vectors (with AVX2; 14 by two with AVX-512) fills the registers: each k loads 2 vectors of b
    and 6 numbers of a, and does 12 multiply-adds with them. NumPy and loops in Numba cannot say
    "stay in registers", so the library's tile says it to LLVM. b is packed in panels as wide as a
    tile. Expect 80% to 95% of what one core can do.
    """
    columns = ROW_BYTES // b.itemsize
    panels = b.reshape(len(b), -1, columns).swapaxes(0, 1).reshape(-1, columns)
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    _multiply_tiles(a, panels, c)
    return c


@seen_by_python
@compiled
def _multiply_tiles(a: Array, panels: Array, c: Array) -> None:
    (M, K), columns = a.shape, panels.shape[1]
    for p in range(len(panels) // K):
        for i in range(0, M, ROWS):
            j, rows = p * columns, min(ROWS, M - i)
            multiply_add_tile(c, i, j, c, i, j, a, i, 0, panels, p * K, K, rows)


def threads(a: Array, b: Array) -> Array:
    """Share the tiles out to all cores: this is the library's kernel.

    The cores write different parts of c and only read a and b, so they need not wait for each other
    before the end. Expect nearly as many times the speed as there are cores, less what waking them,
    packing, and a clock that slows down when all work, cost.
    """
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    multiply(a, b, c)
    return c


def openblas(a: Array, b: Array) -> Array:
    """Ask NumPy, which asks OpenBLAS: decades of work, in assembly, for each kind of CPU.

    Not a rung but the yardstick. It does the same three things: tiles, packing, threads.
    """
    c: Array = np.matmul(a, b)
    return c


def ladder(side: int = SIDE) -> Ladder:
    """Rungs for square matrices; ``side`` is a multiple of 224."""

    def inputs() -> Arrays:
        return tuple(np.random.default_rng(0).standard_normal((2, side, side), np.float32))

    work = (2 * READ + WRITE) * side**2, 2 * side**3
    return Ladder(
        title=f"matmul: {side} x {side} times {side} x {side}",
        story=__doc__ or "",
        inputs=inputs,
        reference=np.matmul,
        rungs=[
            Rung("three loops", three_loops, *work),
            Rung("loop order", loop_order, *work),
            Rung("blocking", blocking, *work),
            Rung("packing", packing, *work),
            Rung("SIMD micro-kernel", micro_kernel, *work),
            Rung("threads: the library", threads, *work),
            Rung("OpenBLAS, the yardstick", openblas, *work),
        ],
    )
