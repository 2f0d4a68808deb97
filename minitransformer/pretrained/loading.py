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
from minitransformer.pretrained.ctranslate2 import ctranslate2_file, load_ctranslate2
from minitransformer.pretrained.family import Family
from minitransformer.pretrained.gpt2 import GPT2Family
from minitransformer.pretrained.llama import LlamaFamily
from minitransformer.pretrained.places import gguf_file, locate
from minitransformer.pretrained.weights import SINGLE, read_weights
from minitransformer.pretrained.whisper import WhisperFamily
from minitransformer.tokenizers import Tokenizer, load_tokenizer

FAMILIES: tuple[Family, ...] = (
    GPT2Family(),
    BertForMaskedLMFamily(),
    BertFamily(),
    LlamaFamily(),
    WhisperFamily(),
)
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "encoder.json")


def from_pretrained(where: str | Path) -> tuple[Any, Tokenizer | None]:
    """Load a public checkpoint of GPT-2, BERT, Llama or Whisper into the models here.

    Parameters
    ----------
    where
        A folder with ``config.json`` and ``model.safetensors`` (or several files and their index);
        one of these files; a ``.gguf`` file, or a folder with one; a Whisper's ``model.bin`` of
        CTranslate2, with ``tokenizer.json`` beside it; or, if there is nothing by that name, an id
        of the Hugging Face hub such as ``"openai-community/gpt2"``.

    Returns
    -------
    model
        :class:`~minitransformer.models.GPT`, :class:`~minitransformer.models.Bert`,
        :class:`~minitransformer.models.BertForMaskedLM`, :class:`~minitransformer.models.Llama` or
        :class:`~minitransformer.models.Whisper`, in float32 whatever the file has.
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
    ctranslate2 = ctranslate2_file(path)
    if ctranslate2 is not None:
        return load_ctranslate2(ctranslate2)
    folder = path if path.is_dir() else path.parent
    stored = read_weights(folder if path.name == "config.json" else path)
    settings = Settings(_settings(folder), str(folder / "config.json"))
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


def _settings(folder: Path) -> dict[str, Any]:
    """``config.json``; but the tokens that end a text are those of ``generation_config.json``."""
    settings = read_json(folder / "config.json")
    generation = folder / "generation_config.json"
    if generation.is_file():
        ends = read_json(generation).get("eos_token_id")
        settings |= {} if ends is None else {"eos_token_id": ends}
    return settings


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
