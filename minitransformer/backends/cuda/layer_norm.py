"""Layer normalisation, from a thread for each row to a row that is read once.

The story is softmax's, see :mod:`.softmax`: little arithmetic, so what counts is how often a row
passes by, and in which order. Two sums are needed, for the mean and then the variance.

1. :data:`layer_norm_thread_per_row`: three scattered walks.
2. :data:`layer_norm_block_per_row`: three coalesced walks, sums by halves in shared memory.
3. :data:`.norms.norm_of_any_length`: the same with shuffles.
4. :data:`.norms.norm_in_registers`: one walk.

Backward has sums of two kinds. Those of dx run along a row, like forward's. Those of dgamma and
dbeta run along columns, over all rows of all blocks:

1. :data:`layer_norm_parameters_thread_per_column`: a thread walks down all rows.
2. :data:`.norms.norm_gradient_of_any_length`: each block walks down some of the rows, for dx and
   for its part of dgamma and dbeta; a second stage adds the parts.
3. :data:`.norms.norm_gradient_in_registers`: the parts grow in registers.
"""

import math
from typing import Any

from numba import cuda, float32

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda import norms
from minitransformer.backends.cuda.arrays import Array, to_device
from minitransformer.backends.cuda.kernel import THREADS, device_kernel
from minitransformer.backends.cuda.reductions import block_sum_by_halves
from minitransformer.ops.layer_norm import LayerNormCache

ROWS = "float32[:, ::1], float32[::1], float32[::1], float32, float32[:, ::1]"


@device_kernel(ROWS)
def layer_norm_thread_per_row(x: Any, gamma: Any, beta: Any, eps: float, y: Any) -> None:
    """Give each thread a row, as on a CPU."""
    row = cuda.grid(1)
    if row >= x.shape[0]:
        return
    columns = x.shape[1]
    mean = float32(0.0)
    for i in range(columns):
        mean += x[row, i]
    mean /= float32(columns)
    variance = float32(0.0)
    for i in range(columns):
        variance += (x[row, i] - mean) * (x[row, i] - mean)
    rstd = float32(1.0) / math.sqrt(variance / float32(columns) + eps)
    for i in range(columns):
        y[row, i] = gamma[i] * (x[row, i] - mean) * rstd + beta[i]


@device_kernel(ROWS)
def layer_norm_block_per_row(x: Any, gamma: Any, beta: Any, eps: float, y: Any) -> None:
    """Give each block a row, and each of its threads every 256th number."""
    shared = cuda.shared.array(THREADS, float32)
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    columns = x.shape[1]
    total = float32(0.0)
    for i in range(thread, columns, THREADS):
        total += x[row, i]
    mean = block_sum_by_halves(shared, total) / float32(columns)
    total = float32(0.0)
    for i in range(thread, columns, THREADS):
        total += (x[row, i] - mean) * (x[row, i] - mean)
    variance = block_sum_by_halves(shared, total) / float32(columns)
    rstd = float32(1.0) / math.sqrt(variance + eps)
    for i in range(thread, columns, THREADS):
        y[row, i] = gamma[i] * (x[row, i] - mean) * rstd + beta[i]


@device_kernel("float32[:, ::1], float32[:, ::1], float32[::1], float32[::1]")
def layer_norm_parameters_thread_per_column(dy: Any, xhat: Any, dgamma: Any, dbeta: Any) -> None:
    """Give each thread a column: coalesced, but only as many threads as there are columns."""
    column = cuda.grid(1)
    if column >= dy.shape[1]:
        return
    for_gamma, for_beta = float32(0.0), float32(0.0)
    for row in range(dy.shape[0]):
        for_gamma += dy[row, column] * xhat[row, column]
        for_beta += dy[row, column]
    dgamma[column] = for_gamma
    dbeta[column] = for_beta


@kernel("cuda", ops.layer_norm_forward)
def layer_norm_forward(
    x: Any, gamma: Any, beta: Any, eps: float = 1e-5
) -> tuple[Array, LayerNormCache]:
    """Read each row once."""
    gamma = to_device(gamma)
    y, xhat, rstd = norms.forward(to_device(x), gamma, to_device(beta), eps)
    return y, LayerNormCache(xhat, rstd, gamma)


@kernel("cuda", ops.layer_norm_backward)
def layer_norm_backward(dy: Any, cache: LayerNormCache) -> tuple[Array, Array, Array | None]:
    """Read each row once for all three gradients; dgamma and dbeta in two stages."""
    return norms.backward(to_device(dy), *cache, centred=True)
