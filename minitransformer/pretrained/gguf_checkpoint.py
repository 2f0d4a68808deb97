"""GGUF files: settings, tensors and tokenizer in one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitransformer.errors import InputError
from minitransformer.pretrained.config_json import Settings
from minitransformer.pretrained.conversion import load_model
from minitransformer.pretrained.gguf_file import read_gguf
from minitransformer.pretrained.llama import GGUFLlamaFamily
from minitransformer.tokenizers import Tokenizer, from_document, gpt2_document

CONTROL = 3  # the type of tokens that are no text
DIGITS_FIRST = {"gpt-2": False, "smollm": True}
"""How a text is cut before bytes are merged, by the name in the file: are digits cut out first?"""


def load_gguf(path: Path) -> tuple[Any, Tokenizer | None]:
    """Load a model and its tokenizer.

    Raises
    ------
    InputError
        If the file is damaged, or not of a Llama.
    """
    settings, stored = read_gguf(path)
    model = load_model(GGUFLlamaFamily(), Settings(settings, str(path)), stored)
    try:
        return model, _tokenizer(settings)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _tokenizer(settings: dict[str, Any]) -> Tokenizer | None:
    """The byte-level tokenizer of GPT-2 or SmolLM2; None for the other kinds."""
    cut = settings.get("tokenizer.ggml.pre")
    if settings.get("tokenizer.ggml.model") != "gpt2" or cut not in DIGITS_FIRST:
        return None
    tokens = _texts(settings, "tokenizer.ggml.tokens")
    kinds = settings.get("tokenizer.ggml.token_type")
    if not isinstance(kinds, Sequence | np.ndarray) or len(kinds) != len(tokens):
        raise InputError("tokenizer.ggml.token_type does not have a number for each token")
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    vocab = {token: i for i, token in enumerate(tokens)}
    merges = _texts(settings, "tokenizer.ggml.merges")
    return from_document(gpt2_document(vocab, merges, special, DIGITS_FIRST[cut]))


def _texts(settings: dict[str, Any], name: str) -> list[str]:
    texts = settings.get(name)
    if not isinstance(texts, list):
        raise InputError(f"{name} is not a list of texts")
    return texts
