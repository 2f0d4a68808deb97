"""Threads for a GPU: one program, run by thousands at once, each of which asks which one it is.

Without a GPU these kernels run in Numba's simulator: set NUMBA_ENABLE_CUDASIM=1 before Python
starts. It runs every thread of a GPU as a thread of Python: enough for tiny arrays.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from numba import config, cuda, float64

THREADS = 4 if config.ENABLE_CUDASIM else 128
"""Threads of a block that shares the work on a vector or a row; a power of two."""

TILE = 4 if config.ENABLE_CUDASIM else 16
"""Rows and columns of a tile of a matrix; a block has as many threads as the tile has entries."""


@cuda.jit
def vector_add_kernel(a: Any, b: Any, y: Any) -> None:
    """Add one element: the block's place and the thread's place in the block tell which."""
    i = cuda.grid(1)
    if i < y.size:
        y[i] = a[i] + b[i]


def vector_add(a: Float[np.ndarray, " N"], b: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Add two vectors, with a thread for each element.

    Parameters
    ----------
    a, b : (N,)

    Returns
    -------
    (N,)

    Notes
    -----
    Threads come in blocks of one size, so the last block may have more threads than elements are
    left. Those that are too many must do nothing: a GPU does not stop them at the end of an array.
    """
    y = cuda.device_array(a.shape, a.dtype)
    blocks = math.ceil(a.size / THREADS)
    vector_add_kernel[blocks, THREADS](_to_device(a), _to_device(b), y)
    return _to_host(y)


@cuda.jit
def softmax_blocks_kernel(x: Any, y: Any) -> None:
    """Work on one row: each thread takes every THREADS-th score, then all bring theirs together."""
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    shared = cuda.shared.array(THREADS, float64)

    top = -math.inf
    for s in range(thread, x.shape[1], THREADS):
        top = max(top, x[row, s])
    shared[thread] = top
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if thread < half:
            shared[thread] = max(shared[thread], shared[thread + half])
        cuda.syncthreads()
        half //= 2
    top = shared[0]
    cuda.syncthreads()  # all have read it before it is overwritten

    total = 0.0
    for s in range(thread, x.shape[1], THREADS):
        if x[row, s] > -math.inf:
            total += math.exp(x[row, s] - top)
    shared[thread] = total
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if thread < half:
            shared[thread] += shared[thread + half]
        cuda.syncthreads()
        half //= 2
    total = shared[0]

    for s in range(thread, x.shape[1], THREADS):
        y[row, s] = math.exp(x[row, s] - top) / total if total > 0.0 else 0.0


def softmax_blocks(x: Float[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """Softmax of every row, with a block of threads for each.

    Parameters
    ----------
    x : (T, S)
        Scores; -inf has probability 0.

    Returns
    -------
    (T, S)
        Rows sum to 1; a row of -inf is 0.

    Notes
    -----
    The threads of a block bring their results together in shared memory, by halves: of n numbers
    the first half of the threads takes up the second half's, then half of these do, and after
    log2(n) rounds one number is left. Each round waits until all threads have written.
    """
    y = cuda.device_array(x.shape, x.dtype)
    softmax_blocks_kernel[x.shape[0], THREADS](_to_device(x), y)
    return _to_host(y)


@cuda.jit
def matmul_shared_kernel(a: Any, b: Any, y: Any) -> None:
    """Compute one element; the block fetches the tiles of a and b that its threads all need."""
    i, j = cuda.grid(2)
    row, column = cuda.threadIdx.x, cuda.threadIdx.y
    a_tile = cuda.shared.array((TILE, TILE), float64)
    b_tile = cuda.shared.array((TILE, TILE), float64)
    total = 0.0
    for start in range(0, a.shape[1], TILE):
        a_inside = i < a.shape[0] and start + column < a.shape[1]
        b_inside = start + row < b.shape[0] and j < b.shape[1]
        a_tile[row, column] = a[i, start + column] if a_inside else 0.0
        b_tile[row, column] = b[start + row, j] if b_inside else 0.0
        cuda.syncthreads()
        for k in range(TILE):
            total += a_tile[row, k] * b_tile[k, column]
        cuda.syncthreads()  # all are done with these tiles before the next ones come
    if i < y.shape[0] and j < y.shape[1]:
        y[i, j] = total


def matmul_shared(
    a: Float[np.ndarray, "M K"], b: Float[np.ndarray, "K N"]
) -> Float[np.ndarray, "M N"]:
    """Multiply two matrices, with a thread for each element and a block for each tile of them.

    Parameters
    ----------
    a, b : (M, K) and (K, N)

    Returns
    -------
    (M, N)

    Notes
    -----
    Alone, each thread would read a whole row of a and column of b from the GPU's main memory. In a
    block each thread reads one number of each tile into shared memory, where TILE threads use it.
    Beyond the edges a tile is filled with zeros, which change no sum.
    """
    y = cuda.device_array((a.shape[0], b.shape[1]), a.dtype)
    blocks = math.ceil(y.shape[0] / TILE), math.ceil(y.shape[1] / TILE)
    matmul_shared_kernel[blocks, (TILE, TILE)](_to_device(a), _to_device(b), y)
    return _to_host(y)


def _to_device(array: np.ndarray) -> Any:
    return cuda.to_device(np.ascontiguousarray(array))


def _to_host(array: Any) -> np.ndarray:
    host: np.ndarray = array.copy_to_host()
    return host
