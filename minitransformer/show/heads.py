"""Attention heads, one by one: silence them, and see what the loss says to it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minitransformer.errors import InputError
from minitransformer.models.model import Model
from minitransformer.nn import Module
from minitransformer.show.heatmap import heatmap, number
from minitransformer.show.html import Picture

MENTIONED = 5
"""Heads that the words name, the most important first."""


class HeadGates(Module):
    """A number for each head that its output is multiplied by, before all are projected.

    The heads stand beside one another in the input of the output projection: D features each. A
    gate of 1 lets a head through, one of 0 silences it, and the gradient of a gate is what the
    loss gains by opening it.

    Parameters
    ----------
    projection
        The layer that the heads come together in.
    heads
        Number of heads H.

    Attributes
    ----------
    gates : (H,)
    dgates : (H,)
        Gradient of the gates, after a backward pass.
    """

    def __init__(self, projection: Any, heads: int) -> None:
        self.projection = projection
        self.gates = np.ones(heads)
        self.dgates = np.zeros(heads)

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        y, projection = self.projection(self._times_gates(x))
        return y, (x, projection)

    def backward(self, dy: np.ndarray, cache: Any) -> np.ndarray:
        x, projection = cache
        dgated = self.projection.backward(dy, projection)
        by_head = (x * dgated).reshape(-1, len(self.gates), x.shape[-1] // len(self.gates))
        self.dgates = by_head.sum(axis=(0, 2), dtype=np.float64)
        return self._times_gates(dgated)

    def _times_gates(self, x: np.ndarray) -> np.ndarray:
        heads = x.reshape(*x.shape[:-1], len(self.gates), -1)
        gated: np.ndarray = (heads * self.gates.astype(x.dtype)[:, None]).reshape(x.shape)
        return gated


@contextmanager
def head_gates(model: Any) -> Iterator[dict[str, HeadGates]]:
    """Put gates into every attention of a model for the time of a ``with`` block.

    Yields
    ------
    gates : dict of str to HeadGates
        By the name of the attention, in the order of the model: ``blocks.0.attention`` first.

    Raises
    ------
    InputError
        If the model has no attention.
    """
    attentions = {
        name: module
        for name, module in model.named_modules()
        if hasattr(module, "heads") and hasattr(module, "projection")
    }
    if not attentions:
        raise InputError(f"{type(model).__name__} has no attention whose heads could be told apart")
    gates = {n: HeadGates(each.projection, each.heads[0]) for n, each in attentions.items()}
    try:
        for name, attention in attentions.items():
            attention.projection = gates[name]
        yield gates
    finally:
        for name, attention in attentions.items():
            attention.projection = gates[name].projection


@contextmanager
def ablated(model: Any, heads: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Silence heads for the time of a ``with`` block: what they write is 0.

    Parameters
    ----------
    model
        Any model with attention; what runs in the block runs without these heads.
    heads
        Pairs (layer, head), both counted from 0; layers in the order of :func:`head_gates`.

    Raises
    ------
    InputError
        If there is no such head.

    Examples
    --------
    >>> from minitransformer import GPT, GPTConfig
    >>> ids, model = np.array([[1, 2, 3]]), GPT(GPTConfig(vocab_size=5))
    >>> with ablated(model, [(0, 1), (3, 2)]):
    ...     without, _ = model(ids)
    """
    with head_gates(model) as gates:
        layers = list(gates.values())
        for layer, head in heads:
            if not (0 <= layer < len(layers) and 0 <= head < len(layers[layer].gates)):
                raise InputError(
                    f"there is no head {head} in layer {layer}: the model has {len(layers)} layers "
                    f"of {len(layers[0].gates)} heads, counted from 0"
                )
            layers[layer].gates[head] = 0.0
        yield


