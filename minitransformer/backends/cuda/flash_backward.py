"""Backward of fused attention: the probabilities are computed again, tile by tile.

For one head, with ``p = exp(scale q k^T - logsumexp)``:

    y = drop(p) v            dv = drop(p)^T dy,   dp = drop(dy v^T)
    p = softmax(scores)      dscores = p (dp - sum_j dp p),  and  sum_j dp p = sum_d dy y
    scores = scale q k^T     dq = scale dscores k,   dk = scale dscores^T q

dq is a sum over keys, dk and dv are sums over queries. A block that owns queries can keep dq in
registers while it walks over the keys, but not dk and dv, to which all blocks would have to add, in
whatever order they come. So there are two kernels, each computes the probabilities for itself, and
no two threads ever add to one number: some more arithmetic, and the same bits every time.

References
----------
Dao et al. (2022), FlashAttention, arXiv:2205.14135.
"""

import math
from typing import Any

from numba import cuda, float32

from minitransformer.backends.cuda.flash_forward import (
    HEADS,
    MASK,
    add_rows,
    add_scores,
    clear,
)
from minitransformer.backends.cuda.flash_tiles import (
    ALIGNMENT,
    SIDE,
    Tile,
    fetch_rows,
    is_visible,
    kept_factor,
    place_of_block,
)
from minitransformer.backends.cuda.kernel import (
    THREADS,
    DeviceKernel,
    device_function,
    device_kernel,
)
from minitransformer.backends.cuda.reductions import WARP, warp_sum

ROWS = "float32[:, :, ::1]"
SIGNATURE = (
    f"{HEADS}, {HEADS}, {HEADS}, {HEADS}, {ROWS}, {ROWS}, {MASK}, {MASK}, boolean, boolean, "
    f"boolean, float32, float32, {HEADS}"
)


