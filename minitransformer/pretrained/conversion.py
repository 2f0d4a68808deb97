"""From stored tensors to a model and back, by the table of its family."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minitransformer.errors import InputError
from minitransformer.nn import Module, Undrawn
from minitransformer.pretrained.config_json import Settings
from minitransformer.pretrained.family import Family
from minitransformer.pretrained.stored import StoredTensor


def load_model(family: Family, settings: Settings, stored: Mapping[str, StoredTensor]) -> Any:
    """Build the model of some settings and fill it; every tensor is used once.

    Raises
    ------
    InputError
        If the settings ask for what the model does not do; or lists every missing, unknown and
        ill-shaped tensor, before any memory is taken.
    """
    config = family.read_config(settings, stored)
    if config.layers > len(stored):
        raise InputError(
            f"{settings.source}: the model has {config.layers} layers, but its files hold only "
            f"{len(stored)} tensors; are these files of one checkpoint?"
        )
    tensors = _named(family, stored)
    problems = list(_mismatches(family, config, tensors))
    if problems:
        raise InputError(
            f"{settings.source}: the tensors are not those of a {family.architecture} of this "
            "shape\n" + "\n".join(f"  {problem}" for problem in problems)
        )
    model = family.model(config, seed=Undrawn())
    parameters = dict(model.named_parameters())
    for row in family.rows(config):
        arrays = [tensors[name].read() for name in row.theirs]
        parameters.pop(row.ours).data[...] = row.transform.join(arrays)
    assert not parameters, f"the table of {family.architecture} lacks {list(parameters)}"
    return model


def public_tensors(family: Family, model: Module) -> dict[str, np.ndarray]:
    """The tensors that a model has in the public layout.

    Raises
    ------
    InputError
        If it has parameters beyond those of its family, such as the thin matrices of LoRA.
    """
    config: Any = model.config  # type: ignore[attr-defined]
    sizes = family.sizes(config)
    rows = {row.ours: row for row in family.rows(config)}
    parameters = dict(model.named_parameters())
    unknown = [name for name in parameters if name not in rows]
    if unknown:
        raise InputError(
            f"the public layout of {family.architecture} has no place for {', '.join(unknown)}; "
            "merge what was learnt beside the weights first (merge_lora)"
        )
    tensors: dict[str, np.ndarray] = {}
    for name, row in rows.items():
        shapes = row.shapes(sizes)
        parts = row.transform.split(parameters[name].data, list(shapes.values()))
        tensors |= dict(zip(shapes, map(np.ascontiguousarray, parts), strict=True))
    return tensors


def _named(family: Family, stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The tensors by the names of the table, without those that are no parameters."""
    tensors: dict[str, StoredTensor] = {}
    for given, tensor in stored.items():
        name = family.name(given)
        if name in tensors:
            raise InputError(f"the file has the tensor {name} twice, once as {given}")
        if not re.fullmatch(family.ignored, name):
            tensors[name] = tensor
    return tensors


def _mismatches(family: Family, config: Any, tensors: Mapping[str, StoredTensor]) -> Iterator[str]:
    sizes = family.sizes(config)
    expected = {
        name: shape for row in family.rows(config) for name, shape in row.shapes(sizes).items()
    }
    for name, shape in expected.items():
        if name not in tensors:
            yield f"missing: {name} {shape}"
        elif tensors[name].shape != shape:
            yield f"shape: {name} is {tensors[name].shape}, expected {shape}"
    for name, tensor in tensors.items():
        if name in expected:
            continue
        original = tensors.get(family.copies.get(name, ""))
        if original is None:
            yield f"unknown: {name} {tensor.shape}"
        elif original.shape != tensor.shape or not np.array_equal(original.read(), tensor.read()):
            yield f"differs: {name} from {family.copies[name]}, to which it is tied here"
