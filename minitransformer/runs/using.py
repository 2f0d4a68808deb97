"""What others ask of a run folder: its model, its settings, and who computes."""

import os
from pathlib import Path
from typing import Any

from minitransformer.backend import get_backend, set_backend
from minitransformer.checkpoints import load_checkpoint, newest_checkpoint
from minitransformer.configuration import TrainConfig, load_config
from minitransformer.errors import InputError
from minitransformer.finetuning import adapt
from minitransformer.models.registry import build
from minitransformer.nn.adapting import merge_lora
from minitransformer.placement import DEVICE_VARIABLE, place_of
from minitransformer.tokenizers import Tokenizer, load_tokenizer


def load_run(folder: Path) -> tuple[Any, Tokenizer]:
    """The model of the newest checkpoint, and its tokenizer.

    Raises
    ------
    InputError
        If the folder is not a run's, or its tokenizer or newest checkpoint is damaged.
    """
    checkpoint = load_checkpoint(newest_checkpoint(folder))
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    if tokenizer.vocab_size != checkpoint.config.vocab_size:
        raise InputError(
            f"{folder} is mixed up: tokenizer.json has {tokenizer.vocab_size} ids, the model of "
            f"the newest checkpoint {checkpoint.config.vocab_size}; put the right files back"
        )
    model = build(checkpoint.config)
    settings = folder / "config.toml"
    if settings.exists():
        adapt(model, load_config(settings))
    model.load_state_dict(checkpoint.parameters)
    merge_lora(model)
    return model.to(place_of(get_backend())), tokenizer


def saved_config(folder: Path) -> TrainConfig:
    """The settings of a run.

    Raises
    ------
    InputError
        If the folder is not a run's or its settings are damaged.
    """
    newest_checkpoint(folder)
    return load_config(folder / "config.toml")


def select_backend(name: str | None, device: str | None = None) -> None:
    """Select the backend that was asked for, or the fastest on a CPU.

    Parameters
    ----------
    name
        If None, what ``MINITRANSFORMER_BACKEND`` says, or else numba where it can be imported:
        it may not know the newest NumPy or Python yet.
    device
        Of the cuda backend, which this alone selects; None: what ``MINITRANSFORMER_CUDA_DEVICE``
        says, or else the GPU.

    Raises
    ------
    InputError
        If there is no backend of this name, or its device cannot be started.
    """
    if device is not None:
        if name not in (None, "cuda"):
            raise InputError(f"device is {device}, which is of the cuda backend, not of {name}")
        name = "cuda"
        os.environ[DEVICE_VARIABLE] = device
    asked_for = name or os.environ.get("MINITRANSFORMER_BACKEND")
    try:
        set_backend(asked_for or "numba")
    except ValueError as error:
        raise InputError(str(error)) from error
    except ImportError:
        if asked_for:
            raise
        set_backend("numpy")
