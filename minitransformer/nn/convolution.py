"""Convolution along a sequence: one linear map for all windows of neighbours."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.nn.layers import Linear
from minitransformer.nn.module import Module


class Conv1dCache(NamedTuple):
    """What the convolution's backward needs."""

    shape: tuple[int, ...]  # (B, T, I)
    gather: Any
    padding: Any
    linear: Any


class Conv1d(Module):
    """A linear map of every window of K neighbours, the same for all places in the sequence.

    ``y[t] = b + sum_k x[stride t + k - K // 2] w[k]``; before the first position and behind the
    last one, x is 0.

    Parameters
    ----------
    inputs, outputs
        Features I and O of each position.
    rng
        Draws the weight.
    size
        Neighbours K in a window, an odd number: as many before its place as behind it.
    stride
        Distance of two windows; with 2 the sequence becomes half as long.

    Notes
    -----
    Windows overlap, so that their backward adds up what each has to say about a position. This is
    what looking up rows of a table does as well: a window is K rows of x. What lies outside of x
    is a row that is always dropped, and nothing is scaled: dropout with ``p = 0``.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rng: np.random.Generator,
        *,
        size: int = 3,
        stride: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        std = (size * inputs) ** -0.5
        self.linear = Linear(size * inputs, outputs, rng, std=std, dtype=dtype)
        self.size = size
        self.stride = stride

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, Conv1dCache]:
        """Map x (B, T, I) to (B, ceil(T / stride), O)."""
        B, T, I = x.shape  # noqa: E741
        places = np.arange(0, T, self.stride)[:, None] + np.arange(self.size) - self.size // 2
        inside = (places >= 0) & (places < T)
        rows = T * np.arange(B)[:, None, None] + np.where(inside, places, 0)
        windows, gather = ops.embedding_forward(rows, x.reshape(B * T, I))
        keep = np.broadcast_to(inside[..., None], windows.shape)
        windows, padding = ops.dropout_forward(windows, keep, 0.0)
        y, linear = self.linear(windows.reshape(B, len(places), self.size * I))
        return y, Conv1dCache(x.shape, gather, padding, linear)

    def backward(self, dy: np.ndarray, cache: Conv1dCache) -> np.ndarray:
        B, windows = dy.shape[:2]
        dwindows = self.linear.backward(dy, cache.linear)
        dwindows = dwindows.reshape(B, windows, self.size, cache.shape[-1])
        (dwindows,) = ops.dropout_backward(dwindows, cache.padding)
        (dx,) = ops.embedding_backward(dwindows, cache.gather)
        return dx.reshape(cache.shape)
