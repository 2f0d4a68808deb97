"""Kernels that layer norm and RMS norm share: the top rung, and rows of any length.

RMS norm is layer norm without the mean and without beta: ``centred`` says which it is. All threads
agree on it, and a branch that all of a warp take alike costs next to nothing.
"""

import math
from typing import Any

from numba import cuda, float32

from minitransformer.backends.cuda.arrays import Array, empty
from minitransformer.backends.cuda.kernel import MOST_BLOCKS, THREADS, device_kernel
from minitransformer.backends.cuda.reductions import (
    PARTS,
    block_sum,
    column_sums,
)

PER_THREAD = 4
LONGEST = THREADS * PER_THREAD
"""Numbers of a row that the registers of a block hold."""

FORWARD = (
    "float32[:, ::1], float32[::1], float32[::1], boolean, float32, "
    "float32[:, ::1], float32[::1], float32[:, ::1]"
)
BACKWARD = (
    "float32[:, ::1], float32[:, ::1], float32[::1], float32[::1], boolean, "
    "float32[:, ::1], float32[:, ::1], float32[:, ::1]"
)


@device_kernel(FORWARD)
def norm_in_registers(
    x: Any, gamma: Any, beta: Any, centred: bool, eps: float, xhat: Any, rstd: Any, y: Any
) -> None:
    """Give each block rows of up to 1,024 numbers, one after the other, 4 numbers a thread.

    A row is read once and kept. The mean is found first, and the variance from what is then in the
    registers: two sums, and no second walk. ``mean(x^2) - mean^2`` would need one sum only, and
    lose the digits in which the two agree. gamma and beta stay in registers for all rows of a
    block: each reads them once, from the second cache, as all read the same 8 KB. Fewer blocks
    would ask less often, and leave multiprocessors without work: an A100 has room for 864.
    """
    shared = cuda.shared.array(THREADS, float32)
    numbers = cuda.local.array(PER_THREAD, float32)
    factors = cuda.local.array(PER_THREAD, float32)
    shifts = cuda.local.array(PER_THREAD, float32)
    thread, columns = cuda.threadIdx.x, x.shape[1]
    for n in range(PER_THREAD):
        i = thread + n * THREADS
        factors[n] = gamma[i] if i < columns else float32(0.0)
        shifts[n] = beta[i] if i < beta.size else float32(0.0)
    for row in range(cuda.blockIdx.x, x.shape[0], cuda.gridDim.x):
        total = float32(0.0)
        for n in range(PER_THREAD):
            i = thread + n * THREADS
            numbers[n] = x[row, i] if i < columns else float32(0.0)
            total += numbers[n]
        mean = block_sum(shared, total) / float32(columns) if centred else float32(0.0)
        squares = float32(0.0)
        for n in range(PER_THREAD):
            if thread + n * THREADS < columns:
                numbers[n] -= mean
                squares += numbers[n] * numbers[n]
        scale = float32(1.0) / math.sqrt(block_sum(shared, squares) / float32(columns) + eps)
        if thread == 0:
            rstd[row] = scale
        for n in range(PER_THREAD):
            i = thread + n * THREADS
            if i < columns:
                xhat[row, i] = numbers[n] * scale
                y[row, i] = factors[n] * (numbers[n] * scale) + shifts[n]


@device_kernel(FORWARD)
def norm_of_any_length(
    x: Any, gamma: Any, beta: Any, centred: bool, eps: float, xhat: Any, rstd: Any, y: Any
) -> None:
    """Give each block a row, which it reads three times, or twice if there is no mean.

    The second time it comes from a cache, if it fits into one.
    """
    shared = cuda.shared.array(THREADS, float32)
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    columns = x.shape[1]
    mean = float32(0.0)
    if centred:
        total = float32(0.0)
        for i in range(thread, columns, THREADS):
            total += x[row, i]
        mean = block_sum(shared, total) / float32(columns)
    squares = float32(0.0)
    for i in range(thread, columns, THREADS):
        squares += (x[row, i] - mean) * (x[row, i] - mean)
    scale = float32(1.0) / math.sqrt(block_sum(shared, squares) / float32(columns) + eps)
    if thread == 0:
        rstd[row] = scale
    for i in range(thread, columns, THREADS):
        normal = (x[row, i] - mean) * scale
        xhat[row, i] = normal
        y[row, i] = gamma[i] * normal + beta[i] if centred else gamma[i] * normal


