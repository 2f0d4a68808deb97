"""Softmax of rows: what to do when memory, and then exp, is the limit.

The scores of 6 heads, 1,024 queries by 1,024 keys each: 25 MB in and 25 MB out. A number costs five
operations (compare, subtract, exp, add, multiply) and at least 12 bytes through memory: 4 to read
it, 8 to write the result, as a cache fetches a line before it changes it. That is 0.4 operations a
byte, while a core can do a few for each byte that memory delivers. So first count the walks through
memory; only when there is one left does arithmetic, which is to say exp, begin to matter.
"""

import math

import numpy as np

from benchmarks.ladders.rungs import READ, WRITE, Array, Arrays, Ladder, Rung
from minitransformer import ops
from minitransformer.backend import use_backend
from minitransformer.backends.numba.math import exp
from minitransformer.backends.numba.threads import compiled, reassociated, seen_by_python

ROWS, COLUMNS = 6 * 1024, 1024
BLOCK = 64


def numpy_passes(x: Array) -> Array:
    """Write the formula in NumPy: five walks, three of which leave a new array behind.

    max reads 4 bytes a number; subtract, exp and divide read 4 and write 8; sum reads 4: 44 bytes
    in place of 12. NumPy uses vector lanes, for exp too; on pieces that fit in a cache the same
    calls take two thirds of the time, and the walks are the last third.
    """
    top = x.max(axis=-1, keepdims=True)
    weights = np.exp(x - top)
    y: Array = weights / weights.sum(axis=-1, keepdims=True)
    return y


@seen_by_python
@compiled
def fused_rows(x: Array) -> Array:
    """Finish a row before the next is begun.

    A row is 4 KB and stays in the first cache (32 KB), so three loops over it cost memory only one
    walk: 12 bytes instead of 44. And yet expect hardly a gain, or a loss: ``math.exp`` is a
    function of the C library, called for one number at a time, at 3 to 6 ns each. The limit has
    moved from memory to exp.
    """
    y = np.empty(x.shape, x.dtype)
    for n in range(x.shape[0]):
        top = x[n, 0]
        for j in range(1, x.shape[1]):
            top = max(top, x[n, j])
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            y[n, j] = math.exp(x[n, j] - top)
            total += y[n, j]
        for j in range(x.shape[1]):
            y[n, j] /= total
    return y


@seen_by_python
@reassociated
def vector_exp(x: Array) -> Array:
    """Replace the call by a polynomial that the compiler sees, and let it reorder sums.

    ``exp(x) = 2^n exp(r)`` with ``|r| <= ln(2) / 2`` needs seven multiply-adds and some work on
    bits: plain arithmetic, for 4 to 16 numbers at once. ``reassociated`` allows the total to be
    summed in lanes, and one division for each row replaces 1,024. Expect four to six times the
    speed: most of what is gained on one core.
    """
    y = np.empty(x.shape, x.dtype)
    for n in range(x.shape[0]):
        top = x[n, 0]
        for j in range(1, x.shape[1]):
            top = x[n, j] if x[n, j] > top else top
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            y[n, j] = exp(x[n, j] - top)
            total += y[n, j]
        share = 1 / total
        for j in range(x.shape[1]):
            y[n, j] *= share
    return y


@seen_by_python
@reassociated
def online(x: Array) -> Array:
    """Know the top and the total after one look at a row (Milakov and Gimelshein, 2018).

    Block by block: if a block's top is higher than all before, what was summed so far shrinks by
    ``exp(old top - new top)``. Only then is the row written, and every exp is computed again. Here
    expect it to *lose*: a row that sits in the first cache may be looked at twice for nothing,
    and exp is dear. It wins where a row is too long for any cache, and where nobody wants the row
    itself but a sum weighted by it. That is attention; see its ladder.
    """
    y = np.empty(x.shape, x.dtype)
    for n in range(x.shape[0]):
        top, total = x[n, 0], x.dtype.type(0)
        for first in range(0, x.shape[1], BLOCK):
            before = top
            for j in range(first, first + BLOCK):
                top = x[n, j] if x[n, j] > top else top
            total *= exp(before - top)
            for j in range(first, first + BLOCK):
                total += exp(x[n, j] - top)
        share = 1 / total
        for j in range(x.shape[1]):
            y[n, j] = exp(x[n, j] - top) * share
    return y


def library(x: Array) -> Array:
    """Rows on all cores, and masks: the library's kernel.

    The third rung, with a mask on every number, on sixteen parts of the rows. Loops that are
    written directly in ``prange`` do not get vector lanes; so it calls a serial function on each
    part. Expect somewhat less than as many times the speed as there are cores: they share the
    memory.
    """
    with use_backend("numba"):
        y, _ = ops.softmax_forward(x)
    return y


def ladder(rows: int = ROWS, columns: int = COLUMNS) -> Ladder:
    """Rungs for a matrix of scores; ``columns`` is a multiple of 64."""

    def inputs() -> Arrays:
        return (4 * np.random.default_rng(0).standard_normal((rows, columns), np.float32),)

    def reference(x: Array) -> Array:
        y: Array = ops.softmax_forward.impls["numpy"](x)[0]
        return y

    numbers = rows * columns
    passes, once, flops = 5 * READ + 3 * WRITE, READ + WRITE, 5
    return Ladder(
        title=f"softmax: {rows:,} rows of {columns:,}",
        story=__doc__ or "",
        inputs=inputs,
        reference=reference,
        rungs=[
            Rung("NumPy passes", numpy_passes, passes * numbers, flops * numbers),
            Rung("fused rows", fused_rows, once * numbers, flops * numbers),
            Rung("exp in vector lanes", vector_exp, once * numbers, flops * numbers),
            Rung("online", online, once * numbers, flops * numbers),
            Rung("threads: the library", library, once * numbers, flops * numbers),
        ],
    )
