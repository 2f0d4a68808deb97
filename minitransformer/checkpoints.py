"""Checkpoints: model, optimizer and position of a run in one safetensors file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from minitransformer.errors import InputError
from minitransformer.files import atomic_write
from minitransformer.models.registry import build, config_from_json, config_to_json
from minitransformer.optim import Optimizer

FORMAT = 2
KEY = "minitransformer"


class Checkpoint(NamedTuple):
    """The content of a checkpoint."""

    step: int
    config: Any  # a shape of models/registry.py
    parameters: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]

    def build(self) -> Any:
        """The model, as it was saved."""
        double = any(array.dtype == np.float64 for array in self.parameters.values())
        model = build(self.config, dtype=np.float64 if double else np.float32)
        model.load_state_dict(self.parameters)
        return model


def save_checkpoint(
    path: str | Path, step: int, model: Any, optimizer: Optimizer | Mapping[str, np.ndarray]
) -> None:
    """Write a checkpoint; it appears whole or not at all.

    Parameters
    ----------
    path
        File to write.
    step
        Number of steps taken.
    model
        Of a known architecture.
    optimizer
        Of all its parameters; or what its ``state_dict`` returned.

    Raises
    ------
    InputError
        If the file cannot be written, as when the disk is full.
    """
    tensors = {f"model.{name}": array for name, array in model.state_dict().items()}
    state = optimizer.state_dict() if isinstance(optimizer, Optimizer) else optimizer
    tensors |= {f"optimizer.{name}": array for name, array in state.items()}
    header = {"format": FORMAT, "step": step, "config": config_to_json(model.config)}
    # one entry: safetensors writes several in random order, and equal states make equal files
    with atomic_write(path) as file:
        file.write(safetensors.numpy.save(tensors, {KEY: json.dumps(header)}))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    InputError
        If the file is missing, truncated, or not one of ours.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; expected a checkpoint") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is truncated or not a checkpoint ({error}); delete it to continue from the "
            "one before"
        ) from error
    if header is None:
        raise InputError(
            f"{path} is a safetensors file but not a checkpoint of minitransformer train"
        )
    try:
        fields = json.loads(header)
        if fields["format"] == FORMAT:
            return Checkpoint(
                int(fields["step"]),
                config_from_json(fields["config"]),
                _part(tensors, "model."),
                _part(tensors, "optimizer."),
            )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} has damaged metadata: {error}") from error
    raise InputError(
        f"{path} has format {fields['format']!r}, this program reads format {FORMAT}; use the "
        "version of minitransformer that wrote it"
    )


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where a run folder keeps the checkpoint of a step."""
    return folder / "checkpoints" / f"step-{step:08d}.safetensors"


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, oldest first."""
    return sorted((folder / "checkpoints").glob("step-*.safetensors"))


def newest_checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a run folder.

    Raises
    ------
    InputError
        If there is none.
    """
    found = checkpoint_files(folder)
    if not found:
        what = "has no checkpoint" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}; expected a run folder made by minitransformer train")
    return found[-1]


def _part(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in tensors.items()
        if name.startswith(prefix)
    }
