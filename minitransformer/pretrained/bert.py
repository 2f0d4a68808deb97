"""BERT as the transformers library stores it: the trunk alone, or with the head it learnt with."""

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from minitransformer.models import Bert, BertConfig, BertForMaskedLM
from minitransformer.pretrained.config_json import Settings
from minitransformer.pretrained.family import Family
from minitransformer.pretrained.tables import TRANSPOSED, Row, linear, norm, repeated

EMBEDDINGS = (
    Row("embeddings.tokens.weight", {"embeddings.word_embeddings.weight": "V C"}),
    Row("embeddings.positions.weight", {"embeddings.position_embeddings.weight": "T C"}),
    Row("embeddings.segments.weight", {"embeddings.token_type_embeddings.weight": "S C"}),
    *norm("embeddings.norm", "embeddings.LayerNorm"),
)
BLOCK = (
    *norm("attention_norm", "attention.output.LayerNorm"),
    Row(
        "attention.query_key_value.weight",
        {f"attention.self.{part}.weight": "C C" for part in ("query", "key", "value")},
        TRANSPOSED,
    ),
    Row(
        "attention.query_key_value.bias",
        {f"attention.self.{part}.bias": "C" for part in ("query", "key", "value")},
    ),
    *linear("attention.projection", "attention.output.dense", "C C"),
    *norm("feed_forward_norm", "output.LayerNorm"),
    *linear("feed_forward.expand", "intermediate.dense", "F C"),
    *linear("feed_forward.contract", "output.dense", "C F"),
)
POOLER = linear("pooler.dense", "pooler.dense", "C C")
HEAD = (
    *linear("transform", "cls.predictions.transform.dense", "C C"),
    *norm("norm", "cls.predictions.transform.LayerNorm"),
    Row("bias", {"cls.predictions.bias": "V"}),
)


class BertFamily(Family):
    """BERT's trunk: its table and its settings."""

    model: ClassVar[type[Any]] = Bert
    model_type = "bert"
    architecture = "BertModel"
    ignored = r"embeddings\.position_ids"  # 0, 1, 2, ...

    def read_config(self, settings: Settings, names: Collection[str]) -> BertConfig:
        settings.require("hidden_act", "gelu")
        settings.require("layer_norm_eps", 1e-12)
        settings.require("position_embedding_type", "absolute")
        settings.require("is_decoder", False)
        return BertConfig(
            vocab_size=settings.size("vocab_size", 30522),
            context=settings.size("max_position_embeddings", 512),
            layers=settings.size("num_hidden_layers", 12),
            heads=settings.size("num_attention_heads", 12),
            width=settings.size("hidden_size", 768),
            dropout=settings.number("hidden_dropout_prob", 0.1),
            segments=settings.size("type_vocab_size", 2),
            hidden=settings.size("intermediate_size", 3072),
            pooler=any("pooler." in name for name in names),
        )

    def write_config(self, config: BertConfig) -> dict[str, Any]:
        return {
            "vocab_size": config.vocab_size,
            "max_position_embeddings": config.context,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "hidden_size": config.width,
            "hidden_dropout_prob": config.dropout,
            "attention_probs_dropout_prob": config.dropout,
            "type_vocab_size": config.segments,
            "intermediate_size": config.features,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "position_embedding_type": "absolute",
        }

    def rows(self, config: BertConfig) -> Iterator[Row]:
        yield from EMBEDDINGS
        yield from repeated(BLOCK, config.layers, "blocks.{}.", "encoder.layer.{}.")
        if config.pooler:
            yield from POOLER

    def sizes(self, config: BertConfig) -> dict[str, int]:
        return {
            "V": config.vocab_size,
            "T": config.context,
            "C": config.width,
            "F": config.features,
            "S": config.segments,
        }

    def name(self, stored: str) -> str:
        return _renamed(stored).removeprefix("bert.")


class BertForMaskedLMFamily(BertFamily):
    """BERT with its output layer, which is its embedding once more."""

    model = BertForMaskedLM
    architecture = "BertForMaskedLM"
    # of pre-training, the next-sentence head has no counterpart
    ignored = r"bert\.embeddings\.position_ids|cls\.seq_relationship\.(weight|bias)"
    copies = {  # noqa: RUF012
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }

    def read_config(self, settings: Settings, names: Collection[str]) -> BertConfig:
        settings.require("tie_word_embeddings", True)
        return super().read_config(settings, names)

    def rows(self, config: BertConfig) -> Iterator[Row]:
        for row in super().rows(config):
            yield row.inside("trunk.", "bert.")
        yield from HEAD

    def name(self, stored: str) -> str:
        name = _renamed(stored)
        return name if name.startswith(("bert.", "cls.")) else f"bert.{name}"


def _renamed(name: str) -> str:
    """The first checkpoints called gain and shift as we do."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )
