"""The parts of models, built from ops: parameters, layers, attention, positions, blocks."""

from minitransformer.nn.adapting import (
    add_lora,
    freeze,
    lora_layers,
    merge_lora,
    plain_linears,
    replace_module,
    unmerge_lora,
)
from minitransformer.nn.attention import CrossAttention, MultiHeadAttention
from minitransformer.nn.blocks import PostNormBlock, PreNormBlock
from minitransformer.nn.convolution import Conv1d
from minitransformer.nn.decoder_block import PostNormDecoderBlock, PreNormDecoderBlock
from minitransformer.nn.feed_forward import FeedForward, SwigluFeedForward
from minitransformer.nn.key_values import KeyValues, LayerKeyValues
from minitransformer.nn.layers import (
    Dropout,
    Embedding,
    Gelu,
    LayerNorm,
    Linear,
    Relu,
    RMSNorm,
    Undrawn,
    generator,
    last_position,
)
from minitransformer.nn.lora import LoraLinear, lora_backward, lora_forward, lora_merge
from minitransformer.nn.module import Module, backward_through
from minitransformer.nn.parameter import FlatParameters, Parameter, flatten_parameters
from minitransformer.nn.positions import (
    LearnedPositions,
    RotaryPositions,
    SinusoidalPositions,
    rotary_tables,
    sinusoidal_positions,
)

__all__ = [
    "Conv1d",
    "CrossAttention",
    "Dropout",
    "Embedding",
    "FeedForward",
    "FlatParameters",
    "Gelu",
    "KeyValues",
    "LayerKeyValues",
    "LayerNorm",
    "LearnedPositions",
    "Linear",
    "LoraLinear",
    "Module",
    "MultiHeadAttention",
    "Parameter",
    "PostNormBlock",
    "PostNormDecoderBlock",
    "PreNormBlock",
    "PreNormDecoderBlock",
    "RMSNorm",
    "Relu",
    "RotaryPositions",
    "SinusoidalPositions",
    "SwigluFeedForward",
    "Undrawn",
    "add_lora",
    "backward_through",
    "flatten_parameters",
    "freeze",
    "generator",
    "last_position",
    "lora_backward",
    "lora_forward",
    "lora_layers",
    "lora_merge",
    "merge_lora",
    "plain_linears",
    "replace_module",
    "rotary_tables",
    "sinusoidal_positions",
    "unmerge_lora",
]
