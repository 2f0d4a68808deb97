"""BERT: an encoder that sees both sides."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.data import EncoderBatch
from minitransformer.errors import InputError
from minitransformer.models.pooling import Pooler
from minitransformer.models.shape import check_shape
from minitransformer.nn import (
    Dropout,
    Embedding,
    FeedForward,
    Gelu,
    LayerNorm,
    LearnedPositions,
    Module,
    MultiHeadAttention,
    PostNormBlock,
    backward_through,
    flatten_parameters,
)
from minitransformer.nn.blocks import BlockCache

NORM_EPS = 1e-12


def initial_std(width: int) -> float:
    """Standard deviation of the initial weights: BERT's 0.02 at its width of 768.

    With ``1 / sqrt(width)`` a linear map neither blows up nor silences what it is given.
    """
    return 0.02 * math.sqrt(768 / width)


@dataclass(frozen=True)
class BertConfig:
    """The shape of a BERT.

    Raises
    ------
    InputError
        If a size is not positive, heads do not divide width, or dropout is outside [0, 1).
    """

    vocab_size: int
    """Number of different tokens V."""
    context: int = 64
    """Tokens of the longest sequence."""
    layers: int = 4
    """Number of blocks."""
    heads: int = 4
    """Attention heads of each block; must divide the width."""
    width: int = 128
    """Features C of each position."""
    dropout: float = 0.0
    """Probability of dropping, while training."""
    segments: int = 2
    """Number of texts that a sequence may be put together from."""
    hidden: int | None = None
    """Features F of the feed-forward part; by default 4 times the width."""
    pooler: bool = False
    """Whether the pooler that public checkpoints have is kept; nothing here trains it."""

    def __post_init__(self) -> None:
        check_shape(
            vocab_size=self.vocab_size,
            context=self.context,
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            dropout=self.dropout,
            segments=self.segments,
            hidden=self.features,
        )

    @property
    def features(self) -> int:
        """Number of features of the feed-forward part."""
        return 4 * self.width if self.hidden is None else self.hidden


class BertEmbeddingsCache(NamedTuple):
    """What the embeddings' backward needs."""

    tokens: Any
    positions: Any
    segments: Any
    norm: Any
    dropout: Any


class BertEmbeddings(Module):
    """What a position holds at first: its token, its place and its text, added and normalised."""

    def __init__(self, config: BertConfig, rng: np.random.Generator, dtype: DTypeLike) -> None:
        c, std = config, initial_std(config.width)
        self.tokens = Embedding(c.vocab_size, c.width, rng, std, dtype)
        self.positions = LearnedPositions(c.context, c.width, rng, std, dtype)
        self.segments = Embedding(c.segments, c.width, rng, std, dtype)
        self.norm = LayerNorm(c.width, NORM_EPS, dtype)
        self.dropout = Dropout(c.dropout)

    def __call__(
        self, batch: EncoderBatch, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, BertEmbeddingsCache]:
        first_text = np.zeros_like(batch.inputs)
        x, tokens = self.tokens(batch.inputs)
        x, positions = self.positions(x)
        rows, segments = self.segments(first_text if batch.segments is None else batch.segments)
        ops.accumulate(x, rows)
        x, norm = self.norm(x)
        x, dropout = self.dropout(x, rng)
        return x, BertEmbeddingsCache(tokens, positions, segments, norm, dropout)

    def backward(self, dy: np.ndarray, cache: BertEmbeddingsCache) -> None:
        dx = self.norm.backward(self.dropout.backward(dy, cache.dropout), cache.norm)
        self.segments.backward(dx, cache.segments)
        dx = self.positions.backward(dx, cache.positions)
        self.tokens.backward(dx, cache.tokens)


class BertCache(NamedTuple):
    """What the trunk's backward needs: ``blocks[3].attention.probs``."""

    embeddings: BertEmbeddingsCache
    blocks: tuple[BlockCache, ...]


class Bert(Module):
    """The trunk: every position attends to every other, padding excepted.

    Post-norm blocks with the exact GELU. What BERT calls its pooler stands with the heads that
    read the whole sequence, as :class:`minitransformer.models.pooling.Pooler`; the trunk keeps
    that of a public checkpoint, ``pooled, _ = bert.pooler(x, lengths)``, and does not use it.

    Parameters
    ----------
    config
        The shape.
    seed
        Of the initial parameters.
    dtype
        float32, or float64 to prove gradients.

    References
    ----------
    Devlin et al. (2018), BERT, arXiv:1810.04805.
    """

    def __init__(self, config: BertConfig, seed: int = 0, dtype: DTypeLike = np.float32) -> None:
        self.config = c = config
        rng, std = np.random.default_rng(seed), initial_std(c.width)
        self.embeddings = BertEmbeddings(c, rng, dtype)
        self.blocks = [
            PostNormBlock(
                LayerNorm(c.width, NORM_EPS, dtype),
                MultiHeadAttention(
                    c.width,
                    c.heads,
                    rng,
                    dropout=c.dropout,
                    std=std,
                    projection_std=std,
                    dtype=dtype,
                ),
                LayerNorm(c.width, NORM_EPS, dtype),
                FeedForward(
                    c.width,
                    c.features,
                    rng,
                    activation=Gelu("none"),
                    std=std,
                    projection_std=std,
                    dtype=dtype,
                ),
                c.dropout,
            )
            for _ in range(c.layers)
        ]
        self.pooler = Pooler(c.width, "first", rng, dtype) if c.pooler else None
        flatten_parameters(self.parameters())

    def hidden(
        self, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, BertCache]:
        """Turn tokens into vectors that know of the whole sequence.

        Parameters
        ----------
        batch
            ``inputs`` (B, T), ``lengths`` (B,), and ``segments`` (B, T) if there are two texts.
        rng
            Draws the dropout masks; None = no dropout.

        Returns
        -------
        x : (B, T, C)
            What stands in the padding means nothing.
        cache : BertCache

        Raises
        ------
        InputError
            If the batch is empty, a sequence is, or one is longer than the context.
        IndexError
            If an id is outside the vocabulary, or a segment is not among the segments.
        """
        check_sequences(batch, self.config.context)
        mask = ops.padding_mask(batch.lengths, batch.inputs.shape[1])
        x, embeddings = self.embeddings(batch, rng)
        blocks = []
        for block in self.blocks:
            x, block_cache = block(x, mask, False, rng)
            blocks.append(block_cache)
        return x, BertCache(embeddings, tuple(blocks))

    def backward_hidden(self, dx: np.ndarray, cache: BertCache) -> None:
        """Add the gradients of all parameters, given that of :meth:`hidden`."""
        backward_through([self.embeddings, *self.blocks], [cache.embeddings, *cache.blocks], dx)


def check_sequences(batch: EncoderBatch, context: int) -> None:
    """See to it that there are sequences, none of them empty, and a position for every token.

    Raises
    ------
    InputError
        Names what is wrong, and the first row that is.
    """
    rows, length = batch.inputs.shape
    if not rows:
        raise InputError("the batch is empty; expected one sequence or more")
    if length > context:
        raise InputError(
            f"the sequences have {length} tokens, but the model has {context} positions; cut them "
            "into windows, or make a model with a longer context"
        )
    wrong = (batch.lengths < 1) | (batch.lengths > length)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"sequence {row} has length {batch.lengths[row]}, expected 1 to {length}, the tokens "
            "of a row"
        )
