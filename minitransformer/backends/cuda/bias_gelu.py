"""Bias and GELU between the two products of a feed-forward.

Forward, the bias costs nothing: it is what every sum of the first product starts from. Backward,
the gradient at the product is the largest array of a block, and it is wanted twice: by the products
before it, and, summed over all rows, as the gradient of the bias. Here the sums are made while the
gradient is in registers on its way out, so that it is not read again for them.

Bytes for each of the hidden numbers: 12 rather than 16.
"""

import math
from typing import Any

from numba import cuda, float32

from minitransformer import ops
from minitransformer.backends.cuda.activations import GeluCache, gelu_slope
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.kernel import THREADS, device_kernel
from minitransformer.backends.cuda.reductions import PARTS, column_sums
from minitransformer.nn.feed_forward import FeedForward
from minitransformer.nn.layers import Gelu, Linear


@device_kernel("float32[:, ::1], float32[:, ::1], boolean, float32[:, ::1], float32[:, ::1]")
def bias_gelu_gradient(dy: Any, x: Any, by_tanh: bool, dx: Any, parts: Any) -> None:
    """Give each thread a column, and each row of blocks every so many-th row of the matrix.

    Neighbouring threads have neighbouring columns. Every sum is added up in the order of its rows.
    """
    column, part = cuda.grid(1), cuda.blockIdx.y
    if column < x.shape[1]:
        total = float32(0.0)
        for row in range(part, x.shape[0], parts.shape[0]):
            gradient = dy[row, column] * gelu_slope(x[row, column], by_tanh)
            dx[row, column] = gradient
            total += gradient
        parts[part, column] = total


def gelu_and_bias_gradients(dy: Array, cache: GeluCache) -> tuple[Array, Array]:
    """Return the gradients at what GELU was given, and at the bias that had been added to it."""
    rows, columns = math.prod(dy.shape[:-1]), dy.shape[-1]
    dx, parts = empty(dy.shape), empty((min(PARTS, math.isqrt(rows) + 1), columns))
    matrices = (each.reshape(rows, columns) for each in (to_device(dy), cache.x))
    grid = (math.ceil(columns / THREADS), parts.shape[0])
    by_tanh = cache.approximate == "tanh"
    bias_gelu_gradient.launch(grid, THREADS, *matrices, by_tanh, dx.reshape(rows, columns), parts)
    return dx, column_sums(parts)


def feed_forward_backward(part: Any, dy: Array, cache: Any) -> Array:
    """Add up the gradients of a feed-forward's parameters, and return that of its input."""
    if not _is_fused(part):
        return part.backward(dy, cache)
    dactive = part.contract.backward(dy, cache.contract)
    dhidden, dbias = gelu_and_bias_gradients(dactive, cache.activation)
    # the bias has its gradient: what is left is a product without one
    dx, dweight, _ = ops.linear_backward(dhidden, cache.expand._replace(has_bias=False))
    part.expand.weight.add_gradient(dweight)
    part.expand.bias.add_gradient(dbias)
    return dx


def _is_fused(part: Any) -> bool:
    """Whether it is a GELU behind a layer with a bias, whose parameters learn."""
    if type(part) is not FeedForward or type(part.activation) is not Gelu:
        return False
    expand = part.expand
    learns = type(expand) is Linear and not expand.weight.frozen
    return learns and expand.bias is not None and not expand.bias.frozen
