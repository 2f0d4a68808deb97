"""Public checkpoints in, public checkpoints out."""

import json
from pathlib import Path
from typing import Any

import safetensors.numpy

from minitransformer.errors import InputError
from minitransformer.files import atomic_write
from minitransformer.nn import Module
from minitransformer.pretrained.bert import BertFamily, BertForMaskedLMFamily
from minitransformer.pretrained.config_json import Settings, read_json
from minitransformer.pretrained.conversion import load_model, public_tensors
from minitransformer.pretrained.family import Family
from minitransformer.pretrained.gpt2 import GPT2Family
from minitransformer.pretrained.llama import LlamaFamily
from minitransformer.pretrained.places import gguf_file, locate
from minitransformer.pretrained.weights import SINGLE, read_weights
from minitransformer.tokenizers import Tokenizer, load_tokenizer

FAMILIES: tuple[Family, ...] = (
    GPT2Family(),
    BertForMaskedLMFamily(),
    BertFamily(),
    LlamaFamily(),
)
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "encoder.json")


def from_pretrained(where: str | Path) -> tuple[Any, Tokenizer | None]:
    """Load a public checkpoint of the families of GPT-2, BERT and Llama into the models here.

    Parameters
    ----------
    where
        A folder with ``config.json`` and ``model.safetensors`` (or several files and their index);
        one of these files; a ``.gguf`` file, or a folder with one; or, if there is nothing by that
        name, an id of the Hugging Face hub such as ``"openai-community/gpt2"``.

    Returns
    -------
    model
        :class:`~minitransformer.models.GPT`, :class:`~minitransformer.models.Bert`,
        :class:`~minitransformer.models.BertForMaskedLM` or :class:`~minitransformer.models.Llama`,
        in float32 whatever the file has.
    tokenizer
        None if the folder has none, or the GGUF file one of an unknown kind.

    Raises
    ------
    InputError
        If there is no checkpoint, it is damaged, or its tensors are not exactly those of the model
        that its settings describe: lists all that differ.
    """
    path = locate(where)
    gguf = gguf_file(path)
    if gguf is not None:
        from minitransformer.pretrained.gguf_checkpoint import load_gguf  # an optional package

        return load_gguf(gguf)
    folder = path if path.is_dir() else path.parent
    stored = read_weights(folder if path.name == "config.json" else path)
    settings = Settings(read_json(folder / "config.json"), str(folder / "config.json"))
    model = load_model(_family(settings, stored), settings, stored)
    has_tokenizer = any((folder / name).is_file() for name in TOKENIZER_FILES)
    return model, load_tokenizer(folder) if has_tokenizer else None


def save_pretrained(model: Module, folder: str | Path) -> None:
    """Write a model in the layout of public checkpoints, for other programs to load.

    Parameters
    ----------
    model
        Of a class that :func:`from_pretrained` returns.
    folder
        Made if there is none; ``config.json`` and ``model.safetensors`` in it are replaced.

    Raises
    ------
    InputError
        If the model has no such layout, or the files cannot be written.
    """
    family = next((known for known in FAMILIES if type(model) is known.model), None)
    if family is None:
        names = ", ".join(known.model.__name__ for known in FAMILIES)
        raise InputError(f"model is a {type(model).__name__}, expected one of {names}")
    config = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "dtype": str(model.parameters()[0].dtype),
        **family.write_config(model.config),  # type: ignore[attr-defined]
    }
    content = safetensors.numpy.save(public_tensors(family, model), {"format": "pt"})
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    with atomic_write(folder / SINGLE) as file:
        file.write(content)
    with atomic_write(folder / "config.json") as file:
        file.write((json.dumps(config, indent=2) + "\n").encode())


def _family(settings: Settings, stored: dict[str, Any]) -> Family:
    kind = settings.get("model_type")
    masked = any(name.startswith("cls.predictions.") for name in stored)
    for family in FAMILIES:
        if family.model_type == kind and (kind != "bert" or masked is _is_masked(family)):
            return family
    known = sorted({family.model_type for family in FAMILIES})
    raise InputError(
        f"{settings.source}: model_type is {str(kind)[:80]}, expected one of {', '.join(known)}"
    )


def _is_masked(family: Family) -> bool:
    return isinstance(family, BertForMaskedLMFamily)