@dataclass(frozen=True, repr=False)
class HeadImportance(Picture):
    """What the loss would rise by without each head.

    Attributes
    ----------
    values : (layers, H)
        In nats; negative where a head does harm. NaN where a layer has fewer heads than others.
    """

    values: np.ndarray

    def strongest(self, count: int) -> list[tuple[int, int]]:
        """The most important heads as pairs (layer, head), for :func:`ablated`."""
        order = np.argsort(-self.values, axis=None, kind="stable")[:count]
        return [(int(i) // self.values.shape[1], int(i) % self.values.shape[1]) for i in order]


def head_importance(
    model: Model, batch: Any, by: Literal["gradient", "ablation"] = "gradient"
) -> HeadImportance:
    """Draw what every head is worth: what the loss would rise by without it.

    Parameters
    ----------
    model
        Any model with attention; it is left as it is, gradients included.
    batch
        What its ``loss`` takes.
    by
        ``"ablation"`` measures: each head is silenced in its turn, one forward for each.
        ``"gradient"`` estimates, with one forward and one backward for all heads: gradient times
        activation, the slope of the loss on the way from the whole model to the one without the
        head.

    Raises
    ------
    InputError
        If the model has no attention or no loss, or ``by`` is neither.

    Notes
    -----
    With a gate g that a head's output a is multiplied by, ``dloss / dg = sum(a * dloss / da)`` at
    g = 1, so that closing it adds, to first order, ``-sum(a * da)`` to the loss. Michel et al. take
    the absolute value for each example, where here the sign says whether the head helps.

    References
    ----------
    Michel, Levy, Neubig (2019), Are Sixteen Heads Really Better than One?, arXiv:1905.10650.
    """
    if by not in ("gradient", "ablation"):
        raise InputError(f"by is {by!r}, expected 'gradient' or 'ablation'")
    if not hasattr(model, "loss"):
        raise InputError(f"{type(model).__name__} has no loss; look at a model with a head on it")
    with head_gates(model) as gates:
        effects = (_by_gradient if by == "gradient" else _by_ablation)(model, batch, gates)
    widest = max(map(len, effects.values()))
    values = np.full((len(effects), widest), np.nan)
    for row, effect in zip(values, effects.values(), strict=True):
        row[: len(effect)] = effect
    names = _short_names(list(effects))
    picture = heatmap(
        values,
        f"rise of the loss without a head, by {by}",
        ("layer", "head"),
        rows=names,
        columns=[str(head) for head in range(widest)],
    )
    best = HeadImportance("", "", values).strongest(MENTIONED)
    words = "; ".join(f"{names[n]} head {h}: {number(values[n, h])}" for n, h in best)
    return HeadImportance(picture.html, f"{picture.text}; most important: {words}", values)


def _by_gradient(model: Model, batch: Any, gates: dict[str, HeadGates]) -> dict[str, np.ndarray]:
    before = [parameter.grad.copy() for parameter in model.parameters()]
    try:
        _, cache = model.loss(batch)
        model.backward(cache)
    finally:
        for parameter, grad in zip(model.parameters(), before, strict=True):
            parameter.grad[...] = grad
    return {name: -gate.dgates for name, gate in gates.items()}


def _by_ablation(model: Model, batch: Any, gates: dict[str, HeadGates]) -> dict[str, np.ndarray]:
    whole = float(model.loss(batch)[0])
    effects = {}
    for name, gate in gates.items():
        effects[name] = np.empty(len(gate.gates))
        for head in range(len(gate.gates)):
            gate.gates[head] = 0.0
            effects[name][head] = float(model.loss(batch)[0]) - whole
            gate.gates[head] = 1.0
    return effects


def _short_names(names: list[str]) -> list[str]:
    """Numbers of layers where all are blocks of one stack, and else the names."""
    of_one_stack = len({name.rpartition(".blocks.")[0] for name in names}) == 1
    plain = of_one_stack and all(name.endswith(".attention") for name in names)
    return [str(n) for n in range(len(names))] if plain else names
