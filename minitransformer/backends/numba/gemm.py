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
the other, which all cores need, is packed as a whole beforehand. Every element of c is summed by
one core in the order of k. So any way to share out gives the same bits.

References
----------
Goto, van de Geijn (2008), Anatomy of High-Performance Matrix Multiplication.
"""

import numpy as np

from minitransformer.backends.numba.hints import strided
from minitransformer.backends.numba.packing import pack, pack_all, parts
from minitransformer.backends.numba.simd import multiply_add_tile
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.backends.numba.tiles import ROW_BYTES, ROWS

DEPTH = 384
ROW_BLOCK = 32 * ROWS
PANEL_BLOCK = 16


def multiply(a: Array, b: Array, c: Array, bias: Array | None = None, add: bool = False) -> None:
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
    """
    (M, N), K, columns = c.shape, len(b), ROW_BYTES // b.itemsize
    by_rows = M * columns > N * ROWS
    a_is_packed = not by_rows and a.strides[1] != a.itemsize
    if by_rows:
        b = pack_all(b, columns)
    elif a_is_packed:
        a = pack_all(a.T, ROWS).T
    start = np.zeros((ROWS, N + columns), c.dtype)
    if bias is not None:
        start[:, :N] = bias
    _multiply(a, b, start, c, K, by_rows, a_is_packed, add)


@sharded(any_strides=2, any_split=True)
@compiled
def _multiply(
    a: Array,
    b: Array,
    start: Array,
    c: Array,
    K: int,
    by_rows: bool,
    a_is_packed: bool,
    add: bool,
    shard: int,
    shards: int,
) -> None:
    """Compute a part of the rows, with b packed, or a part of the columns."""
    M, N = c.shape
    count = parts(N, ROW_BYTES // c.itemsize)
    rows, panels, step = slice(0, M), slice(0, count), max(count, 1)
    if by_rows:
        tiles = part_of(parts(M, ROWS), shard, shards)
        rows = slice(tiles.start * ROWS, min(tiles.stop * ROWS, M))
    else:
        panels, step = part_of(count, shard, shards), PANEL_BLOCK
    for first in range(panels.start, panels.stop, step):
        block = slice(first, min(first + step, panels.stop))
        multiply_part(a, b, start, c, K, a_is_packed, by_rows, add, rows, block)


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
