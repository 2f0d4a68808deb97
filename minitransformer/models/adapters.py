"""What fine-tuning learnt, saved apart from the trunk that it belongs to."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from minitransformer.errors import InputError
from minitransformer.files import atomic_write
from minitransformer.nn import LoraLinear, Module, lora_layers, plain_linears, replace_module

FORMAT = 1
KEY = "minitransformer_adapter"


def save_adapter(path: str | Path, model: Module) -> None:
    """Write the parameters that are not frozen: thin matrices, and a head if there is one.

    Of the frozen ones the file has fingerprints, so that it is never put on another trunk.

    Raises
    ------
    InputError
        If nothing is frozen, or the file cannot be written.
    """
    parameters = dict(model.named_parameters())
    frozen = {name: parameter.data for name, parameter in parameters.items() if parameter.frozen}
    if not frozen:
        raise InputError("no parameter is frozen, so all of the model was learnt; save it whole")
    header = {
        "format": FORMAT,
        "lora": {name: [layer.rank, layer.alpha] for name, layer in lora_layers(model).items()},
        "frozen": {name: _fingerprint(array) for name, array in frozen.items()},
    }
    learnt = {name: p.data.copy() for name, p in parameters.items() if not p.frozen}
    with atomic_write(path) as file:
        file.write(safetensors.numpy.save(learnt, {KEY: json.dumps(header)}))


def load_adapter(path: str | Path, model: Module) -> None:
    """Put what was learnt back onto the model that it was learnt on.

    Parameters
    ----------
    path
        A file of :func:`save_adapter`.
    model
        As it was before :func:`minitransformer.nn.add_lora` or
        :func:`minitransformer.nn.freeze`, the trunk with its trained parameters.

    Raises
    ------
    InputError
        If the file is missing or damaged, or made for another model: lists everything in which
        they differ. Nothing is changed then.
    """
    header, learnt = _read(path)
    problems = [*_differences(header, learnt, model)]
    if problems:
        raise InputError(
            f"{path} was learnt on another model:\n" + "\n".join(f"  {each}" for each in problems)
        )
    parameters, linears = dict(model.named_parameters()), plain_linears(model)
    for name in header["frozen"]:
        parameters[name].freeze()
    for name, (rank, alpha) in header["lora"].items():
        layer = LoraLinear(linears[name], rank, alpha, np.random.default_rng(0))
        replace_module(model, name, layer)
    for name, parameter in model.named_parameters():
        if name in learnt:
            parameter.data[...] = learnt[name]


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get(KEY)
            learnt = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; expected what was learnt on a trunk") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is truncated or not a safetensors file ({error})") from error
    fields = json.loads(header) if header else {}
    if fields.get("format") != FORMAT:
        raise InputError(
            f"{path} is not of this kind: expected a file that save_adapter of this version wrote"
        )
    return fields, learnt


def _differences(
    header: dict[str, Any], learnt: dict[str, np.ndarray], model: Module
) -> Iterator[str]:
    own = dict(model.named_parameters())
    linears = plain_linears(model)
    factors = {f"{name}.lora_{factor}" for name in header["lora"] for factor in "ab"}
    for name, fingerprint in header["frozen"].items():
        if name not in own:
            yield f"missing: {name} {fingerprint['shape']}"
        elif list(own[name].shape) != fingerprint["shape"]:
            yield f"shape: {name} is {list(own[name].shape)}, expected {fingerprint['shape']}"
        elif _fingerprint(own[name].data) != fingerprint:
            yield f"values: {name} has other values"
    for name, array in learnt.items():
        if name not in factors and (name not in own or own[name].shape != array.shape):
            got = own[name].shape if name in own else "missing"
            yield f"shape: {name} is {got}, expected {array.shape}"
    for name in header["lora"]:
        if name not in linears:
            yield f"layer: {name} is no plain linear layer"
    for name in own:
        if name not in header["frozen"] and name not in learnt:
            yield f"unknown: {name} {own[name].shape}"


def _fingerprint(array: np.ndarray) -> dict[str, Any]:
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return {"shape": list(array.shape), "sha256": digest}
