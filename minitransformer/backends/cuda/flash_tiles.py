"""Tiles of attention: how large they are, how they come into shared memory, which scores count."""

import math
from typing import Any, NamedTuple

from numba import cuda, float32

from minitransformer.backends.cuda.arrays import Array
from minitransformer.backends.cuda.kernel import device_function
from minitransformer.backends.cuda.widening import widen

SIDE = 16
THREADS = SIDE * SIDE
"""Threads of a block: 16 rows of 16, each of which computes every 16th column of a tile."""
ALIGNMENT = 16
HIDDEN = -math.inf


class Tile(NamedTuple):
    """How many of everything a block takes at a time, so that it fits into 48 KB.

    Attributes
    ----------
    width
        Numbers of a row of q, k and v, at most; the rest are zeros.
    row
        Numbers between the beginnings of two rows in shared memory: 4 more, so that 8 lanes that
        read 4 numbers each from 8 rows meet 32 different banks.
    queries, keys
        Rows of a tile.
    score_row
        Numbers between two rows of scores; two neighbouring rows of threads write to different
        banks, as ``queries / 16 * score_row`` is 16 more than a multiple of 32.
    """

    width: int
    row: int
    queries: int
    keys: int
    score_row: int


WIDTHS = (32, 64, 128)


def fitting(features: int) -> int:
    """Return the narrowest tile's width for so many features of a head; 0 if there is none."""
    return next((width for width in WIDTHS if features <= width), 0)


def grid_of(x: Array, rows: int) -> int:
    """Blocks for tiles of so many rows of x (B, H, T, D).

    Only along x does a grid have room for any number of heads and texts: all blocks are in a line.
    """
    B, H, T, _ = x.shape
    return int(math.ceil(T / rows) * H * B)


@device_function
def place_of_block(x: Any, rows: int) -> tuple[int, int, int]:
    """Entry of the batch, head, and the first row of the block's tile."""
    tiles = (x.shape[2] + rows - 1) // rows
    head = cuda.blockIdx.x // tiles
    return head // x.shape[1], head % x.shape[1], cuda.blockIdx.x % tiles * rows


@device_function
def fetch_rows(
    tile: Any, rows: int, width: int, x: Any, b: int, h: int, first: int, end: int
) -> None:
    """Copy rows of one head up to ``end`` into a tile, zeros beyond; lanes copy neighbours."""
    for n in range(rows * width // THREADS):
        r, c = (cuda.threadIdx.x + n * THREADS) // width, (cuda.threadIdx.x + n * THREADS) % width
        inside = first + r < end and c < x.shape[3]
        tile[r, c] = widen(x[b, h, first + r, c]) if inside else float32(0.0)


@device_function
def is_open(mask: Any, b: int, h: int, t: int, s: int) -> Any:
    """Read a mask whose axes have their full length, or 1."""
    b, h = min(b, mask.shape[0] - 1), min(h, mask.shape[1] - 1)
    t, s = min(t, mask.shape[2] - 1), min(s, mask.shape[3] - 1)
    return mask[b, h, t, s]


@device_function
def is_visible(
    mask: Any, has_mask: bool, causal: bool, b: int, h: int, t: int, s: int, T: int, S: int
) -> Any:
    """Whether query t may look at key s: both exist, it is not in the future, and not masked."""
    if t >= T or s >= S or (causal and s > t + S - T):
        return False
    return is_open(mask, b, h, t, s) if has_mask else True


@device_function
def kept_factor(keep: Any, has_keep: bool, kept: float, b: int, h: int, t: int, s: int) -> Any:
    """Return what dropout multiplies a probability by: 0, or ``kept``; 1 if there is none."""
    if not has_keep:
        return float32(1.0)
    inside = t < keep.shape[2] and s < keep.shape[3]
    return kept if inside and keep[b, h, t, s] else float32(0.0)


@device_function
def row_max(value: Any) -> Any:
    """Find the largest number of the 16 lanes that share a row."""
    distance = SIDE // 2
    while distance > 0:
        value = max(value, cuda.shfl_xor_sync(0xFFFFFFFF, value, distance))
        distance //= 2
    return value


@device_function
def row_sum(value: Any) -> Any:
    """Sum over the 16 lanes that share a row."""
    distance = SIDE // 2
    while distance > 0:
        value += cuda.shfl_xor_sync(0xFFFFFFFF, value, distance)
        distance //= 2
    return value
