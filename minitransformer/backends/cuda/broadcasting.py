"""What is repeated along some axes: which element is read, and how gradients are summed.

Axes that lie side by side and are treated alike are one axis to a kernel. So a repetition is three
numbers: an array of ``before * after`` elements stands for one of ``before * repeat * after``.
"""

import math
from itertools import groupby
from typing import Any, NamedTuple

from numba import cuda, float32

from minitransformer.backends.cuda.arrays import Array, Shape, empty
from minitransformer.backends.cuda.kernel import device_function, device_kernel
from minitransformer.backends.cuda.reductions import column_sums


class Repetition(NamedTuple):
    """One run of repeated axes, between those before and those after it."""

    before: int
    repeat: int
    after: int


@device_function
def source(i: int, repeat: int, after: int) -> int:
    """Which element of the smaller array is element i of the larger one."""
    return i // (repeat * after) * after + i % after


def repetitions(shape: Shape, whole: Shape) -> list[Repetition]:
    """All runs of axes along which ``shape`` is repeated to become ``whole``, the last one first.

    After the k-th of them has been summed over, the (k+1)-th is as described.
    """
    sizes = [1] * (len(whole) - len(shape)) + list(shape)
    now = list(whole)
    runs = []
    axes = range(len(whole))
    for repeated, group in groupby(axes, lambda axis: sizes[axis] != whole[axis]):
        if repeated:
            runs.append(list(group))
    result = []
    for run in reversed(runs):
        first, last = run[0], run[-1]
        repeat = math.prod(now[first : last + 1])
        result.append(Repetition(math.prod(now[:first]), repeat, math.prod(now[last + 1 :])))
        now[first : last + 1] = [1] * len(run)
    return result


@device_kernel("float32[::1], float32[::1], int64, int64")
def expand(x: Any, y: Any, repeat: int, after: int) -> None:
    """Write out every repetition."""
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        y[i] = x[source(i, repeat, after)]


@device_kernel("float32[:, :, ::1], float32[:, ::1]")
def sum_repetitions(dy: Any, total: Any) -> None:
    """Sum over the middle axis, a thread for each sum.

    The order of the terms is always the same, and so are the bits of the result: no two threads
    ever add to one number.
    """
    after = total.shape[1]
    for i in range(cuda.grid(1), total.size, cuda.gridsize(1)):
        row, column = i // after, i % after
        s = float32(0.0)
        for r in range(dy.shape[1]):
            s += dy[row, r, column]
        total[row, column] = s


def repeated_once(x: Array, whole: Shape) -> tuple[Array, Repetition]:
    """Return x as an array that is repeated along one run of axes at most, and this run."""
    runs = repetitions(x.shape, whole)
    while len(runs) > 1:
        run = runs.pop()  # the foremost
        y = empty((x.size * run.repeat,))
        expand.stride(y.size, x.reshape(-1), y, run.repeat, run.after)
        x = y
    return x.reshape(-1), runs[0] if runs else Repetition(1, 1, max(x.size, 1))


def summed_to(dy: Array, shape: Shape) -> Array:
    """Sum over all axes along which ``shape`` was repeated; without any it is dy itself."""
    for before, repeat, after in repetitions(shape, dy.shape):
        if before == 1:
            dy = column_sums(dy.reshape(repeat, after))
        else:
            total = empty((before, after))
            sum_repetitions.stride(total.size, dy.reshape(before, repeat, after), total)
            dy = total
    return dy.reshape(shape)
