"""Splitting and merging heads: the same numbers in another order.

A thread takes element i of the array by heads, works out which head, position and feature that is,
and moves it. Neighbouring threads have neighbouring features on both sides, so that reads and
writes are whole runs of memory as long as a head is at least 8 features (32 bytes) wide.
"""

import itertools
from typing import Any

from numba import cuda

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.kernel import device_kernel
from minitransformer.ops.heads import MergeHeadsCache, SplitHeadsCache


@device_kernel("float32[:, :, :, ::1], int64, float32[:, :, :, ::1]")
def gather_heads(x: Any, first: int, y: Any) -> None:
    """``y[b, h, t, d] = x[b, t, first + h, d]``."""
    _, H, T, D = y.shape
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        d, t, h, b = i % D, i // D % T, i // (D * T) % H, i // (D * T * H)
        y[b, h, t, d] = x[b, t, first + h, d]


@device_kernel("float32[:, :, :, ::1], int64, float32[:, :, :, ::1]")
def scatter_heads(y: Any, first: int, x: Any) -> None:
    """``x[b, t, first + h, d] = y[b, h, t, d]``."""
    _, H, T, D = y.shape
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        d, t, h, b = i % D, i // D % T, i // (D * T) % H, i // (D * T * H)
        x[b, t, first + h, d] = y[b, h, t, d]


def _by_head(x: Array, heads: int) -> Array:
    """(B, T, H D) as (B, T, H, D)."""
    B, T, F = x.shape
    return x.reshape(B, T, heads, F // heads)


def _first_heads(heads: tuple[int, ...]) -> list[int]:
    """Where each part begins."""
    return [0, *itertools.accumulate(heads[:-1])]


@kernel("cuda", ops.split_heads_forward)
def split_heads_forward(
    x: Any, heads: tuple[int, ...]
) -> tuple[tuple[Array, ...], SplitHeadsCache]:
    """One copy for each part."""
    x = to_device(x)
    by_head = _by_head(x, sum(heads))
    B, T, _, D = by_head.shape
    parts = tuple(empty((B, h, T, D)) for h in heads)
    for part, first in zip(parts, _first_heads(heads), strict=True):
        gather_heads.stride(part.size, by_head, first, part)
    return parts, SplitHeadsCache(x.shape, heads, x.dtype)


@kernel("cuda", ops.split_heads_backward)
def split_heads_backward(dy: tuple[Any, ...], cache: SplitHeadsCache) -> tuple[Array]:
    """One copy for each part, back to where it came from."""
    dx = empty(cache.shape)
    by_head = _by_head(dx, sum(cache.heads))
    for part, first in zip(map(to_device, dy), _first_heads(cache.heads), strict=True):
        scatter_heads.stride(part.size, part, first, by_head)
    return (dx,)


@kernel("cuda", ops.merge_heads_forward)
def merge_heads_forward(x: Any) -> tuple[Array, MergeHeadsCache]:
    """One copy."""
    x = to_device(x)
    B, H, T, D = x.shape
    y = empty((B, T, H * D))
    scatter_heads.stride(x.size, x, 0, y.reshape(B, T, H, D))
    return y, MergeHeadsCache(x.shape, x.dtype)


@kernel("cuda", ops.merge_heads_backward)
def merge_heads_backward(dy: Any, cache: MergeHeadsCache) -> tuple[Array]:
    """One copy back."""
    B, H, T, D = cache.shape
    dx = empty(cache.shape)
    gather_heads.stride(dx.size, to_device(dy).reshape(B, T, H, D), 0, dx)
    return (dx,)
