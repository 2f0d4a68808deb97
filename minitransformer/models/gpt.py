"""GPT: a decoder that predicts the next token."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.data import Batch
from minitransformer.errors import InputError
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
    flatten_parameters,
)
from minitransformer.nn.blocks import BlockCache


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

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "layers", "heads", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if self.width % self.heads:
            raise InputError(
                f"width is {self.width} and heads {self.heads}, expected heads to divide width; "
                f"try width {self.heads * max(1, round(self.width / self.heads))}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise InputError(f"dropout is {self.dropout}, expected 0 <= dropout < 1")


class GPTCache(NamedTuple):
    """What GPT's backward needs, and all there is to look at: ``blocks[3].attention.probs``."""

    token_embedding: Any
    positions: Any
    dropout: Any
    blocks: tuple[BlockCache, ...]
    norm: Any
    logits: Any
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
                    4 * width,
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

    def new_kv(self, batch: int) -> KeyValues:
        """Empty memory for generating ``batch`` sequences of at most ``context`` tokens."""
        c = self.config
        dtype = self.norm.gamma.dtype
        return KeyValues(
            [
                LayerKeyValues(batch, c.heads, c.context, c.width // c.heads, dtype)
                for _ in self.blocks
            ]
        )

    def __call__(
        self,
        ids: np.ndarray,
        rng: np.random.Generator | None = None,
        kv: KeyValues | None = None,
    ) -> tuple[np.ndarray, GPTCache]:
        """Score every possible next token after every token.

        Parameters
        ----------
        ids : (B, T), integers in [0, vocab_size)
        rng
            Draws the dropout masks; None = no dropout.
        kv
            Memory of generation: ids continue the tokens that it holds, and are added to it.

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
        start = 0 if kv is None else kv.length
        if np.ndim(ids) != 2 or start + np.shape(ids)[1] > self.config.context:
            raise ValueError(
                f"gpt: ids has shape {np.shape(ids)} after {start} tokens, expected (B, T) with "
                f"{start} + T <= context ({self.config.context})"
            )
        x, token_embedding = self.token_embedding(ids)
        x, positions = self.positions(x, start)
        x, dropout = self.dropout(x, rng)
        blocks = []
        for i, block in enumerate(self.blocks):
            x, block_cache = block(x, None, True, rng, None if kv is None else kv.layers[i])
            blocks.append(block_cache)
        x, norm = self.norm(x)
        logits, head = ops.linear_forward(x, self.token_embedding.weight.data, transposed=True)
        return logits, GPTCache(token_embedding, positions, dropout, tuple(blocks), norm, head)

    def backward_logits(self, dlogits: np.ndarray, cache: GPTCache) -> None:
        """Add the gradients of all parameters, given that of the logits (B, T, V)."""
        dx, dw, _ = ops.linear_backward(dlogits, cache.logits)
        ops.accumulate(self.token_embedding.weight.grad, dw)
        dx = self.norm.backward(dx, cache.norm)
        for block, block_cache in zip(reversed(self.blocks), reversed(cache.blocks), strict=True):
            dx = block.backward(dx, block_cache)
        dx = self.dropout.backward(dx, cache.dropout)
        dx = self.positions.backward(dx, cache.positions)
        self.token_embedding.backward(dx, cache.token_embedding)

    def loss(
        self, batch: Batch, rng: np.random.Generator | None = None
    ) -> tuple[np.floating[Any], GPTCache]:
        """Mean cross-entropy of the next token, in nats.

        Parameters
        ----------
        batch
            ``inputs`` and ``targets``, both (B, T); a target of -100 is ignored.
        rng
            Draws the dropout masks; None = no dropout.
        """
        logits, cache = self(batch.inputs, rng)
        loss, cross_entropy = ops.cross_entropy_forward(logits, batch.targets)
        return loss, cache._replace(cross_entropy=cross_entropy)

    def backward(self, cache: GPTCache, dloss: float = 1.0) -> None:
        """Add the gradients of all parameters, times ``dloss``."""
        (dlogits,) = ops.cross_entropy_backward(dloss, cache.cross_entropy)
        self.backward_logits(dlogits, cache)
