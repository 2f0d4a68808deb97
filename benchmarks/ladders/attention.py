"""Attention: the table of scores is the cost, so never write it down.

Six heads of 1,024 queries and keys, 64 features each, causal. Queries, keys, values and results are
1.6 MB each; the table of scores is 25 MB, four numbers for each number that goes in or comes out.
Useful are 822 million operations, as a query sees only half of the keys, on average. From q, k, v
and y alone that is 100 operations a byte, deep in the realm of arithmetic; with a
table that goes through memory again and again it is a few.
"""

import math

import numpy as np

from benchmarks.ladders.rungs import READ, WRITE, Array, Arrays, Ladder, Rung
from minitransformer import ops
from minitransformer.backend import use_backend

HEADS, LENGTH, WIDTH = 6, 1024, 64
BLOCK = 128


def numpy_table(q: Array, k: Array, v: Array) -> Array:
    """Write the formula in NumPy: a table of scores, and seven walks through it.

    The product writes it, the mask copies it, softmax walks five times (see its ladder), the last
    product reads it: 68 bytes through memory for each of the T^2 scores of a head, half of which
    are computed for nothing, as they lie in the future. OpenBLAS uses all cores; all else uses
    one.
    """
    T = q.shape[2]
    scores = (q / math.sqrt(q.shape[3])) @ k.swapaxes(2, 3)
    scores = np.where(np.tri(T, dtype=np.bool_), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probs = weights / weights.sum(axis=-1, keepdims=True)
    y: Array = probs @ v
    return y


def compiled_table(q: Array, k: Array, v: Array) -> Array:
    """Compute each part with the top rung of its own ladder: product, softmax, product.

    Softmax walks through the table once, and on all cores: 24 bytes for a score. Expect about twice
    the speed of NumPy, and the end of what can be had by making each part faster: half of the
    scores are still computed for nothing, and what costs is the table between the parts.
    """
    with use_backend("numba"):
        scores, _ = ops.matmul_forward(q / math.sqrt(q.shape[3]), k.swapaxes(2, 3))
        probs, _ = ops.softmax_forward(scores, np.tri(q.shape[2], dtype=np.bool_))
        y, _ = ops.matmul_forward(probs, v)
    return y


def query_blocks(q: Array, k: Array, v: Array) -> Array:
    """Go back to NumPy, and take 128 queries at a time, with all the keys that they see.

    Queries do not depend on each other. The scores of a block are at most 128 * T numbers a head,
    0.5 MB here, which stay in a cache, and keys in the future are not even looked at, so almost
    half of the work is gone. Expect about the speed of the compiled table: not to write it down is
    worth as much as to compile all that is done with it. And memory grows with T, no longer with
    its square.
    """
    y = np.empty(q.shape[:3] + v.shape[3:], q.dtype)
    future = np.where(np.tri(BLOCK, dtype=np.bool_), np.float32(0), np.float32(-np.inf))
    for first in range(0, q.shape[2], BLOCK):
        last = first + BLOCK
        scores = (q[:, :, first:last] / math.sqrt(q.shape[3])) @ k[:, :, :last].swapaxes(2, 3)
        scores[..., first:] += future
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        y[:, :, first:last] = weights @ v[:, :, :last]
    return y


def flash(q: Array, k: Array, v: Array) -> Array:
    """Cut the keys into blocks as well, with online softmax: the library's kernel.

    Blocks of queries, compiled, without the table. The scores of 64 queries and 64 keys are 16 KB
    and stay in the first cache, whatever T is. Online softmax, which lost on its own ladder, makes
    that possible: a block of keys need not know the tops of those after it. Heads are shared out to
    the cores, and there are no calls from Python in between. Its backward needs one number for each
    query and computes the scores again.
    """
    with use_backend("numba"):
        y, _ = ops.attention_forward(q, k, v, causal=True)
    return y


def ladder(heads: int = HEADS, length: int = LENGTH, width: int = WIDTH) -> Ladder:
    """Rungs for one sequence; ``length`` is a multiple of 128."""

    def inputs() -> Arrays:
        shape = (3, 1, heads, length, width)
        return tuple(np.random.default_rng(0).standard_normal(shape, np.float32))

    def reference(q: Array, k: Array, v: Array) -> Array:
        y: Array = ops.attention_forward.impls["numpy"](q, k, v, causal=True)[0]
        return y

    scores = heads * length**2
    once = (3 * READ + WRITE) * heads * length * width
    flops = heads * length * (length + 1) // 2 * (4 * width + 5)
    return Ladder(
        title=f"attention: {heads} heads, {length:,} positions, {width} features, causal",
        story=__doc__ or "",
        inputs=inputs,
        reference=reference,
        rungs=[
            Rung("NumPy table", numpy_table, once + (7 * READ + 5 * WRITE) * scores, flops),
            Rung("compiled table", compiled_table, once + 2 * (READ + WRITE) * scores, flops),
            Rung("query blocks", query_blocks, once, flops),
            Rung("flash: the library", flash, once, flops),
        ],
    )
