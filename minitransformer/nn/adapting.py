"""Fine-tuning a part of a model: freezing by name, and low-rank adaptation of its layers."""

import difflib
import functools
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from minitransformer.errors import InputError
from minitransformer.nn.layers import Linear
from minitransformer.nn.lora import LoraLinear
from minitransformer.nn.module import Module


def freeze(model: Module, *patterns: str) -> list[str]:
    """Keep parameters as they are: no work for their gradients, no memory for an optimizer.

    Make the optimizer afterwards. The backward pass ends at the lowest part that still learns. The
    forward pass keeps the caches of all parts: attention maps are looked at there.

    Parameters
    ----------
    model
        Its parameters are frozen for good.
    patterns
        Names of parameters or of parts, such as ``trunk`` or ``trunk.blocks.*.attention``, where
        ``*`` stands for anything.

    Returns
    -------
    list of str
        The names that match.

    Raises
    ------
    InputError
        If a pattern matches nothing; lists close names. Nothing is frozen then.
    """
    parameters = dict(model.named_parameters())
    names = matching(patterns, parameters, "parameter")
    for name in names:
        parameters[name].freeze()
    return names


def add_lora(
    model: Module, *patterns: str, rank: int = 8, alpha: float = 16.0, seed: int = 0
) -> list[str]:
    """Freeze a model, and let thin matrices beside some of its linear layers learn instead.

    To train a head as well, give the trunk: ``add_lora(model.trunk, "*.query_key_value")``.

    Parameters
    ----------
    model
        All of its parameters are frozen; its layers are replaced where they stand.
    patterns
        Names of linear layers, or of parts that hold some, as in :func:`freeze`.
    rank
        Width R of the thin matrices.
    alpha
        The change weighs ``alpha / R``.
    seed
        Of the first thin matrices; the second ones start at 0, so nothing is changed at first.

    Returns
    -------
    list of str
        The layers that learn.

    Raises
    ------
    InputError
        If a pattern matches no linear layer (lists close names), the model has LoRA already, or
        the rank is not from 1 to the shorter side of a weight. Nothing is changed then.

    References
    ----------
    Hu et al. (2021), LoRA: Low-Rank Adaptation of Large Language Models, arXiv:2106.09685.
    """
    if lora_layers(model):
        raise InputError("the model has LoRA already; merge it first, or start from the trunk")
    linears = plain_linears(model)
    names = matching(patterns, linears, "linear layer")
    for name in names:
        if not 1 <= rank <= min(linears[name].weight.shape):
            raise InputError(
                f"rank is {rank}, expected 1 to {min(linears[name].weight.shape)}, the shorter "
                f"side of {name}, {linears[name].weight.shape}"
            )
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.freeze()
    for name in names:
        replace_module(model, name, LoraLinear(linears[name], rank, alpha, rng))
    return names


def plain_linears(model: Module) -> dict[str, Linear]:
    """The linear layers that :func:`add_lora` may replace, by name."""
    return {name: part for name, part in model.named_modules() if type(part) is Linear}


def lora_layers(model: Module) -> dict[str, LoraLinear]:
    """The layers that :func:`add_lora` made, by name."""
    return {name: part for name, part in model.named_modules() if isinstance(part, LoraLinear)}


def merge_lora(model: Module) -> dict[str, LoraLinear]:
    """Write what was learnt into the weights: a plain model again, no slower than before.

    Returns
    -------
    dict
        The layers taken out, for :func:`unmerge_lora`.
    """
    layers = lora_layers(model)
    for name, layer in layers.items():
        replace_module(model, name, layer.merge())
    return layers


def unmerge_lora(model: Module, layers: Mapping[str, LoraLinear]) -> None:
    """Undo :func:`merge_lora`, up to rounding: the trunk as it was, and its change beside it."""
    for name, layer in layers.items():
        layer.unmerge()
        replace_module(model, name, layer)


def matching(patterns: Iterable[str], names: Iterable[str], what: str) -> list[str]:
    """Names that match one of the patterns, or lie below a part that does.

    Raises
    ------
    InputError
        If there is no pattern, or one matches nothing; lists close names.
    """
    names, patterns = list(names), list(patterns)
    if not patterns:
        raise InputError(f"no pattern is given; expected the name of a {what}, as {names[0]}")
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            close = ", ".join(difflib.get_close_matches(pattern, names, n=3, cutoff=0.0))
            raise InputError(
                f"the pattern {pattern!r} matches no {what}; close names are {close}. "
                "* stands for anything, as in *.bias"
            )
    return [name for name in names if any(_matches(name, pattern) for pattern in patterns)]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def replace_module(model: Module, path: str, part: Module) -> None:
    """Put another part in the place of the one with this name."""
    *above, last = path.split(".")
    holder = functools.reduce(_child, above, model)
    if isinstance(holder, list):
        holder[int(last)] = part
    elif isinstance(holder, dict):
        holder[last] = part
    else:
        setattr(holder, last, part)


def _child(holder: Any, key: str) -> Any:
    if isinstance(holder, list):
        return holder[int(key)]
    return holder[key] if isinstance(holder, dict) else getattr(holder, key)
