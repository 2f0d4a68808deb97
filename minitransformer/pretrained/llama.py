"""The Llama family: two tables of names, of safetensors and of GGUF files."""

from collections.abc import Collection, Iterator
from typing import Any

from minitransformer.errors import InputError
from minitransformer.models import Llama, LlamaConfig
from minitransformer.pretrained.config_json import LARGEST_TABLE, Settings
from minitransformer.pretrained.family import Family
from minitransformer.pretrained.tables import TRANSPOSED, Row, paired, repeated

ONCE = (
    Row("token_embedding.weight", {"model.embed_tokens.weight": "V C"}),
    Row("norm.gamma", {"model.norm.weight": "C"}),
)
HEAD = Row("head.weight", {"lm_head.weight": "V C"}, TRANSPOSED)
BLOCK = (
    Row("attention_norm.gamma", {"input_layernorm.weight": "C"}),
    Row(
        "attention.query_key_value.weight",
        {
            "self_attn.q_proj.weight": "C C",
            "self_attn.k_proj.weight": "K C",
            "self_attn.v_proj.weight": "K C",
        },
        TRANSPOSED,
    ),
    Row("attention.projection.weight", {"self_attn.o_proj.weight": "C C"}, TRANSPOSED),
    Row("feed_forward_norm.gamma", {"post_attention_layernorm.weight": "C"}),
    Row("feed_forward.gate.weight", {"mlp.gate_proj.weight": "F C"}, TRANSPOSED),
    Row("feed_forward.up.weight", {"mlp.up_proj.weight": "F C"}, TRANSPOSED),
    Row("feed_forward.contract.weight", {"mlp.down_proj.weight": "C F"}, TRANSPOSED),
)

GGUF_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}


class LlamaFamily(Family):
    """Llama as the transformers library stores it: its table and its settings."""

    model = Llama
    model_type = "llama"
    architecture = "LlamaForCausalLM"
    ignored = r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
    copies = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def read_config(self, settings: Settings, names: Collection[str]) -> LlamaConfig:
        settings.require("hidden_act", "silu")
        settings.require("attention_bias", False)
        settings.require("mlp_bias", False)
        vocab_size, width = settings.size("vocab_size", 32000), settings.size("hidden_size", 4096)
        heads = settings.size("num_attention_heads", 32)
        settings.require("head_dim", width // heads)
        return LlamaConfig(
            vocab_size=vocab_size,
            context=settings.size(
                "max_position_embeddings", 2048, LARGEST_TABLE // (width // heads or 1)
            ),
            layers=settings.size("num_hidden_layers", 32),
            heads=heads,
            width=width,
            dropout=settings.number("attention_dropout", 0.0),
            kv_heads=settings.size("num_key_value_heads", heads),
            hidden=settings.size("intermediate_size", 11008),
            rotary_base=_rotary_base(settings),
            tied=settings.flag("tie_word_embeddings", False),
            norm_eps=settings.number("rms_norm_eps", 1e-6),
            eos_id=settings.end_ids("eos_token_id", vocab_size),
        )

    def write_config(self, config: LlamaConfig) -> dict[str, Any]:
        if config.interleaved:
            raise InputError(
                "interleaved is True, but in the public layout rotary pairs are half a head apart; "
                "train with interleaved = false to save a model there"
            )
        return {
            "vocab_size": config.vocab_size,
            "max_position_embeddings": config.context,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "hidden_size": config.width,
            "attention_dropout": config.dropout,
            "num_key_value_heads": config.key_heads,
            "intermediate_size": config.features,
            "rope_theta": config.rotary_base,
            "rope_parameters": {"rope_type": "default", "rope_theta": config.rotary_base},
            "tie_word_embeddings": config.tied,
            "rms_norm_eps": config.norm_eps,
            "hidden_act": "silu",
            "bos_token_id": None,
            "eos_token_id": config.eos_id,
        }

    def rows(self, config: LlamaConfig) -> Iterator[Row]:
        yield from ONCE
        if not config.tied:
            yield HEAD
        yield from repeated(BLOCK, config.layers, "blocks.{}.", "model.layers.{}.")

    def sizes(self, config: LlamaConfig) -> dict[str, int]:
        return {
            "V": config.vocab_size,
            "C": config.width,
            "K": config.width // config.heads * config.key_heads,
            "F": config.features,
        }

    def name(self, stored: str) -> str:
        return stored if stored.startswith(("model.", "lm_head.")) else f"model.{stored}"


def _rotary_base(settings: Settings) -> float:
    """``rope_theta``, which version 5 of the transformers library keeps in ``rope_parameters``."""
    parameters = settings.table("rope_parameters")
    for table in (parameters, settings.table("rope_scaling")):
        table.require("rope_type", "default")
        table.require("type", "default")
    return parameters.number("rope_theta", settings.number("rope_theta", 10_000.0))


class GGUFLlamaFamily(LlamaFamily):
    """Llama in GGUF files: other names, and rotary pairs that are neighbours."""

    ignored = ""
    copies = {}  # noqa: RUF012

    def read_config(self, settings: Settings, names: Collection[str]) -> LlamaConfig:
        settings.require("general.architecture", "llama")
        settings.require("llama.rope.scaling.type", "none")
        width, heads = (
            settings.size("llama.embedding_length"),
            settings.size("llama.attention.head_count"),
        )
        settings.require("llama.rope.dimension_count", width // heads)
        vocab_size = settings.size("llama.vocab_size")
        return LlamaConfig(
            vocab_size=vocab_size,
            context=settings.size(
                "llama.context_length", at_most=LARGEST_TABLE // (width // heads or 1)
            ),
            layers=settings.size("llama.block_count"),
            heads=heads,
            width=width,
            kv_heads=settings.size("llama.attention.head_count_kv", heads),
            hidden=settings.size("llama.feed_forward_length"),
            rotary_base=settings.number("llama.rope.freq_base", 10_000.0),
            tied="output.weight" not in names,
            norm_eps=settings.number("llama.attention.layer_norm_rms_epsilon", 1e-5),
            eos_id=settings.end_ids("tokenizer.ggml.eos_token_id", vocab_size),
        )

    def rows(self, config: LlamaConfig) -> Iterator[Row]:
        once = ONCE if config.tied else (*ONCE, HEAD)
        yield from map(_in_gguf, once)
        neighbours = paired(config.heads, config.key_heads)
        block = [
            row._replace(transform=neighbours) if len(row.theirs) == 3 else row
            for row in map(_in_gguf, BLOCK)
        ]
        yield from repeated(block, config.layers, "blocks.{}.", "blk.{}.")

    def name(self, stored: str) -> str:
        return stored


def _in_gguf(row: Row) -> Row:
    return row._replace(theirs={GGUF_NAMES[name]: shape for name, shape in row.theirs.items()})
