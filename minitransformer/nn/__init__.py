"""The parts of models, built from ops: parameters, layers, attention, positions, blocks."""

from minitransformer.nn.attention import CrossAttention, MultiHeadAttention
from minitransformer.nn.blocks import PostNormBlock, PreNormBlock
from minitransformer.nn.feed_forward import FeedForward
from minitransformer.nn.key_values import KeyValues, LayerKeyValues
from minitransformer.nn.layers import (
    Dropout,
    Embedding,
    Gelu,
    LayerNorm,
    Linear,
    Relu,
    RMSNorm,
)
from minitransformer.nn.lora import lora_backward, lora_forward, lora_merge
from minitransformer.nn.module import Module
from minitransformer.nn.parameter import FlatParameters, Parameter, flatten_parameters
from minitransformer.nn.positions import (
    LearnedPositions,
    RotaryPositions,
    SinusoidalPositions,
    rotary_tables,
    sinusoidal_positions,
)

__all__ = [
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
    "Module",
    "MultiHeadAttention",
    "Parameter",
    "PostNormBlock",
    "PreNormBlock",
    "RMSNorm",
    "Relu",
    "RotaryPositions",
    "SinusoidalPositions",
    "flatten_parameters",
    "lora_backward",
    "lora_forward",
    "lora_merge",
    "rotary_tables",
    "sinusoidal_positions",
]
