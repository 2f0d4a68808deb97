"""Whisper as the transformers library stores it."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from minitransformer.models import Whisper, WhisperConfig
from minitransformer.pretrained.config_json import Settings
from minitransformer.pretrained.family import Family
from minitransformer.pretrained.tables import (
    TRANSPOSED,
    Arrays,
    Row,
    Transform,
    linear,
    norm,
    repeated,
)

CONVOLUTION = Transform(
    lambda theirs: theirs[0].transpose(2, 1, 0).reshape(-1, theirs[0].shape[0]),
    lambda ours, shapes: [ours.reshape(shapes[0][::-1]).transpose(2, 1, 0)],
)
"""(out, in, place in the window) there, one matrix (place and in, out) here."""


def _without_key_bias(parts: int) -> Transform:
    """Biases of queries, keys and values, or of keys and values: keys have none there.

    A bias of keys adds the same to all scores of a query, and softmax takes it away again. Here it
    is 0 at first, its gradient is 0, and what rounding makes of it may be left out.
    """

    def join(theirs: Arrays) -> np.ndarray:
        *queries, values = theirs
        return np.concatenate([*queries, np.zeros_like(values), values])

    def split(ours: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> Arrays:
        *queries, _, values = np.split(ours, parts)
        return [*queries, values]

    return Transform(join, split)


def _stacked(ours: str, theirs: str, names: Sequence[str]) -> tuple[Row, Row]:
    """Linear maps of the same input, which are one here."""
    weights = {f"{theirs}.{name}_proj.weight": "C C" for name in names}
    biases = {f"{theirs}.{name}_proj.bias": "C" for name in names if name != "k"}
    return (
        Row(f"{ours}.weight", weights, TRANSPOSED),
        Row(f"{ours}.bias", biases, _without_key_bias(len(names))),
    )


ENCODER = (
    Row("conv1.linear.weight", {"conv1.weight": "C M K"}, CONVOLUTION),
    Row("conv1.linear.bias", {"conv1.bias": "C"}),
    Row("conv2.linear.weight", {"conv2.weight": "C C K"}, CONVOLUTION),
    Row("conv2.linear.bias", {"conv2.bias": "C"}),
    Row("positions.weight", {"embed_positions.weight": "S C"}),
    *norm("norm", "layer_norm"),
)
DECODER = (
    Row("token_embedding.weight", {"model.decoder.embed_tokens.weight": "V C"}),
    Row("decoder.positions.weight", {"model.decoder.embed_positions.weight": "T C"}),
    *norm("decoder.norm", "model.decoder.layer_norm"),
)
BLOCK = (
    *norm("attention_norm", "self_attn_layer_norm"),
    *_stacked("attention.query_key_value", "self_attn", "qkv"),
    *linear("attention.projection", "self_attn.out_proj", "C C"),
    *norm("feed_forward_norm", "final_layer_norm"),
    *linear("feed_forward.expand", "fc1", "F C"),
    *linear("feed_forward.contract", "fc2", "C F"),
)
CROSS_ATTENTION = (
    *norm("cross_attention_norm", "encoder_attn_layer_norm"),
    *linear("cross_attention.query", "encoder_attn.q_proj", "C C"),
    *_stacked("cross_attention.key_value", "encoder_attn", "kv"),
    *linear("cross_attention.projection", "encoder_attn.out_proj", "C C"),
)


class WhisperFamily(Family):
    """Whisper: its table and its settings."""

    model = Whisper
    model_type = "whisper"
    architecture = "WhisperForConditionalGeneration"
    copies = {"proj_out.weight": "model.decoder.embed_tokens.weight"}  # noqa: RUF012

    def read_config(self, settings: Settings, names: Collection[str]) -> WhisperConfig:
        heads = settings.size("encoder_attention_heads", 6)
        hidden = settings.size("encoder_ffn_dim", 1536)
        settings.require("decoder_attention_heads", heads)
        settings.require("decoder_ffn_dim", hidden)
        settings.require("activation_function", "gelu")
        settings.require("scale_embedding", False)
        settings.require("tie_word_embeddings", True)
        vocab_size = settings.size("vocab_size", 51865)
        return WhisperConfig(
            vocab_size=vocab_size,
            start_id=settings.size("decoder_start_token_id", 50257, vocab_size - 1),
            end_id=settings.size("eos_token_id", 50256, vocab_size - 1),
            mel_bins=settings.size("num_mel_bins", 80),
            context=settings.size("max_source_positions", 1500),
            target_context=settings.size("max_target_positions", 448),
            layers=settings.size("encoder_layers", 4),
            decoder_layers=settings.size("decoder_layers", 4, max(1, len(names))),
            heads=heads,
            width=settings.size("d_model", 384),
            hidden=hidden,
            dropout=settings.number("dropout", 0.0),
            suppressed=settings.ids("suppress_tokens", vocab_size),
            suppressed_first=settings.ids("begin_suppress_tokens", vocab_size),
        )

    def write_config(self, config: WhisperConfig) -> dict[str, Any]:
        return {
            "vocab_size": config.vocab_size,
            "decoder_start_token_id": config.start_id,
            "bos_token_id": config.end_id,
            "eos_token_id": config.end_id,
            "pad_token_id": config.end_id,
            "num_mel_bins": config.mel_bins,
            "max_source_positions": config.context,
            "max_target_positions": config.target_context,
            "encoder_layers": config.layers,
            "decoder_layers": config.decoder_layers,
            "encoder_attention_heads": config.heads,
            "decoder_attention_heads": config.heads,
            "d_model": config.width,
            "encoder_ffn_dim": config.hidden,
            "decoder_ffn_dim": config.hidden,
            "dropout": config.dropout,
            "attention_dropout": config.dropout,
            "activation_function": "gelu",
            "scale_embedding": False,
            "tie_word_embeddings": True,
            "suppress_tokens": list(config.suppressed),
            "begin_suppress_tokens": list(config.suppressed_first),
        }

    def rows(self, config: WhisperConfig) -> Iterator[Row]:
        yield from (row.inside("encoder.", "model.encoder.") for row in ENCODER)
        yield from repeated(BLOCK, config.layers, "encoder.blocks.{}.", "model.encoder.layers.{}.")
        yield from DECODER
        block = (*BLOCK, *CROSS_ATTENTION)
        yield from repeated(
            block, config.decoder_layers, "decoder.blocks.{}.", "model.decoder.layers.{}."
        )

    def sizes(self, config: WhisperConfig) -> dict[str, int]:
        return {
            "V": config.vocab_size,
            "C": config.width,
            "F": config.hidden,
            "S": config.context,
            "T": config.target_context,
            "M": config.mel_bins,
            "K": 3,
        }

    def name(self, stored: str) -> str:
        return stored if stored.startswith(("model.", "proj_out.")) else f"model.{stored}"
