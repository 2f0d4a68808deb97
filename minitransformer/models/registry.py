"""All architectures by name, so that a file of settings or a checkpoint can ask for one."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer.errors import InputError
from minitransformer.models.bert import BertConfig
from minitransformer.models.encoder_decoder import EncoderDecoder
from minitransformer.models.encoder_decoder_config import EncoderDecoderConfig
from minitransformer.models.gpt import GPT, GPTConfig
from minitransformer.models.heads import (
    Classifier,
    ClassifierConfig,
    Regressor,
    RegressorConfig,
    RewardModel,
    RewardModelConfig,
    SpanAnswerer,
    SpanAnswererConfig,
    TokenLabeller,
    TokenLabellerConfig,
)
from minitransformer.models.llama import Llama
from minitransformer.models.llama_config import LlamaConfig
from minitransformer.models.masked_lm import BertForMaskedLM
from minitransformer.models.multitask import MultiTask, MultiTaskConfig
from minitransformer.models.transformer_lm import TransformerLM, TransformerLMConfig
from minitransformer.models.whisper import Whisper
from minitransformer.models.whisper_config import WhisperConfig


class Architecture(NamedTuple):
    """A kind of model: the dataclass of its shape, and the class that is built from it."""

    config: type[Any]
    model: type[Any]


ARCHITECTURES = {
    "bert": Architecture(BertConfig, BertForMaskedLM),
    "classifier": Architecture(ClassifierConfig, Classifier),
    "encoder-decoder": Architecture(EncoderDecoderConfig, EncoderDecoder),
    "gpt": Architecture(GPTConfig, GPT),
    "llama": Architecture(LlamaConfig, Llama),
    "multi-task": Architecture(MultiTaskConfig, MultiTask),
    "regressor": Architecture(RegressorConfig, Regressor),
    "reward-model": Architecture(RewardModelConfig, RewardModel),
    "span-answerer": Architecture(SpanAnswererConfig, SpanAnswerer),
    "token-labeller": Architecture(TokenLabellerConfig, TokenLabeller),
    "transformer-lm": Architecture(TransformerLMConfig, TransformerLM),
    "whisper": Architecture(WhisperConfig, Whisper),
}
"""What ``architecture`` may be in a recipe."""


def require_known(what: str, given: str, known: Iterable[str]) -> None:
    """See to it that a name is known.

    Raises
    ------
    InputError
        With the closest name that is, or all of them.
    """
    names = sorted(known)
    if given not in names:
        close = difflib.get_close_matches(given, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(names)}"
        raise InputError(f"{what} {given!r} is unknown; {hint}")


def configure(architecture: str, settings: Mapping[str, Any]) -> Any:
    """The shape of a model from its settings.

    Raises
    ------
    InputError
        If the architecture or a setting is unknown, or a value is out of range.
    """
    require_known("architecture", architecture, ARCHITECTURES)
    config = ARCHITECTURES[architecture].config
    names = [field.name for field in dataclasses.fields(config)]
    for name in settings:
        require_known(f"the setting of architecture {architecture},", name, names)
    try:
        return config(**settings)
    except TypeError as error:
        raise InputError(f"architecture {architecture}: {error}") from error


def build(config: Any, seed: int = 0, dtype: DTypeLike = np.float32) -> Any:
    """The untrained model of a shape."""
    return ARCHITECTURES[architecture_of(config)].model(config, seed=seed, dtype=dtype)


def architecture_of(config: Any) -> str:
    """The name under which models of this shape are known."""
    return next(name for name, known in ARCHITECTURES.items() if type(config) is known.config)


def config_to_json(config: Any) -> dict[str, Any]:
    """A shape in JSON's types; shapes inside of it, such as a head's trunk, likewise."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {"architecture": architecture_of(config)} | {
        name: config_to_json(value) if dataclasses.is_dataclass(value) else value
        for name, value in fields.items()
    }


def config_from_json(document: Mapping[str, Any]) -> Any:
    """What :func:`config_to_json` was given.

    Raises
    ------
    KeyError, TypeError, InputError
        If it is not of a known architecture.
    """
    architecture = document["architecture"]
    settings = {name: _value(value) for name, value in document.items() if name != "architecture"}
    return configure(architecture, settings)


def _value(value: Any) -> Any:
    match value:
        case {"architecture": _}:
            return config_from_json(value)
        case list():
            return tuple(map(_value, value))
    return value
