"""The feed-forward part of a block: two linear maps with a nonlinearity between."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer.nn.layers import Gelu, Linear, Relu
from minitransformer.nn.module import Module


class FeedForwardCache(NamedTuple):
    """What the feed-forward's backward needs."""

    expand: Any
    activation: Any
    contract: Any


class FeedForward(Module):
    """``contract(activation(expand(x)))``, on every position alike.

    Parameters
    ----------
    width
        Features C of input and output.
    hidden
        Features F between; 4 C is usual.
    rng
        Draws the weights.
    activation
        A :class:`Gelu` or :class:`Relu`.
    bias, std, projection_std, dtype
        Of the two linear layers; ``projection_std`` is of ``contract``, which writes the output.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        rng: np.random.Generator,
        *,
        activation: Gelu | Relu,
        bias: bool = True,
        std: float = 0.02,
        projection_std: float = 0.02,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.expand = Linear(width, hidden, rng, bias, std, dtype)
        self.activation = activation
        self.contract = Linear(hidden, width, rng, bias, projection_std, dtype)

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, FeedForwardCache]:
        hidden, expand = self.expand(x)
        active, activation = self.activation(hidden)
        y, contract = self.contract(active)
        return y, FeedForwardCache(expand, activation, contract)

    def backward(self, dy: np.ndarray, cache: FeedForwardCache) -> np.ndarray:
        dactive = self.contract.backward(dy, cache.contract)
        dhidden = self.activation.backward(dactive, cache.activation)
        return self.expand.backward(dhidden, cache.expand)
