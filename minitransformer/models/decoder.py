"""The decoder of 2017: an encoder's blocks, made causal, that also attend to a memory."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minitransformer import ops
from minitransformer.models.encoder import NormPlace, check_length, check_norm
from minitransformer.nn import (
    CrossAttention,
    Dropout,
    FeedForward,
    KeyValues,
    LayerKeyValues,
    LayerNorm,
    LearnedPositions,
    Module,
    MultiHeadAttention,
    PostNormDecoderBlock,
    PreNormDecoderBlock,
    Relu,
    SinusoidalPositions,
)
from minitransformer.nn.decoder_block import DecoderBlockCache


class MemoryKeyValues(KeyValues):
    """The memory of generation of a decoder: its own tokens, and what the encoder made.

    Parameters
    ----------
    layers
        Keys and values of the decoder's own tokens, one for each block.
    memory
        Keys and values of the encoder's memory, one for each block.
    memory_mask : (B, 1, 1, S)
        True = a token of the source.
    """

    def __init__(
        self,
        layers: list[LayerKeyValues],
        memory: list[LayerKeyValues],
        memory_mask: np.ndarray,
    ) -> None:
        super().__init__(layers)
        self.memory = memory
        self.memory_mask = memory_mask

    def select(self, rows: ArrayLike) -> "MemoryKeyValues":
        """Copy with these rows, each as often as it is named."""
        return MemoryKeyValues(
            [layer.select(rows) for layer in self.layers],
            [layer.select(rows) for layer in self.memory],
            self.memory_mask[np.asarray(rows)],
        )


class DecoderCache(NamedTuple):
    """What the decoder's backward needs."""

    positions: Any
    dropout: Any
    blocks: tuple[DecoderBlockCache, ...]
    norm: Any


class TransformerDecoder(Module):
    """Positions, dropout, decoder blocks, and a last norm.

    Parameters are those of :class:`~minitransformer.models.encoder.TransformerEncoder`.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762.
    """

    positions: SinusoidalPositions | LearnedPositions

    def __init__(
        self,
        context: int,
        layers: int,
        heads: int,
        width: int,
        hidden: int,
        rng: np.random.Generator,
        *,
        dropout: float = 0.0,
        norm: NormPlace = "post",
        dtype: DTypeLike = np.float32,
    ) -> None:
        check_norm(norm, width)
        std = width**-0.5
        kind = PostNormDecoderBlock if norm == "post" else PreNormDecoderBlock
        attention: dict[str, Any] = {
            "dropout": dropout,
            "std": std,
            "projection_std": std,
            "dtype": dtype,
        }
        self.context = context
        self.positions = SinusoidalPositions(context, width, dtype)
        self.dropout = Dropout(dropout)
        self.blocks = [
            kind(
                LayerNorm(width, dtype=dtype),
                MultiHeadAttention(width, heads, rng, **attention),
                LayerNorm(width, dtype=dtype),
                CrossAttention(width, heads, rng, **attention),
                LayerNorm(width, dtype=dtype),
                FeedForward(
                    width,
                    hidden,
                    rng,
                    activation=Relu(),
                    std=std,
                    projection_std=hidden**-0.5,
                    dtype=dtype,
                ),
                dropout,
            )
            for _ in range(layers)
        ]
        self.norm = LayerNorm(width, dtype=dtype)

    def __call__(
        self,
        x: np.ndarray,
        memory: np.ndarray | None,
        memory_mask: np.ndarray | None = None,
        rng: np.random.Generator | None = None,
        kv: MemoryKeyValues | None = None,
    ) -> tuple[np.ndarray, DecoderCache]:
        """Map embedded tokens x to the same shape; each sees its past and all of the memory.

        Parameters
        ----------
        x : (B, T, C)
        memory : (B, S, C)
            What the encoder made of the source; None: kv holds its keys and values.
        memory_mask : broadcasts to (B, H, T, S), optional
            True = may attend.
        rng
            Draws the dropout masks; None = no dropout.
        kv
            Memory of generation: x continues the tokens that it holds.

        Returns
        -------
        y : (B, T, C)
        cache : DecoderCache

        Raises
        ------
        InputError
            If there is no token, or more than there are positions.
        """
        start = 0 if kv is None else kv.length
        check_length("the target", start, x.shape[1], self.context)
        x, positions = self.positions(x, start)
        x, dropout = self.dropout(x, rng)
        blocks = []
        for i, block in enumerate(self.blocks):
            remembered = () if kv is None else (kv.layers[i], kv.memory[i])
            x, block_cache = block(x, memory, memory_mask, rng, *remembered)
            blocks.append(block_cache)
        y, norm = self.norm(x)
        return y, DecoderCache(positions, dropout, tuple(blocks), norm)

    def backward(self, dy: np.ndarray, cache: DecoderCache) -> tuple[np.ndarray, np.ndarray]:
        """Gradients ``(dx, dmemory)``."""
        dx = self.norm.backward(dy, cache.norm)
        parts = []
        for block, block_cache in zip(reversed(self.blocks), reversed(cache.blocks), strict=True):
            dx, part = block.backward(dx, block_cache)
            parts.append(part)
        # every block read the memory
        dmemory, *others = parts
        for other in others:
            ops.accumulate(dmemory, other)
        dx = self.dropout.backward(dx, cache.dropout)
        return self.positions.backward(dx, cache.positions), dmemory
