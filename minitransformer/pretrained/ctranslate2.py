"""A Whisper in a folder of CTranslate2: ``model.bin``, and a tokenizer beside it."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from minitransformer.errors import InputError
from minitransformer.models import WhisperConfig
from minitransformer.pretrained.config_json import Settings, read_json
from minitransformer.pretrained.conversion import load_model
from minitransformer.pretrained.ctranslate2_file import is_ctranslate2, read_ctranslate2
from minitransformer.pretrained.stored import StoredTensor
from minitransformer.pretrained.tables import Row, linear, norm, repeated
from minitransformer.pretrained.whisper import CONVOLUTION, WhisperFamily
from minitransformer.tokenizers import Tokenizer, load_tokenizer
from minitransformer.tokenizers.pretrained import PretrainedTokenizer

START, END = "<|startoftranscript|>", "<|endoftext|>"
GELU = 3

ENCODER = (
    Row("conv1.linear.weight", {"conv1.weight": "C M K"}, CONVOLUTION),
    Row("conv1.linear.bias", {"conv1.bias": "C"}),
    Row("conv2.linear.weight", {"conv2.weight": "C C K"}, CONVOLUTION),
    Row("conv2.linear.bias", {"conv2.bias": "C"}),
    Row("positions.weight", {"position_encodings.encodings": "S C"}),
    *norm("norm", "layer_norm"),
)
DECODER = (
    Row("token_embedding.weight", {"decoder.embeddings.weight": "V C"}),
    Row("decoder.positions.weight", {"decoder.position_encodings.encodings": "T C"}),
    *norm("decoder.norm", "decoder.layer_norm"),
)
BLOCK = (
    *norm("attention_norm", "self_attention.layer_norm"),
    *linear("attention.query_key_value", "self_attention.linear_0", "3C C"),
    *linear("attention.projection", "self_attention.linear_1", "C C"),
    *norm("feed_forward_norm", "ffn.layer_norm"),
    *linear("feed_forward.expand", "ffn.linear_0", "F C"),
    *linear("feed_forward.contract", "ffn.linear_1", "C F"),
)
CROSS_ATTENTION = (
    *norm("cross_attention_norm", "attention.layer_norm"),
    *linear("cross_attention.query", "attention.linear_0", "C C"),
    *linear("cross_attention.key_value", "attention.linear_1", "2C C"),
    *linear("cross_attention.projection", "attention.linear_2", "C C"),
)


class CTranslate2WhisperFamily(WhisperFamily):
    """Whisper in files of CTranslate2: other names, and maps of the same input stacked."""

    copies = {"decoder.projection.weight": "decoder.embeddings.weight"}  # noqa: RUF012

    def read_config(self, settings: Settings, names: Collection[str]) -> WhisperConfig:
        heads = settings.size("encoder/num_heads")
        settings.require("decoder/num_heads", heads)
        settings.require("decoder/activation", GELU)
        settings.require("decoder/pre_norm", 1)
        settings.require("decoder/scale_embeddings", 0)
        settings.require("decoder/alibi", 0)
        vocab_size = settings.size("vocab_size")
        return WhisperConfig(
            vocab_size=vocab_size,
            start_id=settings.size(START, at_most=vocab_size - 1),
            end_id=settings.size(END, at_most=vocab_size - 1),
            mel_bins=settings.size("mel_bins"),
            context=settings.size("context"),
            target_context=settings.size("target_context"),
            layers=_layers(names, "encoder"),
            decoder_layers=_layers(names, "decoder"),
            heads=heads,
            width=settings.size("width"),
            hidden=settings.size("hidden"),
            suppressed=settings.ids("suppress_ids", vocab_size),
            suppressed_first=settings.ids("suppress_ids_begin", vocab_size),
        )

    def rows(self, config: WhisperConfig) -> Iterator[Row]:
        yield from (row.inside("encoder.", "encoder.") for row in ENCODER)
        yield from repeated(BLOCK, config.layers, "encoder.blocks.{}.", "encoder.layer_{}.")
        yield from DECODER
        block = (*BLOCK, *CROSS_ATTENTION)
        yield from repeated(block, config.decoder_layers, "decoder.blocks.{}.", "decoder.layer_{}.")

    def name(self, stored: str) -> str:
        name = stored.replace("/", ".")
        return re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", name))


def _layers(names: Collection[str], half: str) -> int:
    """Number of layers that are spoken of."""
    found = (re.match(rf"{half}/layer_\d+/", name) for name in names)
    return len({match[0] for match in found if match})


def _sizes(tensors: Mapping[str, StoredTensor]) -> dict[str, int]:
    """Settings that only the shapes of some tensors tell."""
    told = {
        ("vocab_size", "width"): "decoder/embeddings/weight",
        ("width", "mel_bins", "window"): "encoder/conv1/weight",
        ("context", "width"): "encoder/position_encodings/encodings",
        ("target_context", "width"): "decoder/position_encodings/encodings",
        ("hidden", "width"): "decoder/layer_0/ffn/linear_0/weight",
    }
    return {
        size: number
        for sizes, name in told.items()
        if name in tensors
        for size, number in zip(sizes, tensors[name].shape, strict=False)
    }


def ctranslate2_file(path: Path) -> Path | None:
    """The ``model.bin`` of CTranslate2 that a path is or holds."""
    file = path / "model.bin" if path.is_dir() else path
    return file if file.suffix == ".bin" and is_ctranslate2(file) else None


def load_ctranslate2(path: Path) -> tuple[Any, Tokenizer]:
    """Load a model and its tokenizer.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the model is not a Whisper.
    """
    kind, scalars, tensors = read_ctranslate2(path)
    if kind != "WhisperSpec":
        raise InputError(f"{path}: the model is a {kind}, expected a WhisperSpec")
    tokenizer = load_tokenizer(path.with_name("tokenizer.json"))
    if not isinstance(tokenizer, PretrainedTokenizer):
        raise InputError(f"{path.with_name('tokenizer.json')} is not the tokenizer of a Whisper")
    beside = path.with_name("config.json")
    document: dict[str, Any] = read_json(beside) if beside.is_file() else {}
    document |= {**scalars, **_sizes(tensors), **tokenizer.special_tokens}
    return load_model(CTranslate2WhisperFamily(), Settings(document, str(path)), tensors), tokenizer
