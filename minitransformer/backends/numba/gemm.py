"""General matrix product ``c = a b``, at the speed of the multiply-add units.

Three ideas, from the inside out:

1. **Tiles.** A tile of c stays in registers while the sum over k runs (:mod:`.simd`).
2. **Packing.** b is copied into *panels* as wide as a tile, in the order in which tiles read it
   (:mod:`.packing`). However b lay in memory, the innermost loop reads it from one end to the
   other. So is a, in panels as high as a tile, if its rows are not contiguous.
3. **Blocking.** The sum over k is cut into blocks of ``DEPTH``, so that a block of a panel stays
   in the first cache while rows pass by, and ``ROW_BLOCK`` rows of a stay in the second.

Cores share out the rows of c, or its columns if those make more tiles. The matrix that is shared
out with them is packed block by block, by the core that needs it, which finds it in its cache then;
the other, which all cores need, is packed as a whole in a first step. Every element of c is summed
by one core in the order of k. So any way to share out gives the same bits.

References
----------
Goto, van de Geijn (2008), Anatomy of High-Performance Matrix Multiplication.
"""

import numpy as np

from minitransformer.backends.numba.endings import NOTHING, finish
from minitransformer.backends.numba.hints import contiguous, strided
from minitransformer.backends.numba.packing import pack, pack_part, parts
from minitransformer.backends.numba.simd import multiply_add_tile
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.backends.numba.tiles import ROW_BYTES, ROWS

DEPTH = 384
ROW_BLOCK = 32 * ROWS
PANEL_BLOCK = 16


