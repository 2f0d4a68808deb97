"""Copies of matrices in the order in which a product's tiles read them."""

import numpy as np

from minitransformer.backends.numba.hints import never_inline
from minitransformer.backends.numba.simd import (
    copy_panel_row,
    copy_tile_column,
    copy_transposed,
    multiply_add_tile,
)
from minitransformer.backends.numba.threads import Array, compiled, part_of
from minitransformer.backends.numba.tiles import ROW_BYTES, ROWS, VECTOR_BYTES

ABREAST = 8
"""Panels that are filled side by side, so that whole lines of the cache are read."""


@compiled
def pack_part(b: Array, panels: Array, shard: int, shards: int) -> None:
    """Copy some of all the panels of b (K, N), which lie one under the other."""
    K, columns = len(b), panels.shape[1]
    part = part_of(parts(b.shape[1], columns), shard, shards)
    pack(b[:, part.start * columns :], panels[part.start * K :], part.stop - part.start)


@compiled
def parts(size: int, part: int) -> int:
    """Count the parts that hold ``size``, the last of them perhaps not full."""
    return (size + part - 1) // part


@compiled
def pack(b: Array, panels: Array, count: int) -> None:
    """Copy b (K, N) into the first so many panels; columns beyond N are 0.

    Panel p holds the columns of b from ``p * columns`` on, row under row:
    ``panels[p * K + k, j] = b[k, p * columns + j]``.
    """
    never_inline()
    K, N = b.shape
    columns = panels.shape[1]
    lanes = VECTOR_BYTES // b.itemsize
    full, done = min(count, N // columns), 0
    if b.strides[1] == b.itemsize:
        done = K
        for first in range(0, full, ABREAST):
            for k in range(K):
                for p in range(first, min(first + ABREAST, full)):
                    if columns == ROWS:
                        copy_tile_column(panels, p * K + k, 0, b, k, p * columns)
                    else:
                        copy_panel_row(panels, p * K + k, 0, b, k, p * columns)
    elif b.strides[0] == b.itemsize and columns % lanes == 0:
        done = K // lanes * lanes
        for p in range(full):
            for k in range(0, done, lanes):
                for n in range(0, columns, lanes):
                    copy_transposed(panels, p * K + k, n, b, k, p * columns + n)
    for p in range(count):
        for k in range(done if p < full else 0, K):
            for n in range(columns):
                j = p * columns + n
                panels[p * K + k, n] = b[k, j] if j < N else 0


@compiled
def packed(b: Array, width: int) -> Array:
    """Pack all of b on one core, with room for a multiple of ``width`` columns."""
    K, N = b.shape
    columns = ROW_BYTES // b.itemsize
    count = parts(N, width) * (width // columns)
    panels = np.empty((count * K, columns), b.dtype)
    pack(b, panels, count)
    return panels


@compiled
def multiply_strip(
    c: Array,
    start: Array,
    a: Array,
    rows: int,
    panels: Array,
    height: int,
    depth: int,
    part: slice,
) -> None:
    """Compute some columns of at most ``ROWS`` rows of a product.

    ``c[:rows, part] = start[:rows, part] + a[:rows, :depth] @ b[k:k + depth, part]``, where c may
    be ``start``, and ``panels`` are those of b, which has ``height`` rows, from its row k on.
    """
    never_inline()
    columns = panels.shape[1]
    for p in range(part.start // columns, part.stop // columns):
        j = p * columns
        multiply_add_tile(c, 0, j, start, 0, j, a, 0, 0, panels, p * height, depth, rows)
