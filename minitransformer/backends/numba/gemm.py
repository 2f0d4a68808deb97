"""General matrix product ``c = a b``, at the speed of the multiply-add units.

Three ideas, from the inside out:

1. **Tiles.** A tile of c stays in registers while the sum over k runs (:mod:`.simd`).
2. **Packing.** b is first copied into *panels* as wide as a tile, in the order in which tiles read
   it (:mod:`.packing`). However b lay in memory, the innermost loop reads it from one end to the
   other. So is a, in panels as high as a tile, if its rows are not contiguous.
3. **Blocking.** The sum over k is cut into blocks of ``DEPTH``, so that a block of a panel stays
   in the first cache while rows pass by, and ``ROW_BLOCK`` rows of a stay in the second.

Every element of c is summed by one core in the order of k. So any way to share out rows and columns
gives the same bits.

References
----------
Goto, van de Geijn (2008), Anatomy of High-Performance Matrix Multiplication.
"""

import numpy as np

from minitransformer.backends.numba.packing import pack, pack_all, parts
from minitransformer.backends.numba.simd import multiply_add_tile
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.backends.numba.tiles import ROW_BYTES, ROWS

DEPTH = 384
ROW_BLOCK = 32 * ROWS


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
    a_is_packed = a.strides[1] != a.itemsize
    if a_is_packed:
        a = pack_all(a.T, ROWS).T
    panels = pack_all(b, ROW_BYTES // b.itemsize)
    start = np.zeros((ROWS, c.shape[1] + panels.shape[1]), c.dtype)
    if bias is not None:
        start[:, : len(bias)] = bias
    _multiply(a, panels, start, c, a_is_packed, add)


@sharded(any_strides=1, any_split=True)
@compiled
def _multiply(
    a: Array,
    panels: Array,
    start: Array,
    c: Array,
    a_is_packed: bool,
    add: bool,
    shard: int,
    shards: int,
) -> None:
    """Compute a part of the rows, or of the panels if there are more of them than of tiles."""
    M, N = c.shape
    tiles, count = parts(M, ROWS), parts(N, panels.shape[1])
    first_row, last_row, first_panel, last_panel = 0, M, 0, count
    if tiles >= count:
        first_row = shard * tiles // shards * ROWS
        last_row = min((shard + 1) * tiles // shards * ROWS, M)
    else:
        first_panel = shard * count // shards
        last_panel = (shard + 1) * count // shards
    multiply_part(
        a, panels, start, c, a_is_packed, add, first_row, last_row, first_panel, last_panel
    )


@sharded(any_strides=2, any_split=True)
@compiled
def multiply_batch(a: Array, b: Array, c: Array, shard: int, shards: int) -> None:
    """Compute ``c[n] = a[n] b[n]`` for all n, each on one core; rows of a are contiguous."""
    batch, K, N = b.shape
    M = a.shape[1]
    columns = ROW_BYTES // c.itemsize
    count = parts(N, columns)
    panels = np.empty((count * K, columns), c.dtype)
    start = np.zeros((ROWS, count * columns), c.dtype)
    part = part_of(batch, shard, shards)
    for n in range(part.start, part.stop):
        pack(b[n], panels, 0, count)
        multiply_part(a[n], panels, start, c[n], False, False, 0, M, 0, count)


@compiled
def multiply_part(
    a: Array,
    panels: Array,
    start: Array,
    c: Array,
    a_is_packed: bool,
    add: bool,
    first_row: int,
    last_row: int,
    first_panel: int,
    last_panel: int,
) -> None:
    """Compute some rows of some panels of c on one core; every tile begins at ``start``."""
    N, columns = c.shape[1], panels.shape[1]
    K = len(panels) // max(parts(N, columns), 1)
    edge = np.empty((ROWS, columns), c.dtype)
    for k in range(0, max(K, 1), DEPTH):
        depth = min(DEPTH, K - k)
        for block in range(first_row, last_row, ROW_BLOCK):
            end = min(block + ROW_BLOCK, last_row)
            for p in range(first_panel, last_panel):
                j = p * columns
                width = min(columns, N - j)
                full = width == columns
                fresh = k == 0 and not add
                out = c if full else edge
                base = start if fresh else out
                for i in range(block, end, ROWS):
                    rows = min(ROWS, end - i)
                    if not full and not fresh:
                        _move(c, i, j, edge, 0, 0, rows, width)
                    oi, oj = (i, j) if full else (0, 0)
                    bi, bj = (0, j) if fresh else (oi, oj)
                    ai, ak = (0, i // ROWS * K + k) if a_is_packed else (i, k)
                    multiply_add_tile(
                        out, oi, oj, base, bi, bj, a, ai, ak, panels, p * K + k, depth, rows
                    )
                    if not full:
                        _move(edge, 0, 0, c, i, j, rows, width)


@compiled
def _move(
    source: Array, i: int, j: int, to: Array, row: int, column: int, rows: int, width: int
) -> None:
    for r in range(rows):
        for n in range(width):
            to[row + r, column + n] = source[i + r, j + n]
