"""One vector for a whole sequence."""

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minitransformer import ops
from minitransformer.errors import InputError
from minitransformer.nn import Linear, Module

Pooling: TypeAlias = Literal["mean", "first", "last"]


def pooling_weights(
    pooling: Pooling, lengths: NDArray[np.int64], T: int, dtype: DTypeLike
) -> NDArray[Any]:
    """How much each position counts in the one vector of its sequence.

    Parameters
    ----------
    pooling
        All tokens alike, or the first or the last token alone.
    lengths : (B,)
        Tokens of each sequence, 1 or more; the others are padding and count nothing.
    T
        Positions of the batch.

    Returns
    -------
    (B, 1, T)
        Each row sums to 1.
    """
    places, lengths = np.arange(T), lengths[:, None, None]
    if pooling == "mean":
        return np.asarray((places < lengths) / lengths, dtype)
    last = lengths - 1
    return np.asarray(places == (last if pooling == "last" else 0 * last), dtype)


class PoolerCache(NamedTuple):
    """What the pooler's backward needs."""

    shape: tuple[int, ...]
    pool: Any
    dense: Any
    tanh: Any


class Pooler(Module):
    """One vector for a sequence: ``tanh(dense(pooled))``; with the first token, BERT's pooler.

    Parameters
    ----------
    width
        Features C of each position, and of the vector.
    pooling
        The mean of all tokens, or the first one, or the last.
    rng
        Draws the weights.
    """

    def __init__(
        self, width: int, pooling: Pooling, rng: np.random.Generator, dtype: DTypeLike = np.float32
    ) -> None:
        if pooling not in get_args(Pooling):
            raise InputError(f"pooling is {pooling!r}, expected one of {get_args(Pooling)}")
        self.pooling = pooling
        self.dense = Linear(width, width, rng, dtype=dtype)

    def __call__(self, x: np.ndarray, lengths: NDArray[np.int64]) -> tuple[np.ndarray, PoolerCache]:
        """Map x (B, T, C) to (B, C)."""
        weights = pooling_weights(self.pooling, lengths, x.shape[1], x.dtype)
        pooled, pool = ops.matmul_forward(weights, x)
        y, dense = self.dense(pooled.reshape(x.shape[0], x.shape[2]))
        y, tanh = ops.tanh_forward(y)
        return y, PoolerCache(pooled.shape, pool, dense, tanh)

    def backward(self, dy: np.ndarray, cache: PoolerCache) -> np.ndarray:
        (dy,) = ops.tanh_backward(dy, cache.tanh)
        dpooled = self.dense.backward(dy, cache.dense)
        _, dx = ops.matmul_backward(dpooled.reshape(cache.shape), cache.pool)
        return dx
