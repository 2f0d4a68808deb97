"""Embedding: rows are copied, and their gradients summed in the order of positions.

Summing is the hard half. If every position added its gradient to its row, two of them could add to
one row at once; with atomic additions nothing would be lost, but the order, and with it the
rounding, would be another in every run. Here the first position of every id sums up all others.
"""

from typing import Any

from numba import cuda

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, empty, require_unrounded, to_device
from minitransformer.backends.cuda.in_place import zero
from minitransformer.backends.cuda.kernel import THREADS, device_kernel, kernel_of_each_storage
from minitransformer.backends.cuda.widening import widen
from minitransformer.ops.embedding import EmbeddingCache


@kernel_of_each_storage("int64[::1], stored[:, ::1], float32[:, ::1]")
def look_up(ids: Any, w: Any, y: Any) -> None:
    """``y[n] = w[ids[n]]``, a thread for each number; neighbours copy from one row."""
    width = y.shape[1]
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        n, c = i // width, i % width
        y[n, c] = widen(w[ids[n], c])


@kernel("cuda", ops.embedding_forward)
def embedding_forward(ids: Any, w: Any) -> tuple[Array, EmbeddingCache]:
    """Ids are checked while they are on the host, and stay on the device for backward."""
    ids, w = to_device(ids), to_device(w)
    y = empty((*ids.shape, w.shape[1]))
    look_up[w.storage].stride(y.size, ids.reshape(-1), w, y.reshape(-1, w.shape[1]))
    return y, EmbeddingCache(ids, w)


@device_kernel("float32[:, ::1], int64[::1], float32[:, ::1]")
def sum_by_id(dy: Any, ids: Any, dw: Any) -> None:
    """``dw[v] = sum of dy[n] over all n with ids[n] = v``: a block for each position.

    A block whose id has occurred before leaves its work to that one. The others go on from where
    they are, each thread with a column of its own. All threads of a block look at the same id at
    the same time: one read serves them all.
    """
    first = cuda.blockIdx.x
    own = ids[first]
    for n in range(first):
        if ids[n] == own:
            return
    for c in range(cuda.threadIdx.x, dy.shape[1], cuda.blockDim.x):
        total = dy[first, c]
        for n in range(first + 1, ids.size):
            if ids[n] == own:
                total += dy[n, c]
        dw[own, c] = total


@kernel("cuda", ops.embedding_backward)
def embedding_backward(dy: Any, cache: EmbeddingCache) -> tuple[Array]:
    """Zeros, over which each id that occurs writes its row; N positions compare N^2 ids."""
    ids, w = cache
    require_unrounded("embedding_backward", w=w)
    dw = empty(w.shape)
    zero.stride(dw.size, dw.reshape(-1))
    rows = to_device(dy).reshape(ids.size, w.shape[1])
    sum_by_id.launch(ids.size, min(THREADS, max(w.shape[1], 1)), rows, ids.reshape(-1), dw)
    return (dw,)
