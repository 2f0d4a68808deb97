"""GPT: a decoder that predicts the next token."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.data import Batch, EncoderBatch
from minitransformer.models.shape import check_shape
from minitransformer.nn import (
    Dropout,
    Embedding,
    FeedForward,
    Gelu,
    KeyValues,
    LayerKeyValues,
    LayerNorm,
    LearnedPositions,
    Module,
    MultiHeadAttention,
    PreNormBlock,
    backward_through,
    flatten_parameters,
    last_position,
)
from minitransformer.nn.blocks import BlockCache
from minitransformer.nn.stack import run_blocks


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT.

    Raises
    ------
    InputError
        If a size is not positive, heads do not divide width, or dropout is outside [0, 1).
    """

    vocab_size: int
    """Number of different tokens V."""
    context: int = 64
    """Tokens that the model looks back at."""
    layers: int = 4
    """Number of blocks."""
    heads: int = 4
    """Attention heads of each block; must divide the width."""
    width: int = 128
    """Features C of each position."""
    dropout: float = 0.0
    """Probability of dropping, while training."""
    hidden: int | None = None
    """Features F of the feed-forward part; by default 4 times the width."""
    eos_id: int | tuple[int, ...] | None = None
    """Tokens that end a text, if there are any."""

    def __post_init__(self) -> None:
        check_shape(
            vocab_size=self.vocab_size,
            context=self.context,
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            dropout=self.dropout,
            hidden=self.features,
        )

    @property
    def features(self) -> int:
        """Number of features of the feed-forward part."""
        return 4 * self.width if self.hidden is None else self.hidden


class GPTCache(NamedTuple):
    """What GPT's backward needs, and all there is to look at: ``blocks[3].attention.probs``."""

    token_embedding: Any
    positions: Any
    dropout: Any
    blocks: tuple[BlockCache, ...]
    norm: Any
    logits: Any = None
    cross_entropy: Any = None