@device_kernel(BACKWARD)
def norm_gradient_in_registers(
    dy: Any,
    xhat: Any,
    rstd: Any,
    gamma: Any,
    centred: bool,
    dx: Any,
    dgamma: Any,
    dbeta: Any,
) -> None:
    """Give each block many rows, one after the other, and each thread the same 4 columns.

    So the sums over rows that dgamma and dbeta are stay in registers, too, and dy and xhat are
    read once for all three gradients. Every block writes sums of its own; a second kernel
    adds them.
    """
    shared = cuda.shared.array(THREADS, float32)
    factors = cuda.local.array(PER_THREAD, float32)
    normal = cuda.local.array(PER_THREAD, float32)
    change = cuda.local.array(PER_THREAD, float32)
    for_gamma = cuda.local.array(PER_THREAD, float32)
    for_beta = cuda.local.array(PER_THREAD, float32)
    part, thread = cuda.blockIdx.x, cuda.threadIdx.x
    columns = dy.shape[1]
    for n in range(PER_THREAD):
        i = thread + n * THREADS
        factors[n] = gamma[i] if i < columns else float32(0.0)
        for_gamma[n] = float32(0.0)
        for_beta[n] = float32(0.0)
    for row in range(part, dy.shape[0], dgamma.shape[0]):
        along_one, along_xhat = float32(0.0), float32(0.0)
        for n in range(PER_THREAD):
            i = thread + n * THREADS
            change[n] = dy[row, i] if i < columns else float32(0.0)
            normal[n] = xhat[row, i] if i < columns else float32(0.0)
            for_gamma[n] += change[n] * normal[n]
            for_beta[n] += change[n]
            change[n] *= factors[n]
            along_one += change[n]
            along_xhat += change[n] * normal[n]
        along_xhat = block_sum(shared, along_xhat) / float32(columns)
        along_one = block_sum(shared, along_one) / float32(columns) if centred else float32(0.0)
        for n in range(PER_THREAD):
            i = thread + n * THREADS
            if i < columns:
                dx[row, i] = rstd[row] * (change[n] - along_one - normal[n] * along_xhat)
    for n in range(PER_THREAD):
        i = thread + n * THREADS
        if i < columns:
            dgamma[part, i] = for_gamma[n]
            if centred:
                dbeta[part, i] = for_beta[n]


@device_kernel(BACKWARD)
def norm_gradient_of_any_length(
    dy: Any,
    xhat: Any,
    rstd: Any,
    gamma: Any,
    centred: bool,
    dx: Any,
    dgamma: Any,
    dbeta: Any,
) -> None:
    """Do the same with the sums in global memory, in columns that no other thread touches."""
    shared = cuda.shared.array(THREADS, float32)
    part, thread = cuda.blockIdx.x, cuda.threadIdx.x
    columns = dy.shape[1]
    for i in range(thread, columns, THREADS):
        dgamma[part, i] = float32(0.0)
        if centred:
            dbeta[part, i] = float32(0.0)
    for row in range(part, dy.shape[0], dgamma.shape[0]):
        along_one, along_xhat = float32(0.0), float32(0.0)
        for i in range(thread, columns, THREADS):
            dgamma[part, i] += dy[row, i] * xhat[row, i]
            if centred:
                dbeta[part, i] += dy[row, i]
            along_one += dy[row, i] * gamma[i]
            along_xhat += dy[row, i] * gamma[i] * xhat[row, i]
        along_xhat = block_sum(shared, along_xhat) / float32(columns)
        along_one = block_sum(shared, along_one) / float32(columns) if centred else float32(0.0)
        for i in range(thread, columns, THREADS):
            change = dy[row, i] * gamma[i]
            dx[row, i] = rstd[row] * (change - along_one - xhat[row, i] * along_xhat)


def forward(x: Array, gamma: Array, beta: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """Return y, xhat, and one factor for each row; without beta this is RMS norm."""
    rows, columns = math.prod(x.shape[:-1]), x.shape[-1]
    y, xhat, rstd = empty(x.shape), empty(x.shape), empty((*x.shape[:-1], 1))
    scaling = (gamma, empty((0,)) if beta is None else beta, beta is not None, float(eps))
    results = xhat.reshape(rows, columns), rstd.reshape(rows), y.reshape(rows, columns)
    normalise = norm_in_registers if columns <= LONGEST else norm_of_any_length
    blocks = min(rows, MOST_BLOCKS) if columns <= LONGEST else rows
    normalise.launch(blocks, THREADS, x.reshape(rows, columns), *scaling, *results)
    return y, xhat, rstd


def backward(
    dy: Array, xhat: Array, rstd: Array, gamma: Array, centred: bool
) -> tuple[Array, Array, Array | None]:
    """Return the gradients at x, gamma and, of layer norm, beta."""
    rows, columns = math.prod(dy.shape[:-1]), dy.shape[-1]
    parts = max(min(PARTS, rows), 1)
    dx, dgamma = empty(dy.shape), empty((parts, columns))
    dbeta = empty((parts if centred else 0, columns))
    given = dy.reshape(rows, columns), xhat.reshape(rows, columns), rstd.reshape(rows), gamma
    results = dx.reshape(rows, columns), dgamma, dbeta
    short = columns <= LONGEST
    gradient = norm_gradient_in_registers if short else norm_gradient_of_any_length
    gradient.launch(parts, THREADS, *given, centred, *results)
    return dx, column_sums(dgamma), column_sums(dbeta) if centred else None
