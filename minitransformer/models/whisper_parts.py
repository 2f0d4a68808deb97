"""The two halves of a Whisper: an encoder that listens, a decoder that writes."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer.models.decoder import TransformerDecoder
from minitransformer.models.whisper_config import WhisperConfig
from minitransformer.nn import (
    Conv1d,
    CrossAttention,
    Dropout,
    FeedForward,
    Gelu,
    LayerNorm,
    LearnedPositions,
    Module,
    MultiHeadAttention,
    Parameter,
    PreNormBlock,
    PreNormDecoderBlock,
    backward_through,
)
from minitransformer.nn.blocks import BlockCache


class AudioEncoderCache(NamedTuple):
    """What the encoder's backward needs."""

    conv1: Any
    gelu1: Any
    conv2: Any
    gelu2: Any
    positions: Any
    dropout: Any
    blocks: tuple[BlockCache, ...]
    norm: Any

    @property
    def parts(self) -> list[Any]:
        """One cache for each of :attr:`AudioEncoder.parts`."""
        return [*self[:6], *self.blocks, self.norm]


class FixedPositions(LearnedPositions):
    """Adds sines to the first half of the features and cosines to the second; nothing is learnt.

    Wavelengths grow geometrically from 2 pi to 10,000 times 2 pi, both included.
    """

    def __init__(self, length: int, width: int, dtype: DTypeLike = np.float32) -> None:
        angles = np.arange(length)[:, None] / np.geomspace(1.0, 10_000.0, width // 2)
        table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        self.weight = Parameter(table.astype(dtype))
        self.weight.freeze()


class AudioEncoder(Module):
    """Two convolutions make 20 ms of sound a position; then a transformer, norms first.

    Parameters
    ----------
    config
        The shape.
    rng
        Draws the weights.
    dtype
        Of the parameters.
    """

    def __init__(
        self, config: WhisperConfig, rng: np.random.Generator, dtype: DTypeLike = np.float32
    ) -> None:
        c = config
        self.conv1 = Conv1d(c.mel_bins, c.width, rng, dtype=dtype)
        self.gelu1 = Gelu("none")
        self.conv2 = Conv1d(c.width, c.width, rng, stride=2, dtype=dtype)
        self.gelu2 = Gelu("none")
        self.positions = FixedPositions(c.context, c.width, dtype)
        self.dropout = Dropout(c.dropout)
        self.blocks = [
            PreNormBlock(
                LayerNorm(c.width, dtype=dtype),
                MultiHeadAttention(c.width, c.heads, rng, dropout=c.dropout, dtype=dtype),
                LayerNorm(c.width, dtype=dtype),
                FeedForward(c.width, c.hidden, rng, activation=Gelu("none"), dtype=dtype),
                c.dropout,
            )
            for _ in range(c.layers)
        ]
        self.norm = LayerNorm(c.width, dtype=dtype)

    def __call__(
        self, features: np.ndarray, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, AudioEncoderCache]:
        """Map frames of sound (B, F, M) to a memory (B, ceil(F / 2), C)."""
        x, conv1 = self.conv1(features)
        x, gelu1 = self.gelu1(x)
        x, conv2 = self.conv2(x)
        x, gelu2 = self.gelu2(x)
        x, positions = self.positions(x)
        x, dropout = self.dropout(x, rng)
        blocks = []
        for block in self.blocks:
            x, block_cache = block(x, rng=rng)
            blocks.append(block_cache)
        y, norm = self.norm(x)
        return y, AudioEncoderCache(
            conv1, gelu1, conv2, gelu2, positions, dropout, tuple(blocks), norm
        )

    @property
    def parts(self) -> list[Any]:
        """All parts, in the order in which they run."""
        convolutions = [self.conv1, self.gelu1, self.conv2, self.gelu2]
        return [*convolutions, self.positions, self.dropout, *self.blocks, self.norm]

    def backward(self, dy: np.ndarray, cache: AudioEncoderCache) -> None:
        backward_through(self.parts, cache.parts, dy)


class TextDecoder(TransformerDecoder):
    """The decoder of 2017 with younger parts: norms first, GELU, learnt positions.

    Parameters are those of :class:`AudioEncoder`.
    """

    def __init__(
        self, config: WhisperConfig, rng: np.random.Generator, dtype: DTypeLike = np.float32
    ) -> None:
        c = config
        self.context = c.target_context
        self.positions = LearnedPositions(c.target_context, c.width, rng, dtype=dtype)
        self.dropout = Dropout(c.dropout)
        self.blocks = [
            PreNormDecoderBlock(
                LayerNorm(c.width, dtype=dtype),
                MultiHeadAttention(c.width, c.heads, rng, dropout=c.dropout, dtype=dtype),
                LayerNorm(c.width, dtype=dtype),
                CrossAttention(c.width, c.heads, rng, dropout=c.dropout, dtype=dtype),
                LayerNorm(c.width, dtype=dtype),
                FeedForward(c.width, c.hidden, rng, activation=Gelu("none"), dtype=dtype),
                c.dropout,
            )
            for _ in range(c.decoder_layers)
        ]
        self.norm = LayerNorm(c.width, dtype=dtype)
