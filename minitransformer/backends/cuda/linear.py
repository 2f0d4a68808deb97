"""Affine map of the last axis: three matrix products and a sum."""

import math
from typing import Any

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, require_unrounded, to_device
from minitransformer.backends.cuda.matmul import product
from minitransformer.backends.cuda.reductions import column_sums
from minitransformer.ops.linear import LinearCache


@kernel("cuda", ops.linear_forward)
def linear_forward(
    x: Any, w: Any, b: Any = None, transposed: bool = False
) -> tuple[Array, LinearCache]:
    """Multiply all rows at once; every sum starts from b, so adding it costs no pass of its own."""
    x, w = to_device(x), to_device(w)
    bias = None if b is None else to_device(b)
    y = product(x, w, b_transposed=transposed, bias=bias)
    return y, LinearCache(x, w, b is not None, transposed)


@kernel("cuda", ops.linear_backward)
def linear_backward(dy: Any, cache: LinearCache) -> tuple[Array, Array, Array | None]:
    """Multiply by the transposes, which are read as they lie."""
    x, w, has_bias, transposed = cache
    require_unrounded("linear_backward", w=w)
    dy = to_device(dy)
    rows, drows = _rows(x), _rows(dy)
    # y += b
    db = column_sums(drows) if has_bias else None
    # y = rows @ (w.T if transposed else w)
    dw = product(*((drows, rows) if transposed else (rows, drows)), a_transposed=True)
    dx = product(dy, w, b_transposed=not transposed)
    return dx, dw, db


def _rows(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
