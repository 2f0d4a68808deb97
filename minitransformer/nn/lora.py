"""Low-rank adaptation: a large matrix stays frozen, and two thin ones learn its change."""

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer import ops
from minitransformer.backend import op
from minitransformer.nn.layers import Linear, normal
from minitransformer.nn.parameter import Parameter
from minitransformer.ops.checks import require_axes, require_floats, require_shape


class LoraCache(NamedTuple):
    """What LoRA's backward needs."""

    w: np.ndarray  # (I, O)
    scale: float
    down: Any  # cache of low = x a
    up: Any  # cache of update = low b


def _check(x: Any, w: Any, a: Any, b: Any, scale: float) -> None:
    require_floats("lora", x=x, w=w, a=a, b=b)
    require_axes("lora", "x", x, 1)
    _check_factors("lora", w, a, b, scale)
    require_shape("lora", "x", x, (*x.shape[:-1], w.shape[0]), f"one per input of w, {w.shape}")


def _check_factors(name: str, w: Any, a: Any, b: Any, scale: float) -> None:
    for argument, array in (("w", w), ("a", a), ("b", b)):
        if len(array.shape) != 2:
            raise ValueError(f"{name}: {argument} has shape {array.shape}, expected 2 axes")
    require_shape(name, "a", a, (w.shape[0], a.shape[1]), f"one row per input of w, {w.shape}")
    require_shape(name, "b", b, (a.shape[1], w.shape[1]), "from the columns of a to those of w")
    if not isinstance(scale, Real):
        raise TypeError(f"{name}: scale is {scale!r}, expected a number, usually alpha / R")


@op(_check, composed=True)
def lora_forward(
    x: Float[np.ndarray, "*leading I"],
    w: Float[np.ndarray, "I O"],
    a: Float[np.ndarray, "I R"],
    b: Float[np.ndarray, "R O"],
    scale: float,
) -> tuple[Float[np.ndarray, "*leading O"], LoraCache]:
    """Map the last axis by a frozen matrix and its learnt change: ``y = x (w + scale a b)``.

    Parameters
    ----------
    x : (..., I)
    w : (I, O)
        Frozen: it came with the model, and gets no gradient.
    a : (I, R)
        From I inputs down to the rank R; starts at random.
    b : (R, O)
        From there up to O outputs; starts at 0, so that at first nothing is changed.
    scale
        Weight of the change, usually ``alpha / R``.

    Returns
    -------
    y : (..., O)
    cache : LoraCache

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If their shapes do not fit together.

    Notes
    -----
    Forward: ``y = x w + (scale x a) b``. The (I, O) matrix ``a b`` is never formed: with R far
    below I and O both thin products together cost far less than ``x w``.

    Backward: with ``low = scale x a`` the second summand is linear in low and in b:
    ``db = low^T dy``, summed over positions, and ``dlow = dy b^T``. The slope of low is the scale:
    ``da = scale x^T dlow``. And x is used twice: ``dx = dy w^T + scale dlow a^T``.

    References
    ----------
    Hu et al. (2021), LoRA: Low-Rank Adaptation of Large Language Models, arXiv:2106.09685.
    """
    y, _ = ops.linear_forward(x, w)
    low, down = ops.linear_forward(x, a)
    ops.scale_(low, scale)
    update, up = ops.linear_forward(low, b)
    ops.accumulate(y, update)
    return y, LoraCache(w, scale, down, up)


@op(composed=True)
def lora_backward(
    dy: Float[np.ndarray, "*leading O"], cache: LoraCache
) -> tuple[Float[np.ndarray, "*leading I"], Float[np.ndarray, "I R"], Float[np.ndarray, "R O"]]:
    """Gradients ``(dx, da, db)`` of :func:`lora_forward`."""
    w, scale, down, up = cache
    # update = low @ b
    dlow, db, _ = ops.linear_backward(dy, up)
    # low *= scale
    ops.scale_(dlow, scale)
    # low = x @ a
    dx, da, _ = ops.linear_backward(dlow, down)
    # y = x @ w
    through_w, _ = ops.linear_forward(dy, w, transposed=True)
    ops.accumulate(dx, through_w)
    return dx, da, db


def lora_merge(
    w: Float[np.ndarray, "I O"],
    a: Float[np.ndarray, "I R"],
    b: Float[np.ndarray, "R O"],
    scale: float,
) -> Float[np.ndarray, "I O"]:
    """Write the learnt change into the matrix: ``w + scale a b``, as fast to use as w alone.

    Parameters
    ----------
    w : (I, O)
    a : (I, R)
    b : (R, O)
    scale
        As in :func:`lora_forward`; with ``-scale`` the same change is taken out again.

    Returns
    -------
    (I, O)
        A new array.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If their shapes do not fit together.
    """
    require_floats("lora_merge", w=w, a=a, b=b)
    _check_factors("lora_merge", w, a, b, scale)
    change, _ = ops.matmul_forward(a, b)
    ops.scale_(change, scale)
    ops.accumulate(change, w)
    return change


class LoraLinearCache(NamedTuple):
    """What the backward of :class:`LoraLinear` needs."""

    lora: LoraCache
    add: Any


class LoraLinear(Linear):
    """A linear layer that is frozen, and the two thin matrices that learn its change.

    Parameters
    ----------
    linear
        Whose weight and bias become frozen.
    rank
        Columns R of the first thin matrix, rows of the second.
    alpha
        The change weighs ``alpha / R``.
    rng
        Draws the first thin matrix; the second starts at 0.
    """

    def __init__(self, linear: Linear, rank: int, alpha: float, rng: np.random.Generator) -> None:
        inputs, outputs = linear.weight.shape
        self.weight, self.bias = linear.weight, linear.bias
        for parameter in linear.parameters():
            parameter.freeze()
        self.lora_a = normal(rng, (inputs, rank), inputs**-0.5, linear.weight.dtype)
        self.lora_b = Parameter(np.zeros((rank, outputs), linear.weight.dtype))
        self.rank, self.alpha = rank, alpha

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, LoraLinearCache]:
        y, lora = lora_forward(x, self.weight.data, self.lora_a.data, self.lora_b.data, self.scale)
        add = None
        if self.bias is not None:
            y, add = ops.add_forward(y, self.bias.data)
        return y, LoraLinearCache(lora, add)

    def backward(self, dy: np.ndarray, cache: LoraLinearCache) -> np.ndarray:
        dx, da, db = lora_backward(dy, cache.lora)
        self.lora_a.add_gradient(da)
        self.lora_b.add_gradient(db)
        return dx

    def merge(self) -> Linear:
        """The plain layer that does the same, with the change written into the weight."""
        self._add(self.scale)
        return Linear.of(self.weight, self.bias)

    def unmerge(self) -> None:
        """Take the change out of the weight again."""
        self._add(-self.scale)

    def _add(self, scale: float) -> None:
        self.weight.data = lora_merge(self.weight.data, self.lora_a.data, self.lora_b.data, scale)
