"""The ladders: the same work, done better rung by rung, at a size that shows the difference.

For each rung there is a sentence, a function that does the work, and what one can work out on paper
before: the bytes that pass between the threads and global memory. Measured in the emulator they
must be these, to the byte: where they are not, the kernel does something else than its author
thinks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.backends.cuda import (
    attention_composed,
    flash_forward,
    layer_norm,
    matmul,
    matmul_tiles,
    norms,
    softmax,
)
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.attention import attention_forward
from minitransformer.backends.cuda.kernel import THREADS, DeviceKernel
from minitransformer.backends.cuda.reductions import WARP

FLOAT = 4
SECTOR = 32
"""Bytes that global memory delivers at least."""


@dataclass(frozen=True)
class Rung:
    """One way to do the work.

    Attributes
    ----------
    story
        What is different from the rung below, in a sentence.
    run
        Does it, on the device, and returns the result.
    bytes
        That the threads read from and write to global memory, in sectors of 32.
    """

    story: str
    run: Callable[[], Array]
    bytes: int


@dataclass(frozen=True)
class Ladder:
    """One task.

    Attributes
    ----------
    title
        The task and its size.
    reference
        The result, by the textbook in float64.
    rungs
        By name, from the bottom up.
    """

    title: str
    reference: np.ndarray
    rungs: dict[str, Rung]


def matmul_ladder(side: int = 256) -> Ladder:
    """Multiply square matrices; ``side`` is a multiple of 128.

    b is made of numbers that 16 bits hold, so that all rungs have one result.
    """
    a, b = _random(0, side, side), np.round(64 * _random(1, side, side).clip(-3, 3)) / 64
    left, right = to_device(a), to_device(b)
    halves = {name: to_device(b, name) for name in ("float16", "bfloat16")}
    once = FLOAT * side**2

    def plain(kernel: DeviceKernel, tile: int, block: tuple[int, ...]) -> Array:
        y = empty((side, side))
        kernel.launch((side // tile, side // tile), block, left, right, y)
        return y

    def batched(kernel: DeviceKernel, b: Array, tile: int, block: Any, *ways: bool) -> Array:
        y = empty((1, side, side))
        matrices = left.reshape(1, side, side), b.reshape(1, side, side), empty((0,)), y
        kernel.launch((side // tile, side // tile), block, *matrices, 1, 1, 1, 1, *ways)
        return y.reshape(side, side)

    def large(b: Array) -> Array:
        kernel = matmul_tiles.KERNELS[False, False, b.storage]
        return batched(kernel, b, matmul_tiles.SIDE, matmul_tiles.THREADS)

    tile, square = matmul.TILE, (matmul.TILE, matmul.TILE)
    small = matmul.matmul_shared_tiles[right.storage]
    of_each = once * side // matmul_tiles.SIDE
    return Ladder(
        f"matmul: {side} x {side} times {side} x {side}",
        a.astype(np.float64) @ b,
        {
            "thread per element": Rung(
                "Every thread reads its row of a and its column of b.",
                lambda: plain(matmul.matmul_thread_per_element, tile, square),
                # a warp is 2 rows by 16 columns: 2 sectors of a and 2 of b for each k
                once + side**2 // WARP * side * 4 * SECTOR,
            ),
            "shared tiles": Rung(
                "A block fetches tiles of 16 by 16 that its threads share.",
                lambda: batched(small, right, tile, square, False, False),
                once + 2 * once * side // tile,
            ),
            "thread tiles": Rung(
                "A thread computes 4 by 4 elements, so a block 64 by 64.",
                lambda: plain(matmul.matmul_thread_tiles, matmul.SIDE, (256,)),
                once + 2 * once * side // matmul.SIDE,
            ),
            "register tiles": Rung(
                "8 by 8 elements, 128-bit loads, and the next tile on its way meanwhile.",
                lambda: large(right),
                once + 2 * of_each,
            ),
            "float16 storage": Rung(
                "b lies in memory in 16 bits and is widened on its way into the tile.",
                lambda: large(halves["float16"]),
                once + of_each + of_each // 2,
            ),
            "bfloat16 storage": Rung(
                "The same bytes, with float32's range and fewer digits.",
                lambda: large(halves["bfloat16"]),
                once + of_each + of_each // 2,
            ),
        },
    )


def softmax_ladder(rows: int = 64, columns: int = 1000) -> Ladder:
    """Take the softmax of rows; they are a multiple of 32, the columns one of 8 up to 1,024."""
    x = _random(0, rows, columns)
    given, once = to_device(x), FLOAT * rows * columns

    def run(kernel: DeviceKernel, blocks: int, threads: int = THREADS) -> Array:
        y = empty((rows, columns))
        kernel.launch(blocks, threads, given, y)
        return y

    return Ladder(
        f"softmax: {rows} rows of {columns:,} numbers",
        ops.softmax_forward.impls["numpy"](x.astype(np.float64))[0],
        {
            "thread per row": Rung(
                "Three walks, and the lanes of a warp read from 32 rows at once.",
                lambda: run(softmax.softmax_thread_per_row, rows // WARP, WARP),
                4 * SECTOR * rows * columns,
            ),
            "block per row": Rung(
                "Lanes read neighbours; the threads meet in shared memory.",
                lambda: run(softmax.softmax_block_per_row, rows),
                4 * once,
            ),
            "shuffles": Rung(
                "Top and sum in one walk, brought together from register to register.",
                lambda: run(softmax.softmax_shuffles, rows),
                3 * once,
            ),
            "in registers": Rung(
                "A warp keeps the row, and reads it once.",
                lambda: run(softmax.softmax_in_registers, -(-rows * WARP // THREADS)),
                2 * once,
            ),
        },
    )


def layer_norm_ladder(rows: int = 64, columns: int = 1000) -> Ladder:
    """Normalise rows; they are a multiple of 32, the columns one of 8 up to 1,024."""
    x, gamma, beta = _random(0, rows, columns), _random(1, columns), _random(2, columns)
    given = tuple(map(to_device, (x, gamma, beta)))
    once, blocks = FLOAT * rows * columns, rows // 4
    parameters = 2 * FLOAT * columns

    def plain(kernel: DeviceKernel, blocks: int, threads: int = THREADS) -> Array:
        y = empty((rows, columns))
        kernel.launch(blocks, threads, *given, 1e-5, y)
        return y

    def full(kernel: DeviceKernel, blocks: int) -> Array:
        y, xhat, rstd = empty((rows, columns)), empty((rows, columns)), empty((rows,))
        kernel.launch(blocks, THREADS, *given, True, 1e-5, xhat, rstd, y)
        return y

    exact = (each.astype(np.float64) for each in (x, gamma, beta))
    return Ladder(
        f"layer_norm: {rows} rows of {columns:,} numbers",
        ops.layer_norm_forward.impls["numpy"](*exact)[0],
        {
            "thread per row": Rung(
                "Three walks, and the lanes of a warp read from 32 rows at once.",
                lambda: plain(layer_norm.layer_norm_thread_per_row, rows // WARP, WARP),
                4 * SECTOR * rows * columns + 2 * SECTOR * columns * rows // WARP,
            ),
            "block per row": Rung(
                "Lanes read neighbours; the threads meet in shared memory.",
                lambda: plain(layer_norm.layer_norm_block_per_row, rows),
                4 * once + rows * parameters,
            ),
            "any length": Rung(
                "They meet by shuffles, and what backward needs is kept.",
                lambda: full(norms.norm_of_any_length, rows),
                5 * once + rows * (parameters + SECTOR),
            ),
            "in registers": Rung(
                "A block keeps the row, and gamma and beta for all its rows.",
                lambda: full(norms.norm_in_registers, blocks),
                3 * once + blocks * parameters + rows * SECTOR,
            ),
        },
    )


def attention_ladder(heads: int = 2, length: int = 256) -> Ladder:
    """Attend causally with heads of width 64; ``length`` is a multiple of 128."""
    width = 64
    q, k, v = (_random(seed, 1, heads, length, width) for seed in range(3))
    queries, keys, values = map(to_device, (q, k, v))
    scale, no_mask = width**-0.5, empty((1, 1, 1, 1), bool)
    once, table = FLOAT * heads * length * width, FLOAT * heads * length**2
    tiles = length // flash_forward.TILES[width].queries

    def composed() -> Array:
        probs = attention_composed.probabilities(queries, keys, no_mask, False, True, scale)
        return attention_composed.forward(probs, values, None, 0.0)

    exact = (each.astype(np.float64) for each in (q, k, v))
    return Ladder(
        f"attention: {heads} heads, {length:,} positions, {width} features, causal",
        ops.attention_forward.impls["numpy"](*exact, causal=True)[0],
        {
            "composed": Rung(
                "The table of scores goes through global memory, six times.",
                composed,
                # five times all of it, and what is visible; 128 columns and rows a product's tile
                5 * table
                + 2 * heads * length * (length + 8)
                + 3 * once * length // matmul_tiles.SIDE
                + once,
            ),
            "fused": Rung(
                "Scores stay in registers, and keys in the future are not read.",
                lambda: attention_forward(queries, keys, values, causal=True)[0],
                # each tile of queries reads what it sees of k and v; 16 bytes a logsumexp
                2 * once + once * (tiles + 1) + 16 * heads * length,
            ),
        },
    )


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


LADDERS: dict[str, Callable[[], Ladder]] = {
    "matmul": matmul_ladder,
    "softmax": softmax_ladder,
    "layer_norm": layer_norm_ladder,
    "attention": attention_ladder,
}
"""Name to a function that draws the inputs and says what to do with them."""
