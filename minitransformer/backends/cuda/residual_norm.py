"""A residual connection and the norm beside it, as one kernel.

``total = x + update`` is written by one kernel and read again by the next, which normalises it; and
the gradients that meet at x are added in a pass of their own. All of this is memory traffic, and
none of it arithmetic. Here a row stays in registers from the sum to the norm, and from the norm's
gradient to the sum.

============================== ========== =======
bytes for each number          one by one at once
============================== ========== =======
dropout, sum and norm          33         21
sum and norm                   24         20
sum and norm, no sum kept      24         16
gradient of norm, and sum      24         16
============================== ========== =======

The kernels are :func:`.norms.norm_in_registers` and its gradient with these sums; see there. Longer
rows than the registers of a block hold are done one by one.
"""

import math
from typing import Any

import numpy as np
from numba import cuda, float32

from minitransformer import ops
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.kernel import MOST_BLOCKS, THREADS, device_kernel
from minitransformer.backends.cuda.norms import LONGEST, PER_THREAD
from minitransformer.backends.cuda.reductions import PARTS, block_sum, column_sums
from minitransformer.nn.layers import Dropout, LayerNorm, RMSNorm, draw_keep
from minitransformer.ops.dropout import DropoutCache
from minitransformer.ops.layer_norm import LayerNormCache
from minitransformer.ops.rms_norm import RMSNormCache


@device_kernel(
    "float32[:, ::1], float32[:, ::1], boolean[:, ::1], float32, float32[::1], float32[::1], "
    "boolean, float32, float32[:, ::1], float32[:, ::1], float32[::1], float32[:, ::1]"
)
def add_and_normalise(
    x: Any,
    update: Any,
    keep: Any,
    kept: float,
    gamma: Any,
    beta: Any,
    centred: bool,
    eps: float,
    total: Any,
    xhat: Any,
    rstd: Any,
    y: Any,
) -> None:
    """``total = x + dropout(update)`` and ``y = norm(total)``, rows of up to 1,024 numbers.

    Without dropout keep has no rows, and total has none where nobody wants it.
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
        summed = float32(0.0)
        for n in range(PER_THREAD):
            i = thread + n * THREADS
            numbers[n] = float32(0.0)
            if i < columns:
                change = update[row, i]
                if row < keep.shape[0]:
                    change = change * kept if keep[row, i] else float32(0.0)
                numbers[n] = x[row, i] + change
                if row < total.shape[0]:
                    total[row, i] = numbers[n]
            summed += numbers[n]
        mean = block_sum(shared, summed) / float32(columns) if centred else float32(0.0)
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


@device_kernel(
    "float32[:, ::1], float32[:, ::1], boolean, float32[:, ::1], float32[::1], float32[::1], "
    "boolean, float32[:, ::1], float32[:, ::1], float32[:, ::1]"
)
def normalise_gradient_and_add(
    dy: Any,
    other: Any,
    before: bool,
    xhat: Any,
    rstd: Any,
    gamma: Any,
    centred: bool,
    dx: Any,
    dgamma: Any,
    dbeta: Any,
) -> None:
    """Add another gradient to the norm's: to dy ``before``, or else to dx."""
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
            if before and i < columns:
                change[n] += other[row, i]
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
                gradient = rstd[row] * (change[n] - along_one - normal[n] * along_xhat)
                dx[row, i] = gradient if before else gradient + other[row, i]
    for n in range(PER_THREAD):
        i = thread + n * THREADS
        if i < columns:
            dgamma[part, i] = for_gamma[n]
            if centred:
                dbeta[part, i] = for_beta[n]


def forward(
    norm: Any,
    x: Array,
    update: Array,
    dropout: Dropout,
    rng: np.random.Generator | None,
    keep_total: bool = True,
) -> tuple[Array, Array, Any, Any]:
    """Add ``dropout(update)`` to x, and normalise.

    Parameters
    ----------
    norm
        A layer norm or an RMS norm.
    x, update
        Of one shape.
    dropout, rng
        As for a block.
    keep_total
        Whether anybody wants the sum.

    Returns
    -------
    total
        The sum; empty if nobody wants it.
    y
        Of the norm.
    norm_cache, dropout_cache
        As the two layers would have returned them.
    """
    if not _fits(norm, x):
        return _one_by_one(norm, x, update, dropout, rng)
    drawn = draw_keep(rng, update.shape, dropout.p)
    dropped = None if drawn is None else DropoutCache(to_device(drawn), dropout.p, x.shape, x.dtype)
    x, update, columns = to_device(x), to_device(update), x.shape[-1]
    rows, centred, gamma = x.size // columns, type(norm) is LayerNorm, norm.gamma.data
    y, xhat, rstd = empty(x.shape), empty(x.shape), empty((*x.shape[:-1], 1))
    total = empty(x.shape if keep_total else (0,))
    keep: Any = empty((0, columns), bool) if dropped is None else dropped.keep
    nothing = empty((0, columns))
    add_and_normalise.launch(
        min(rows, MOST_BLOCKS),
        THREADS,
        x.reshape(rows, columns),
        update.reshape(rows, columns),
        keep.reshape(-1, columns),
        1.0 / (1.0 - dropout.p),
        gamma,
        norm.beta.data if centred else nothing.reshape(0),
        centred,
        float(norm.eps),
        total.reshape(-1, columns),
        xhat.reshape(rows, columns),
        rstd.reshape(rows),
        y.reshape(rows, columns),
    )
    cache = (LayerNormCache if centred else RMSNormCache)(xhat, rstd, gamma)
    return total, y, cache, dropped


def _one_by_one(
    norm: Any, x: Array, update: Array, dropout: Dropout, rng: np.random.Generator | None
) -> tuple[Array, Array, Any, Any]:
    update, dropout_cache = dropout(update, rng)
    total, _ = ops.add_forward(x, update)
    y, norm_cache = norm(total)
    return total, y, norm_cache, dropout_cache


def backward(norm: Any, dy: Array, cache: Any, other: Array, before: bool = False) -> Array:
    """Add up the gradients of the norm's parameters; return that of its input, and another's.

    Parameters
    ----------
    norm, cache
        As forward.
    dy
        Gradient at the norm's result.
    other
        A gradient that is added to dy ``before``, or else to the result.
    """
    if not _fits(norm, dy):
        if before:
            ops.accumulate(dy, other)
        dx = norm.backward(dy, cache)
        if not before:
            ops.accumulate(dx, other)
        return dx
    rows, columns = math.prod(dy.shape[:-1]), dy.shape[-1]
    parts, centred = max(min(PARTS, rows), 1), type(norm) is LayerNorm
    dx, dgamma = empty(dy.shape), empty((parts, columns))
    dbeta = empty((parts if centred else 0, columns))
    xhat, rstd, gamma = cache
    normalise_gradient_and_add.launch(
        parts,
        THREADS,
        *(each.reshape(rows, columns) for each in (to_device(dy), to_device(other))),
        before,
        xhat.reshape(rows, columns),
        rstd.reshape(rows),
        gamma,
        centred,
        dx.reshape(rows, columns),
        dgamma,
        dbeta,
    )
    norm.gamma.add_gradient(column_sums(dgamma))
    if centred:
        norm.beta.add_gradient(column_sums(dbeta))
    return dx


def _fits(norm: Any, x: Array) -> bool:
    return type(norm) in (LayerNorm, RMSNorm) and 0 < x.shape[-1] <= LONGEST
