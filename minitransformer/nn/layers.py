"""The ops with parameters: linear, embedding, the norms; and dropout and activations."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.nn.module import Module
from minitransformer.nn.parameter import Parameter


class Undrawn(np.random.Generator):
    """Stands for a seed where parameters will be overwritten: time is not spent on drawing them.

    In ``GPT(config, seed=Undrawn())`` the parameters have any value.
    """

    def __init__(self) -> None:
        super().__init__(np.random.PCG64())


def generator(seed: int | Undrawn, stream: int) -> np.random.Generator:
    """Random numbers of a seed, a stream of their own."""
    return seed if isinstance(seed, Undrawn) else np.random.default_rng([seed, stream])


def normal(
    rng: np.random.Generator, shape: Sequence[int], std: float, dtype: DTypeLike
) -> Parameter:
    """A parameter drawn from a normal distribution with mean 0."""
    if isinstance(rng, Undrawn):
        return Parameter(np.empty(shape, dtype))
    return Parameter((std * rng.standard_normal(shape)).astype(dtype))


def last_position(x: np.ndarray) -> np.ndarray:
    """The vectors (B, C) at the last position of x (B, T, C)."""
    B, T, C = x.shape
    last, _ = ops.embedding_forward(np.arange(T - 1, B * T, T), x.reshape(B * T, C))
    return last


def linear_backward(
    dy: np.ndarray,
    cache: Any,
    weight: Parameter,
    bias: Parameter | None = None,
    transposed: bool = False,
) -> np.ndarray:
    """Gradient of a linear map's input; those of weight and bias are added, if they learn.

    Parameters
    ----------
    dy : (..., O)
    cache
        Of ``ops.linear_forward``.
    weight, bias
        What it was called with.
    transposed
        As it was called: the weight is (O, I).

    Returns
    -------
    dx : (..., I)
    """
    if not weight.frozen:
        dx, dw, db = ops.linear_backward(dy, cache)
        weight.add_gradient(dw)
        if bias is not None and db is not None:
            bias.add_gradient(db)
        return dx
    if bias is not None and not bias.frozen:
        rows = dy.reshape(-1, dy.shape[-1])
        total, _ = ops.linear_forward(np.ones((1, rows.shape[0]), dy.dtype), rows)
        bias.add_gradient(total.reshape(-1))
    # a frozen weight takes part in dx = dy w^T alone
    dx, _ = ops.linear_forward(dy, weight.data, transposed=not transposed)
    return dx


class Linear(Module):
    """``y = x w + b`` on the last axis.

    Parameters
    ----------
    inputs, outputs
        Lengths of the last axis before and after.
    rng
        Draws the weight.
    bias
        Whether there is a b; it starts at 0.
    std
        Standard deviation of the initial weight.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rng: np.random.Generator,
        bias: bool = True,
        std: float = 0.02,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.weight = normal(rng, (inputs, outputs), std, dtype)
        self.bias = Parameter(np.zeros(outputs, dtype)) if bias else None

    @classmethod
    def of(cls, weight: Parameter, bias: Parameter | None) -> "Linear":
        """A layer of parameters that exist already."""
        layer = cls.__new__(cls)
        layer.weight, layer.bias = weight, bias
        return layer

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return ops.linear_forward(x, self.weight.data, self.bias.data if self.bias else None)

    def backward(self, dy: np.ndarray, cache: Any) -> np.ndarray:
        return linear_backward(dy, cache, self.weight, self.bias)


class Embedding(Module):
    """One row of width C for each of V ids."""

    def __init__(
        self,
        vocab_size: int,
        width: int,
        rng: np.random.Generator,
        std: float = 0.02,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.weight = normal(rng, (vocab_size, width), std, dtype)

    def __call__(self, ids: np.ndarray) -> tuple[np.ndarray, Any]:
        return ops.embedding_forward(ids, self.weight.data)

    def backward(self, dy: np.ndarray, cache: Any) -> None:
        if not self.weight.frozen:
            (dw,) = ops.embedding_backward(dy, cache)
            self.weight.add_gradient(dw)

    def logits(self, x: np.ndarray, bias: Parameter | None = None) -> tuple[np.ndarray, Any]:
        """Score every id for each vector of x (..., C): the table as the output layer."""
        return ops.linear_forward(x, self.weight.data, bias.data if bias else None, transposed=True)

    def backward_logits(
        self, dlogits: np.ndarray, cache: Any, bias: Parameter | None = None
    ) -> np.ndarray:
        return linear_backward(dlogits, cache, self.weight, bias, transposed=True)


class LayerNorm(Module):
    """Layer normalisation with gain ``gamma`` (starts at 1) and shift ``beta`` (starts at 0)."""

    def __init__(self, width: int, eps: float = 1e-5, dtype: DTypeLike = np.float32) -> None:
        self.gamma = Parameter(np.ones(width, dtype))
        self.beta = Parameter(np.zeros(width, dtype))
        self.eps = eps

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return ops.layer_norm_forward(x, self.gamma.data, self.beta.data, self.eps)

    def backward(self, dy: np.ndarray, cache: Any) -> np.ndarray:
        dx, dgamma, dbeta = ops.layer_norm_backward(dy, cache)
        self.gamma.add_gradient(dgamma)
        self.beta.add_gradient(dbeta)
        return dx


class RMSNorm(Module):
    """Root-mean-square normalisation with gain ``gamma`` (starts at 1)."""

    def __init__(self, width: int, eps: float = 1e-6, dtype: DTypeLike = np.float32) -> None:
        self.gamma = Parameter(np.ones(width, dtype))
        self.eps = eps

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return ops.rms_norm_forward(x, self.gamma.data, self.eps)

    def backward(self, dy: np.ndarray, cache: Any) -> np.ndarray:
        dx, dgamma = ops.rms_norm_backward(dy, cache)
        self.gamma.add_gradient(dgamma)
        return dx


def draw_keep(
    rng: np.random.Generator | None, shape: tuple[int, ...], p: float
) -> np.ndarray | None:
    """A dropout mask, True with probability ``1 - p``; None (keep all) without rng or if p is 0."""
    return None if rng is None or p == 0.0 else rng.random(shape, dtype=np.float32) >= p


class Dropout(Module):
    """Dropout that is on exactly when an rng is passed."""

    def __init__(self, p: float) -> None:
        self.p = p

    def __call__(self, x: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, Any]:
        keep = draw_keep(rng, x.shape, self.p)
        return (x, None) if keep is None else ops.dropout_forward(x, keep, self.p)

    def backward(self, dy: np.ndarray, cache: Any) -> np.ndarray:
        return dy if cache is None else ops.dropout_backward(dy, cache)[0]


class Gelu(Module):
    """GELU, by tanh as in GPT-2 or exact as in BERT."""

    def __init__(self, approximate: Literal["tanh", "none"] = "tanh") -> None:
        self.approximate = approximate

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return ops.gelu_forward(x, self.approximate)

    def backward(self, dy: np.ndarray, cache: Any) -> np.ndarray:
        return ops.gelu_backward(dy, cache)[0]


class Relu(Module):
    """ReLU, as in the 2017 transformer."""

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return ops.relu_forward(x)

    def backward(self, dy: np.ndarray, cache: Any) -> np.ndarray:
        return ops.relu_backward(dy, cache)[0]
