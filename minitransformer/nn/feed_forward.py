"""The feed-forward part of a block: linear maps with a nonlinearity between."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
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


class SwigluFeedForwardCache(NamedTuple):
    """What the gated feed-forward's backward needs."""

    gate: Any
    up: Any
    activation: Any
    contract: Any


class SwigluFeedForward(Module):
    """``contract(silu(gate(x)) * up(x))``, on every position alike: one map gates the other.

    Parameters
    ----------
    width
        Features C of input and output.
    hidden
        Features F between; with 8/3 C its three matrices are as large as two with 4 C.
    rng
        Draws the weights.
    bias, std, projection_std, dtype
        Of the three linear layers; ``projection_std`` is of ``contract``, which writes the output.

    References
    ----------
    Shazeer (2020), GLU Variants Improve Transformer, arXiv:2002.05202.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        rng: np.random.Generator,
        *,
        bias: bool = False,
        std: float = 0.02,
        projection_std: float = 0.02,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.gate = Linear(width, hidden, rng, bias, std, dtype)
        self.up = Linear(width, hidden, rng, bias, std, dtype)
        self.contract = Linear(hidden, width, rng, bias, projection_std, dtype)

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, SwigluFeedForwardCache]:
        opening, gate = self.gate(x)
        hidden, up = self.up(x)
        active, activation = ops.swiglu_forward(opening, hidden)
        y, contract = self.contract(active)
        return y, SwigluFeedForwardCache(gate, up, activation, contract)

    def backward(self, dy: np.ndarray, cache: SwigluFeedForwardCache) -> np.ndarray:
        dactive = self.contract.backward(dy, cache.contract)
        dopening, dhidden = ops.swiglu_backward(dactive, cache.activation)
        dx = self.up.backward(dhidden, cache.up)
        ops.accumulate(dx, self.gate.backward(dopening, cache.gate))
        return dx
