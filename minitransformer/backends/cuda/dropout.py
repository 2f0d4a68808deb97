"""Dropout: the mask is drawn on the host, a byte for each element, and brought here."""

from typing import Any

from numba import cuda, float32

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.in_place import copied
from minitransformer.backends.cuda.kernel import device_kernel
from minitransformer.ops.dropout import DropoutCache


@device_kernel("float32[::1], boolean[::1], float32, float32[::1]")
def drop(x: Any, keep: Any, scale: float, y: Any) -> None:
    """``y = x / (1 - p)`` where keep, else 0."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = x[i] * scale if keep[i] else float32(0.0)


def _dropped(x: Array, keep: Array | None, p: float) -> Array:
    if keep is None:
        return copied(x)
    y = empty(x.shape)
    scale = 1.0 / (1.0 - float(p))
    drop.stride(x.size, x.reshape(-1), keep.reshape(-1), scale, y.reshape(-1))
    return y


@kernel("cuda", ops.dropout_forward)
def dropout_forward(x: Any, keep: Any, p: float) -> tuple[Array, DropoutCache]:
    """One pass; the mask stays on the device for backward."""
    x = to_device(x)
    keep = None if keep is None else to_device(keep)
    return _dropped(x, keep, p), DropoutCache(keep, p, x.shape, x.dtype)


@kernel("cuda", ops.dropout_backward)
def dropout_backward(dy: Any, cache: DropoutCache) -> tuple[Array]:
    """One pass."""
    return (_dropped(to_device(dy), cache.keep, cache.p),)