@device_kernel("float32[:, ::1], float32[:, ::1], float32[::1]")
def flash_expected(dy: Any, y: Any, expected: Any) -> None:
    """``sum_d dy y`` of every query, a warp for each: what dp is on average."""
    row = cuda.blockIdx.x * (THREADS // WARP) + cuda.threadIdx.x // WARP
    lane = cuda.threadIdx.x % WARP
    if row >= dy.shape[0]:
        return
    total = float32(0.0)
    for i in range(lane, dy.shape[1], WARP):
        total += dy[row, i] * y[row, i]
    total = warp_sum(total)
    if lane == 0:
        expected[row] = total


@device_function
def add_columns(sums: Any, weights: Any, values: Any, row: int, column: int, count: int) -> None:
    """Add ``count`` rows of values to the thread's sums, weighted by columns of the weights."""
    for t in range(count):
        for j in range(sums.shape[0]):
            for c in range(sums.shape[1]):
                sums[j, c] += weights[t, row + j] * values[t, column + c * SIDE]


@device_function
def differentiate(
    probs: Any,
    dscores: Any,
    mask: Any,
    keep: Any,
    has_mask: bool,
    has_keep: bool,
    causal: bool,
    scale: float,
    kept: float,
    logsumexp: Any,
    expected: Any,
    b: int,
    h: int,
    t: int,
    s: int,
    S: int,
) -> None:
    """Turn scores into dropped probabilities, and ``dy v^T`` into the gradients of the scores.

    ``t`` and ``s`` are the thread's first query and key.
    """
    T = logsumexp.shape[2]
    for i in range(probs.shape[0]):
        for j in range(probs.shape[1]):
            key = s + j * SIDE
            p, dp = float32(0.0), float32(0.0)
            if is_visible(mask, has_mask, causal, b, h, t + i, key, T, S):
                p = math.exp(scale * probs[i, j] - logsumexp[b, h, t + i])
                factor = kept_factor(keep, has_keep, kept, b, h, t + i, key)
                dp = p * (dscores[i, j] * factor - expected[b, h, t + i])
                p *= factor
            probs[i, j] = p
            dscores[i, j] = dp


@device_function
def put_down(table: Any, numbers: Any, row: int, column: int) -> None:
    """Copy a thread's numbers into a tile in shared memory."""
    for i in range(numbers.shape[0]):
        for j in range(numbers.shape[1]):
            table[row + i, column + j * SIDE] = numbers[i, j]


@device_function
def store_rows(x: Any, sums: Any, scale: float, b: int, h: int, row: int, column: int) -> None:
    """Write a thread's sums to global memory, as far as there are rows and columns."""
    for i in range(sums.shape[0]):
        for c in range(sums.shape[1]):
            if row + i < x.shape[2] and column + c * SIDE < x.shape[3]:
                x[b, h, row + i, column + c * SIDE] = scale * sums[i, c]


def query_gradient(tile: Tile) -> DeviceKernel:
    """Make the kernel for dq: a block owns queries and walks over the keys that they see."""
    width, row_length, queries_of_tile, keys_of_tile, score_row = tile
    queries_each, keys_each = queries_of_tile // SIDE, keys_of_tile // SIDE
    columns_each = width // SIDE

    def flash_query_gradient(
        dy: Any,
        q: Any,
        k: Any,
        v: Any,
        logsumexp: Any,
        expected: Any,
        mask: Any,
        keep: Any,
        has_mask: bool,
        has_keep: bool,
        causal: bool,
        scale: float,
        kept: float,
        dq: Any,
    ) -> None:
        queries = cuda.shared.array((queries_of_tile, row_length), float32, ALIGNMENT)
        dy_rows = cuda.shared.array((queries_of_tile, row_length), float32, ALIGNMENT)
        keys = cuda.shared.array((keys_of_tile, row_length), float32, ALIGNMENT)
        values = cuda.shared.array((keys_of_tile, row_length), float32, ALIGNMENT)
        table = cuda.shared.array((queries_of_tile, score_row), float32, ALIGNMENT)
        probs = cuda.local.array((queries_each, keys_each), float32)
        dscores = cuda.local.array((queries_each, keys_each), float32)
        sums = cuda.local.array((queries_each, columns_each), float32)
        b, h, first = place_of_block(q, queries_of_tile)
        row, column = cuda.threadIdx.x // SIDE * queries_each, cuda.threadIdx.x % SIDE
        T, S = q.shape[2], k.shape[2]
        g = h // (q.shape[1] // k.shape[1])

        fetch_rows(queries, queries_of_tile, width, q, b, h, first, q.shape[2])
        fetch_rows(dy_rows, queries_of_tile, width, dy, b, h, first, dy.shape[2])
        clear(sums)
        seen = min(S, first + queries_of_tile + S - T) if causal else S
        for start in range(0, seen, keys_of_tile):
            cuda.syncthreads()  # all are done with the tiles before
            fetch_rows(keys, keys_of_tile, width, k, b, g, start, k.shape[2])
            fetch_rows(values, keys_of_tile, width, v, b, g, start, v.shape[2])
            cuda.syncthreads()
            clear(probs)
            clear(dscores)
            add_scores(probs, queries, keys, row, column, width)
            add_scores(dscores, dy_rows, values, row, column, width)
            differentiate(
                probs, dscores, mask, keep, has_mask, has_keep, causal, scale, kept, logsumexp,
                expected, b, h, first + row, start + column, S,
            )  # fmt: skip
            put_down(table, dscores, row, column)
            cuda.syncthreads()
            add_rows(sums, table, keys, row, column, keys_of_tile)
        store_rows(dq, sums, scale, b, h, first + row, column)

    flash_query_gradient.__name__ = f"flash_query_gradient_{width}"
    flash_query_gradient.__doc__ = "Gradient at q; see the head of this file."
    return device_kernel(SIGNATURE, blocks=2)(flash_query_gradient)


def key_value_gradient(tile: Tile) -> DeviceKernel:
    """Make the kernel for dk and dv: a block owns keys and walks over the queries that see them.

    These are the queries of all the heads that share the key head, one head after the other.
    """
    width, row_length, queries_of_tile, keys_of_tile, score_row = tile
    queries_each, keys_each = queries_of_tile // SIDE, keys_of_tile // SIDE
    columns_each = width // SIDE

    def flash_key_value_gradient(
        dy: Any,
        q: Any,
        k: Any,
        v: Any,
        logsumexp: Any,
        expected: Any,
        mask: Any,
        keep: Any,
        has_mask: bool,
        has_keep: bool,
        causal: bool,
        scale: float,
        kept: float,
        dk: Any,
        dv: Any,
    ) -> None:
        queries = cuda.shared.array((queries_of_tile, row_length), float32, ALIGNMENT)
        dy_rows = cuda.shared.array((queries_of_tile, row_length), float32, ALIGNMENT)
        keys = cuda.shared.array((keys_of_tile, row_length), float32, ALIGNMENT)
        values = cuda.shared.array((keys_of_tile, row_length), float32, ALIGNMENT)
        p_table = cuda.shared.array((queries_of_tile, score_row), float32, ALIGNMENT)
        ds_table = cuda.shared.array((queries_of_tile, score_row), float32, ALIGNMENT)
        probs = cuda.local.array((queries_each, keys_each), float32)
        dscores = cuda.local.array((queries_each, keys_each), float32)
        dk_sums = cuda.local.array((keys_each, columns_each), float32)
        dv_sums = cuda.local.array((keys_each, columns_each), float32)
        b, g, first = place_of_block(k, keys_of_tile)
        row, column = cuda.threadIdx.x // SIDE, cuda.threadIdx.x % SIDE
        T, S = q.shape[2], k.shape[2]
        group = q.shape[1] // k.shape[1]

        fetch_rows(keys, keys_of_tile, width, k, b, g, first, k.shape[2])
        fetch_rows(values, keys_of_tile, width, v, b, g, first, v.shape[2])
        clear(dk_sums)
        clear(dv_sums)
        unseeing = max(first + T - S, 0) // queries_of_tile * queries_of_tile if causal else 0
        for h in range(g * group, (g + 1) * group):
            for start in range(unseeing, T, queries_of_tile):
                cuda.syncthreads()  # all are done with the tiles before
                fetch_rows(queries, queries_of_tile, width, q, b, h, start, q.shape[2])
                fetch_rows(dy_rows, queries_of_tile, width, dy, b, h, start, dy.shape[2])
                cuda.syncthreads()
                clear(probs)
                clear(dscores)
                add_scores(probs, queries, keys, row * queries_each, column, width)
                add_scores(dscores, dy_rows, values, row * queries_each, column, width)
                differentiate(
                    probs, dscores, mask, keep, has_mask, has_keep, causal, scale, kept, logsumexp,
                    expected, b, h, start + row * queries_each, first + column, S,
                )  # fmt: skip
                put_down(p_table, probs, row * queries_each, column)
                put_down(ds_table, dscores, row * queries_each, column)
                cuda.syncthreads()
                add_columns(dv_sums, p_table, dy_rows, row * keys_each, column, queries_of_tile)
                add_columns(dk_sums, ds_table, queries, row * keys_each, column, queries_of_tile)
        store_rows(dk, dk_sums, scale, b, g, first + row * keys_each, column)
        store_rows(dv, dv_sums, float32(1.0), b, g, first + row * keys_each, column)

    flash_key_value_gradient.__name__ = f"flash_key_value_gradient_{width}"
    flash_key_value_gradient.__doc__ = "Gradients at k and v; see the head of this file."
    blocks = 2 if width < 128 else 1  # of the widest two do not fit without spilling registers
    return device_kernel(f"{SIGNATURE}, {HEADS}", blocks=blocks)(flash_key_value_gradient)


TILES = {
    32: Tile(width=32, row=36, queries=32, keys=32, score_row=40),
    64: Tile(width=64, row=68, queries=32, keys=32, score_row=40),
    128: Tile(width=128, row=132, queries=16, keys=16, score_row=16),
}
QUERY_KERNELS = {width: query_gradient(tile) for width, tile in TILES.items()}
KEY_VALUE_KERNELS = {width: key_value_gradient(tile) for width, tile in TILES.items()}
"""By the number of features of a head, at most."""
