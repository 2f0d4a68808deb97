"""Attention composed of a product, softmax and another product: the bottom rung.

The table of scores, T by S for every head, is written to global memory and read again by each of
the kernels: product, scale and mask, softmax, dropout, product. Backward goes through it as often
once more. It is the only rung that the simulator can run, and the one for heads so wide that their
tiles do not fit into shared memory.
"""

from typing import Any

from numba import cuda, float32

from minitransformer import ops
from minitransformer.backends.cuda.arrays import Array, empty
from minitransformer.backends.cuda.flash_tiles import HIDDEN, is_visible
from minitransformer.backends.cuda.kernel import device_kernel
from minitransformer.backends.cuda.matmul import product
from minitransformer.backends.cuda.softmax import softmax_backward, softmax_forward
from minitransformer.ops.softmax import SoftmaxCache

TABLE = "float32[:, :, :, ::1]"


@device_kernel(f"{TABLE}, boolean[:, :, :, ::1], boolean, boolean, float32, {TABLE}")
def scale_and_hide(
    products: Any, mask: Any, has_mask: bool, causal: bool, scale: float, scores: Any
) -> None:
    """``scale q k^T``, and -inf for what a query may not attend to."""
    H, T, S = products.shape[1], products.shape[2], products.shape[3]
    for i in range(cuda.grid(1), products.size, cuda.gridsize(1)):
        b, h, t, s = i // (H * T * S), i // (T * S) % H, i // S % T, i % S
        visible = is_visible(mask, has_mask, causal, b, h, t, s, T, S)
        scores[b, h, t, s] = scale * products[b, h, t, s] if visible else float32(HIDDEN)


@device_kernel("float32[::1], float32, float32[::1]")
def scaled(x: Any, factor: float, y: Any) -> None:
    """``y = factor x``."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = factor * x[i]


def probabilities(
    q: Array, k: Array, mask: Array, has_mask: bool, causal: bool, scale: float
) -> Array:
    """Return (B, H, T, S). Query heads that share a key head are further queries of it."""
    (B, H, T, D), (Hk, S) = q.shape, k.shape[1:3]
    products = product(q.reshape(B, Hk, H // Hk * T, D), k, b_transposed=True)
    products = products.reshape(B, H, T, S)
    scores = empty(products.shape)
    scale_and_hide.stride(scores.size, products, mask, has_mask, causal, scale, scores)
    return softmax_forward(scores)[0]


def forward(probs: Array, v: Array, keep: Array | None, p: float) -> Array:
    """``y = drop(probs) v``."""
    B, H, T, S = probs.shape
    y = product(_dropped(probs, keep, p).reshape(B, v.shape[1], -1, S), v)
    return y.reshape(B, H, T, v.shape[3])


def backward(
    dy: Array,
    q: Array,
    k: Array,
    v: Array,
    probs: Array,
    scale: float,
    keep: Array | None,
    p: float,
) -> tuple[Array, Array, Array]:
    """Go back through the table, step by step, as the textbook does."""
    (B, H, T, S), Hk = probs.shape, k.shape[1]
    grouped = (B, Hk, H // Hk * T)
    dy = dy.reshape(*grouped, dy.shape[3])
    # y = dropped @ v
    dv = product(_dropped(probs, keep, p).reshape(*grouped, S), dy, a_transposed=True)
    ddropped = product(dy, v, b_transposed=True).reshape(B, H, T, S)
    # dropped = drop(probs)
    dprobs = _dropped(ddropped, keep, p)
    # probs = softmax(scores)
    (dscores,) = softmax_backward(dprobs, SoftmaxCache(probs))
    # scores = scale * q @ k^T
    dproducts = empty((*grouped, S))
    scaled.stride(dscores.size, dscores.reshape(-1), scale, dproducts.reshape(-1))
    dq = product(dproducts, k).reshape(q.shape)
    dk = product(dproducts, q.reshape(*grouped, q.shape[3]), a_transposed=True)
    return dq, dk, dv


def _dropped(probs: Array, keep: Array | None, p: float) -> Array:
    if keep is None:
        return probs
    return ops.dropout_forward.impls["cuda"](probs, keep, p)[0]
