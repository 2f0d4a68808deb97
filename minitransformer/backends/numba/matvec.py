"""Products of a few rows with a matrix, at the speed at which memory delivers the matrix.

A model that writes a text reads every weight once per token, for one multiplication. Arithmetic
hides behind the reading; what counts is to read the matrix once, in the order in which it lies, on
all cores. That order makes two kernels:

* :func:`add_rows` for ``x w``: the result is a sum of rows, ``x[0] w[0] + x[1] w[1] + ...``
* :func:`add_dots` for ``x w^T``: each number of the result is the dot product of x and a row of w.
"""

from typing import Any

import numpy as np

from minitransformer.backends.numba.arrays import is_plain, own
from minitransformer.backends.numba.gemm import multiply
from minitransformer.backends.numba.threads import (
    SHARDS,
    Array,
    compiled,
    part_of,
    reassociated,
    sharded,
)

FEW = 8
"""Rows up to which these products are faster than one that packs the matrix first."""
STREAMS = 8
"""Rows of a matrix that are read side by side, so that sums are loaded and stored less often.

They are far apart: so many streams of memory, each read from one end to the other.
"""


def add_product(x: Array, w: Array, y: Array) -> None:
    """Compute ``y += x w`` for a few rows.

    Parameters
    ----------
    x : (M, K)
    w : (K, N)
        Read where it lies if it or its transpose is plain.
    y : (M, N)
        C-contiguous.
    """
    if is_plain(w):
        sums = np.zeros((SHARDS, *y.shape), y.dtype)
        _sum_rows(w, own(x), sums)
        y += sums.sum(axis=0)
    elif is_plain(w.T):
        _dot_rows(w.T, own(x), y)
    else:
        multiply(x, w, y, add=True)


@sharded()
@compiled
def _sum_rows(w: Array, x: Array, sums: Array, shard: int, shards: int) -> None:
    part = part_of(len(w), shard, shards)
    add_rows(x, w, part, sums[shard])


@sharded()
@compiled
def _dot_rows(w: Array, x: Array, y: Array, shard: int, shards: int) -> None:
    part = part_of(len(w), shard, shards)
    add_dots(x, w, part, y)


@reassociated
def add_rows(x: Array, w: Array, rows: slice, y: Array) -> None:
    """``y[m] += sum of x[m, k] w[k]`` over some of the rows."""
    first, last = rows.start, rows.stop
    apart = (last - first) // STREAMS
    for k in range(first, first + apart):
        for m in range(y.shape[0]):
            _add_streams(x[m, k:], w[k:], apart, y[m])
    for k in range(first + STREAMS * apart, last):
        for m in range(y.shape[0]):
            for n in range(y.shape[1]):
                y[m, n] += x[m, k] * w[k, n]


@reassociated
def _add_streams(x: Array, w: Array, apart: int, y: Array) -> None:
    for n in range(y.size):
        total = y[n]
        for s in range(STREAMS):
            total += x[s * apart] * w[s * apart, n]
        y[n] = total


@reassociated
def add_dots(x: Array, w: Array, rows: slice, y: Array) -> None:
    """``y[m, n] += x[m] . w[n]`` for some of the rows of w."""
    first, last = rows.start, rows.stop
    apart = (last - first) // 4
    for n in range(first, first + apart):
        for m in range(y.shape[0]):
            _four_dots(x[m], w[n:], apart, y[m, n:])
    for n in range(first + 4 * apart, last):
        for m in range(y.shape[0]):
            y[m, n] += _dot(x[m], w[n])


@reassociated
def _four_dots(x: Array, w: Array, apart: int, y: Array) -> None:
    a = b = c = d = x.dtype.type(0)
    for k in range(x.size):
        a += x[k] * w[0, k]
        b += x[k] * w[apart, k]
        c += x[k] * w[2 * apart, k]
        d += x[k] * w[3 * apart, k]
    y[0] += a
    y[apart] += b
    y[2 * apart] += c
    y[3 * apart] += d


@reassociated
def _dot(x: Array, w: Array) -> Any:
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * w[k]
    return total