def multiply(
    a: Array,
    b: Array,
    c: Array,
    bias: Array | None = None,
    add: bool = False,
    ending: int = NOTHING,
    other: Array | None = None,
    sums: Array | None = None,
) -> None:
    """Compute ``c = a b + bias``, or ``c += a b``.

    Parameters
    ----------
    a : (M, K)
        Of any strides, as is b.
    b : (K, N)
    c : (M, N)
        C-contiguous; overwritten.
    bias : (N,), optional
        Added to every row.
    add
        Add to what c holds, and no bias.
    ending
        What is done with the result at once, see :mod:`.endings`.
    other : (M, N), optional
        The matrix that the ending needs, C-contiguous.
    sums : (N,), optional
        The sum of b's rows, which have to be contiguous, is added to it.
    """
    (M, N), K, columns = c.shape, len(b), ROW_BYTES // b.itemsize
    by_rows = M * columns > N * ROWS
    a_is_packed = not by_rows and a.strides[1] != a.itemsize
    height, width = (N, columns) if by_rows else (M * a_is_packed, ROWS)
    panels = np.empty((-(-height // width) * K, width), c.dtype)
    start = np.zeros((ROWS, N + columns), c.dtype)
    if bias is not None:
        start[:, :N] = bias
    other, sums = c if other is None else other, start[0, :0] if sums is None else sums
    _multiply(a, b, panels, start, c, other, sums, K, by_rows, a_is_packed, add, ending)


@sharded(any_strides=2, any_split=True, steps=lambda *args: 2)
@compiled
def _multiply(
    a: Array,
    b: Array,
    panels: Array,
    start: Array,
    c: Array,
    other: Array,
    sums: Array,
    K: int,
    by_rows: bool,
    a_is_packed: bool,
    add: bool,
    ending: int,
    shard: int,
    shards: int,
) -> None:
    """Pack what all cores need; then compute a part of the rows, or a part of the columns."""
    step, shard = divmod(shard, shards)
    if step == 0:
        if by_rows or a_is_packed:
            pack_part(b if by_rows else a.T, panels, shard, shards)
        if sums.size:
            _add_rows(b, sums, part_of(sums.size, shard, shards))
        return
    if by_rows:
        b = strided(panels)
    elif a_is_packed:
        a = strided(panels.T)
    M, N = c.shape
    columns = ROW_BYTES // c.itemsize
    count = parts(N, columns)
    rows, part, size = slice(0, M), slice(0, count), max(count, 1)
    if by_rows:
        tiles = part_of(parts(M, ROWS), shard, shards)
        rows = slice(tiles.start * ROWS, min(tiles.stop * ROWS, M))
    else:
        part, size = part_of(count, shard, shards), PANEL_BLOCK
    for first in range(part.start, part.stop, size):
        block = slice(first, min(first + size, part.stop))
        multiply_part(a, b, start, c, K, a_is_packed, by_rows, add, rows, block)
        finish(c, other, ending, rows, slice(first * columns, min(block.stop * columns, N)))


@compiled
def _add_rows(b: Array, sums: Array, part: slice) -> None:
    """Add some columns of all rows to their sums; other cores write close by, so only once."""
    total = np.zeros(part.stop - part.start, sums.dtype)
    for k in range(len(b)):
        row = contiguous(b[k, part])
        for n in range(total.size):
            total[n] += row[n]
    for n in range(total.size):
        sums[part.start + n] += total[n]


@sharded(any_strides=2, any_split=True)
@compiled
def multiply_batch(a: Array, b: Array, c: Array, shard: int, shards: int) -> None:
    """Compute ``c[n] = a[n] b[n]`` for all n, each on one core."""
    batch, M, N = c.shape
    K, columns = b.shape[1], ROW_BYTES // c.itemsize
    start = np.zeros((ROWS, N + columns), c.dtype)
    rows, panels, no = slice(0, M), slice(0, parts(N, columns)), M < 0
    part = part_of(batch, shard, shards)
    for n in range(part.start, part.stop):
        multiply_part(a[n], b[n], start, c[n], K, no, no, no, rows, panels)


@compiled
def multiply_part(
    a: Array,
    b: Array,
    start: Array,
    c: Array,
    K: int,
    a_is_packed: bool,
    b_is_packed: bool,
    add: bool,
    rows: slice,
    panels: slice,
) -> None:
    """Compute some rows of some panels of c on one core, and pack what is not packed yet.

    Tile t of a block of rows begins at ``a_block[t * down, t * across]``, panel p of a block of
    panels at ``b_block[p * height]``.
    """
    N, columns, count = c.shape[1], ROW_BYTES // c.itemsize, panels.stop - panels.start
    turn_a = not a_is_packed and a.strides[1] != a.itemsize
    a_buffer = np.empty((ROW_BLOCK // ROWS * DEPTH if turn_a else 0, ROWS), c.dtype)
    b_buffer = np.empty((0 if b_is_packed else count * min(DEPTH, K), columns), c.dtype)
    edge = np.empty((ROWS, columns), c.dtype)
    for k in range(0, max(K, 1), DEPTH):
        depth, fresh = min(DEPTH, K - k), k == 0 and not add
        b_block, height = b[panels.start * K + k :], K
        if not b_is_packed:
            pack(b[k : k + depth, panels.start * columns :], b_buffer, count)
            b_block, height = strided(b_buffer), depth
        for first in range(rows.start, rows.stop, ROW_BLOCK):
            last = min(first + ROW_BLOCK, rows.stop)
            a_block, down, across = a[first:, k:], ROWS, 0
            if a_is_packed:
                a_block, down, across = a[:, first // ROWS * K + k :], 0, K
            elif turn_a:
                pack(a[first:last, k : k + depth].T, a_buffer, parts(last - first, ROWS))
                a_block, down, across = strided(a_buffer.T), 0, depth
            for p in range(count):
                j = (panels.start + p) * columns
                width = min(columns, N - j)
                full = width == columns
                out = c if full else edge
                base = start if fresh else out
                for t in range(parts(last - first, ROWS)):
                    i = first + t * ROWS
                    n = min(ROWS, last - i)
                    oi, oj = (i, j) if full else (0, 0)
                    bi, bj = (0, j) if fresh else (oi, oj)
                    if not full and not fresh:
                        _move(c, i, j, edge, oi, oj, n, width)
                    ai, ak = t * down, t * across
                    multiply_add_tile(
                        out, oi, oj, base, bi, bj, a_block, ai, ak, b_block, p * height, depth, n
                    )
                    if not full:
                        _move(edge, oi, oj, c, i, j, n, width)


@compiled
def _move(
    source: Array, i: int, j: int, to: Array, row: int, column: int, rows: int, width: int
) -> None:
    for r in range(rows):
        for n in range(width):
            to[row + r, column + n] = source[i + r, j + n]
