"""GPT-2, as its authors and the transformers library store it: weights are (in, out) there too."""

from collections.abc import Collection, Iterator
from typing import Any

from minitransformer.models import GPT, GPTConfig
from minitransformer.pretrained.config_json import Settings
from minitransformer.pretrained.family import Family
from minitransformer.pretrained.tables import Row, norm, repeated

ONCE = (
    Row("token_embedding.weight", {"wte.weight": "V C"}),
    Row("positions.weight", {"wpe.weight": "T C"}),
    *norm("norm", "ln_f"),
)
BLOCK = (
    *norm("attention_norm", "ln_1"),
    Row("attention.query_key_value.weight", {"attn.c_attn.weight": "C 3C"}),
    Row("attention.query_key_value.bias", {"attn.c_attn.bias": "3C"}),
    Row("attention.projection.weight", {"attn.c_proj.weight": "C C"}),
    Row("attention.projection.bias", {"attn.c_proj.bias": "C"}),
    *norm("feed_forward_norm", "ln_2"),
    Row("feed_forward.expand.weight", {"mlp.c_fc.weight": "C F"}),
    Row("feed_forward.expand.bias", {"mlp.c_fc.bias": "F"}),
    Row("feed_forward.contract.weight", {"mlp.c_proj.weight": "F C"}),
    Row("feed_forward.contract.bias", {"mlp.c_proj.bias": "C"}),
)


class GPT2Family(Family):
    """GPT-2: its table and its settings."""

    model = GPT
    model_type = "gpt2"
    architecture = "GPT2LMHeadModel"
    ignored = r"h\.\d+\.attn\.(bias|masked_bias)"  # the causal mask
    copies = {"lm_head.weight": "wte.weight"}  # noqa: RUF012

    def read_config(self, settings: Settings, names: Collection[str]) -> GPTConfig:
        settings.require("activation_function", "gelu_new", "gelu_pytorch_tanh")
        settings.require("layer_norm_epsilon", 1e-5)
        settings.require("scale_attn_weights", True)
        settings.require("scale_attn_by_inverse_layer_idx", False)
        settings.require("tie_word_embeddings", True)
        vocab_size, width = settings.size("vocab_size", 50257), settings.size("n_embd", 768)
        return GPTConfig(
            vocab_size=vocab_size,
            context=settings.size("n_positions", 1024),
            layers=settings.size("n_layer", 12),
            heads=settings.size("n_head", 12),
            width=width,
            dropout=settings.number("resid_pdrop", 0.1),
            hidden=settings.size("n_inner", 4 * width),
            eos_id=settings.end_ids("eos_token_id", vocab_size),
        )

    def write_config(self, config: GPTConfig) -> dict[str, Any]:
        dropout = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), config.dropout)
        return {
            "vocab_size": config.vocab_size,
            "n_positions": config.context,
            "n_layer": config.layers,
            "n_head": config.heads,
            "n_embd": config.width,
            "n_inner": config.features,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5,
            "bos_token_id": None,
            "eos_token_id": config.eos_id,
            "tie_word_embeddings": True,
            **dropout,
        }

    def rows(self, config: GPTConfig) -> Iterator[Row]:
        yield from ONCE
        yield from repeated(BLOCK, config.layers, "blocks.{}.", "h.{}.")

    def sizes(self, config: GPTConfig) -> dict[str, int]:
        return {
            "V": config.vocab_size,
            "T": config.context,
            "C": config.width,
            "F": config.features,
        }

    def name(self, stored: str) -> str:
        return stored.removeprefix("transformer.")
