"""The transformer encoder of 2017."""

import math
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.errors import InputError
from minitransformer.nn import (
    Dropout,
    Embedding,
    FeedForward,
    KeyValues,
    LayerNorm,
    Module,
    MultiHeadAttention,
    PostNormBlock,
    PreNormBlock,
    Relu,
    SinusoidalPositions,
)
from minitransformer.nn.blocks import BlockCache

NormPlace: TypeAlias = Literal["post", "pre"]


class ScaledEmbedding(Embedding):
    """Rows times ``sqrt(C)``, so that they are as long as the positions that are added to them.

    The table itself has the standard deviation ``1 / sqrt(C)`` that suits an output layer which
    shares it.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need, section 3.4, arXiv:1706.03762.
    """

    def __init__(
        self, vocab_size: int, width: int, rng: np.random.Generator, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(vocab_size, width, rng, std=width**-0.5, dtype=dtype)
        self.scale = math.sqrt(width)

    def __call__(self, ids: np.ndarray) -> tuple[np.ndarray, Any]:
        y, cache = super().__call__(ids)
        ops.scale_(y, self.scale)
        return y, cache

    def backward(self, dy: np.ndarray, cache: Any) -> None:
        if not self.weight.frozen:
            (dw,) = ops.embedding_backward(dy, cache)
            ops.scale_(dw, self.scale)
            self.weight.add_gradient(dw)


class EncoderCache(NamedTuple):
    """What the encoder's backward needs."""

    positions: Any
    dropout: Any
    blocks: tuple[BlockCache, ...]
    norm: Any

    @property
    def parts(self) -> list[Any]:
        """One cache for each of :attr:`TransformerEncoder.parts`."""
        return [self.positions, self.dropout, *self.blocks, self.norm]


class TransformerEncoder(Module):
    """Positions, dropout, blocks, and a last norm: vectors that know of one another.

    Parameters
    ----------
    context
        Length of the table of positions.
    layers, heads, width, hidden
        Number of blocks; attention heads, features C and feed-forward features F of each.
    rng
        Draws the weights.
    dropout
        Probability of dropping an element of the sum with the positions, of an attention weight,
        and of what each part of a block writes.
    norm
        Where the norms of the blocks stand: ``"post"`` as in 2017, or ``"pre"``. The last norm is
        needed behind pre-norm blocks only, and harmless behind the others.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762.
    """

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
        kind = PostNormBlock if norm == "post" else PreNormBlock
        self.context = context
        self.positions = SinusoidalPositions(context, width, dtype)
        self.dropout = Dropout(dropout)
        self.blocks = [
            kind(
                LayerNorm(width, dtype=dtype),
                MultiHeadAttention(
                    width, heads, rng, dropout=dropout, std=std, projection_std=std, dtype=dtype
                ),
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
        mask: np.ndarray | None = None,
        causal: bool = False,
        rng: np.random.Generator | None = None,
        kv: KeyValues | None = None,
    ) -> tuple[np.ndarray, EncoderCache]:
        """Map embedded tokens x (B, T, C) to the same shape.

        Parameters
        ----------
        x : (B, T, C)
        mask : broadcasts to (B, H, T, S), optional
            True = may attend.
        causal
            Hide the future.
        rng
            Draws the dropout masks; None = no dropout.
        kv
            Memory of generation: x continues the tokens that it holds.

        Returns
        -------
        y : (B, T, C)
        cache : EncoderCache

        Raises
        ------
        InputError
            If there is no token, or more than there are positions.
        """
        check_length("the sequence", 0 if kv is None else kv.length, x.shape[1], self.context)
        x, positions = self.positions(x, 0 if kv is None else kv.start)
        x, dropout = self.dropout(x, rng)
        blocks = []
        for i, block in enumerate(self.blocks):
            x, block_cache = block(x, mask, causal, rng, None if kv is None else kv.layers[i])
            blocks.append(block_cache)
        y, norm = self.norm(x)
        return y, EncoderCache(positions, dropout, tuple(blocks), norm)

    @property
    def parts(self) -> list[Any]:
        """All parts, in the order in which they run."""
        return [self.positions, self.dropout, *self.blocks, self.norm]

    def backward(self, dy: np.ndarray, cache: EncoderCache) -> np.ndarray:
        for part, part_cache in zip(reversed(self.parts), reversed(cache.parts), strict=True):
            dy = part.backward(dy, part_cache)
        return dy


def check_norm(norm: str, width: int) -> None:
    """See to it that norms have a place, and each sine of the positions its cosine."""
    if norm not in ("post", "pre"):
        raise InputError(f"norm is {norm!r}, expected 'post' or 'pre'")
    if width % 2:
        raise InputError(f"width is {width}, expected an even number: sines and cosines are pairs")


def check_length(name: str, start: int, new: int, context: int) -> None:
    """See to it that there are tokens, and a position for each."""
    if not 1 <= new <= context - start:
        raise InputError(
            f"{name} has {new} tokens after {start}, expected at least 1 and together at most "
            f"{context}, as many as there are positions; shorten it, or make a model with a "
            "longer context"
        )