class GPT(Module):
    """GPT-2's architecture: learned positions, pre-norm blocks, output tied to the embedding.

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
    Radford et al. (2019), Language Models are Unsupervised Multitask Learners.
    """

    def __init__(self, config: GPTConfig, seed: int = 0, dtype: DTypeLike = np.float32) -> None:
        self.config = config
        rng = np.random.default_rng(seed)
        width = config.width
        # 2 * layers parts add to the residual path: together they shall vary as one would
        projection_std = 0.02 / math.sqrt(2 * config.layers)
        self.token_embedding = Embedding(config.vocab_size, width, rng, dtype=dtype)
        self.positions = LearnedPositions(config.context, width, rng, dtype=dtype)
        self.dropout = Dropout(config.dropout)
        self.blocks = [
            PreNormBlock(
                LayerNorm(width, dtype=dtype),
                MultiHeadAttention(
                    width,
                    config.heads,
                    rng,
                    dropout=config.dropout,
                    projection_std=projection_std,
                    dtype=dtype,
                ),
                LayerNorm(width, dtype=dtype),
                FeedForward(
                    width,
                    config.features,
                    rng,
                    activation=Gelu("tanh"),
                    projection_std=projection_std,
                    dtype=dtype,
                ),
                config.dropout,
            )
            for _ in range(config.layers)
        ]
        self.norm = LayerNorm(width, dtype=dtype)
        flatten_parameters(self.parameters())

    def new_kv(self, batch: int, padding: np.ndarray | None = None) -> KeyValues:
        """Empty memory for generating ``batch`` sequences of at most ``context`` tokens.

        Parameters
        ----------
        batch
            Number of rows B.
        padding : (B,) integers, optional
            How many of the first ids of each row are padding, which nothing looks at.
        """
        c = self.config
        like = self.token_embedding.weight.data
        return KeyValues(
            [
                LayerKeyValues(batch, c.heads, c.context, c.width // c.heads, like, padding)
                for _ in self.blocks
            ]
        )

    def __call__(
        self,
        ids: np.ndarray,
        rng: np.random.Generator | None = None,
        kv: KeyValues | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, GPTCache]:
        """Score every possible next token after every token.

        Parameters
        ----------
        ids : (B, T), integers in [0, vocab_size)
        rng
            Draws the dropout masks; None = no dropout.
        kv
            Memory of generation: ids continue the tokens that it holds, and are added to it.
        mask : (B, 1, T, T) bool, optional
            True = may attend, instead of the causal mask; not in generation.

        Returns
        -------
        logits : (B, T, V)
        cache : GPTCache

        Raises
        ------
        ValueError
            If there are more tokens than the context holds.
        IndexError
            If an id is outside the vocabulary.
        """
        x, cache = self._hidden(ids, rng, kv, mask)
        logits, head = self.token_embedding.logits(x)
        return logits, cache._replace(logits=head)

    def next_logits(self, ids: np.ndarray, kv: KeyValues | None = None) -> np.ndarray:
        """Score what may follow the last token, and nothing else: ``self(ids, kv=kv)[0][:, -1]``.

        Generation reads a prompt so; the scores of its other positions cost time.

        Returns
        -------
        (B, V)
        """
        x, _ = self._hidden(ids, None, kv)
        logits, _ = self.token_embedding.logits(last_position(x))
        return logits

    def hidden(
        self, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, GPTCache]:
        """Vectors (B, T, C) for a head to read; none knows of what follows it."""
        return self._hidden(batch.inputs, rng)

    def _hidden(
        self,
        ids: np.ndarray,
        rng: np.random.Generator | None,
        kv: KeyValues | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, GPTCache]:
        held = 0 if kv is None else kv.length
        if np.ndim(ids) != 2 or held + np.shape(ids)[1] > self.config.context:
            raise ValueError(
                f"gpt: ids has shape {np.shape(ids)} after {held} tokens, expected (B, T) with "
                f"{held} + T <= context ({self.config.context})"
            )
        causal = mask is None
        if kv is not None:
            mask = kv.mask(np.shape(ids)[1])
        x, token_embedding = self.token_embedding(ids)
        x, positions = self.positions(x, 0 if kv is None else kv.start)
        x, dropout = self.dropout(x, rng)
        x, blocks = run_blocks(self.blocks, x, mask, causal, rng, kv)
        x, norm = self.norm(x)
        return x, GPTCache(token_embedding, positions, dropout, blocks, norm)

    def backward_logits(self, dlogits: np.ndarray, cache: GPTCache) -> None:
        """Add the gradients of all parameters, given that of the logits (B, T, V)."""
        dx = self.token_embedding.backward_logits(dlogits, cache.logits)
        self.backward_hidden(dx, cache)

    def backward_hidden(self, dx: np.ndarray, cache: GPTCache) -> None:
        """Add the gradients of all parameters, given that of :meth:`hidden`."""
        c = cache
        parts = [self.token_embedding, self.positions, self.dropout, *self.blocks, self.norm]
        caches = [c.token_embedding, c.positions, c.dropout, *c.blocks, c.norm]
        backward_through(parts, caches, dx)

    def loss(
        self, batch: Batch, rng: np.random.Generator | None = None
    ) -> tuple[np.floating[Any], GPTCache]:
        """Mean cross-entropy of the next token, in nats.

        Parameters
        ----------
        batch
            ``inputs`` and ``targets``, both (B, T); a target of -100 is ignored. A mask, if there
            is one, replaces the causal mask.
        rng
            Draws the dropout masks; None = no dropout.
        """
        logits, cache = self(batch.inputs, rng, mask=batch.mask)
        loss, cross_entropy = ops.cross_entropy_forward(logits, batch.targets)
        return loss, cache._replace(cross_entropy=cross_entropy)

    def backward(self, cache: GPTCache, dloss: float = 1.0) -> None:
        """Add the gradients of all parameters, times ``dloss``."""
        (dlogits,) = ops.cross_entropy_backward(dloss, cache.cross_entropy)
        self.backward_logits(dlogits, cache)
