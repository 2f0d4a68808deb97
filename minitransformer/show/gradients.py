"""Gradients in pictures: against the step of finite differences, along depth, as a landscape."""

import copy
from typing import Any

import numpy as np

from minitransformer.data import Batch
from minitransformer.errors import InputError
from minitransformer.models.model import Model
from minitransformer.show.chart import curves
from minitransformer.show.heatmap import heatmap
from minitransformer.show.html import Picture
from minitransformer.show.sources import op_pair
from minitransformer.testing.differences import cotangent, random_like
from minitransformer.testing.specs import SPECS


def gradcheck_curve(name: str, seed: int = 0) -> Picture:
    """Draw how wrong a finite difference is, against its step: too long bends, too short rounds.

    Parameters
    ----------
    name
        Of the op, such as ``"layer_norm"``.
    seed
        Draws inputs, the direction and the cotangent.

    Raises
    ------
    InputError
        If there is no such op.
    """
    op_pair(name)
    steps = [10.0 ** (-power / 2) for power in range(1, 25)]
    return curves(
        {
            "central, float64": ("forward", _errors(name, seed, np.float64, steps, True)),
            "one-sided, float64": ("neutral", _errors(name, seed, np.float64, steps, False)),
            "central, float32": ("backward", _errors(name, seed, np.float32, steps, True)),
        },
        "step h",
        f"relative error of the slope of {name}",
        log_x=True,
    )


def _errors(
    name: str, seed: int, dtype: Any, steps: list[float], central: bool
) -> list[tuple[float, float]]:
    spec = SPECS[name]
    forward, backward = (each.impls["numpy"] for each in op_pair(name))
    rng = np.random.default_rng(seed)
    arguments = next(iter(spec.cases(seed).values()))
    direction = {wrt: random_like(arguments[wrt], rng) for wrt in spec.wrt if wrt in arguments}
    y, cache = forward(**arguments)
    dy = cotangent(y, rng)
    gradients = dict(zip(spec.wrt, backward(dy, cache), strict=True))
    exact = sum(np.vdot(gradients[wrt], v) for wrt, v in direction.items())

    def along(t: float) -> Any:
        moved = {wrt: arguments[wrt] + t * v for wrt, v in direction.items()}
        changed = {
            n: a.astype(dtype) if _is_float(a) else a for n, a in {**arguments, **moved}.items()
        }
        return _inner(dy, forward(**changed)[0], dtype)

    def slope(h: float) -> float:
        if central:
            return float(along(h) - along(-h)) / (2 * h)
        return float(along(h) - along(0.0)) / h

    return [(h, abs(slope(h) - exact) / abs(exact)) for h in steps]


def _inner(dy: Any, y: Any, dtype: Any) -> Any:
    parts = zip(dy, y, strict=True) if isinstance(y, tuple) else [(dy, y)]
    return sum(np.vdot(np.asarray(a, dtype), b) for a, b in parts)


def _is_float(thing: Any) -> bool:
    return isinstance(thing, np.ndarray) and thing.dtype.kind == "f"


class _Observed:
    """A block that writes down the size of what passes through it, both ways."""

    def __init__(self, block: Any) -> None:
        self.block = block
        self.activation = self.gradient = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        y, cache = self.block(*args, **kwargs)
        self.activation = root_mean_square(y)
        return y, cache

    def backward(self, dy: Any, cache: Any) -> Any:
        self.gradient = root_mean_square(dy)
        return self.block.backward(dy, cache)


def root_mean_square(array: np.ndarray) -> float:
    """Size of a typical entry."""
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))


def sizes_along_depth(model: Any, batch: Batch) -> tuple[list[float], list[float]]:
    """Measure activations and gradients after every block: root mean squares of an entry.

    The model and its gradients are left as they are.

    Parameters
    ----------
    model
        With a list of ``blocks``.
    batch
        What its ``loss`` takes.

    Returns
    -------
    activations, gradients : list of float
        One for each block, the first block first.

    Raises
    ------
    InputError
        If the model has no blocks.
    """
    if not hasattr(model, "blocks"):
        raise InputError(f"{type(model).__name__} has no blocks to look between")
    before = [parameter.grad.copy() for parameter in model.parameters()]
    observed = copy.copy(model)
    observed.blocks = [_Observed(block) for block in model.blocks]
    try:
        _, cache = observed.loss(batch)
        observed.backward(cache)
    finally:
        for parameter, grad in zip(model.parameters(), before, strict=True):
            parameter.grad[...] = grad
    return (
        [block.activation for block in observed.blocks],
        [block.gradient for block in observed.blocks],
    )


def gradient_flow(model: Any, batch: Batch) -> Picture:
    """Draw :func:`sizes_along_depth`: what grows or fades on the way through the blocks."""
    activations, gradients = sizes_along_depth(model, batch)
    return curves(
        {
            "activations": ("forward", list(enumerate(activations, start=1))),
            "gradients": ("backward", list(enumerate(gradients, start=1))),
        },
        "after block",
        "root mean square of an entry",
    )


def loss_landscape(model: Model, batch: Batch, seed: int = 0, radius: float = 0.5) -> Picture:
    """Draw the loss around the parameters, along two random directions.

    Each direction has in every parameter the length of that parameter, times ``radius`` at the
    edge. The model is left as it is.

    References
    ----------
    Li et al. (2018), Visualizing the Loss Landscape of Neural Nets, arXiv:1712.09913.
    """
    rng = np.random.default_rng(seed)
    parameters = model.parameters()
    centre = [parameter.data.copy() for parameter in parameters]
    right, up = ([_as_long_as(data, rng) for data in centre] for _ in range(2))
    shares = np.linspace(-radius, radius, 9)
    losses = np.empty((9, 9))
    try:
        for r, b in enumerate(shares):
            for c, a in enumerate(shares):
                for p, data, u, v in zip(parameters, centre, right, up, strict=True):
                    p.data[...] = data + a * u + b * v
                losses[r, c] = model.loss(batch)[0]
    finally:
        for parameter, data in zip(parameters, centre, strict=True):
            parameter.data[...] = data
    labels = [f"{share:+.2f}".replace("-", "−") for share in shares]
    least = losses.min()
    title = f"loss above {least:.4f}"
    return heatmap(losses - least, title, ("first", "second"), rows=labels, columns=labels)


def _as_long_as(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn = rng.standard_normal(data.shape).astype(data.dtype)
    length = float(np.linalg.norm(drawn))
    scaled: np.ndarray = drawn * data.dtype.type(np.linalg.norm(data) / length if length else 0.0)
    return scaled
