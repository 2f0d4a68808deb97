"""Llama: a decoder with rotary positions, RMS norms, grouped queries and gated feed-forwards."""

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.data import Batch, EncoderBatch
from minitransformer.models.llama_config import LlamaConfig
from minitransformer.nn import (
    Dropout,
    Embedding,
    KeyValues,
    LayerKeyValues,
    Linear,
    Module,
    MultiHeadAttention,
    PreNormBlock,
    RMSNorm,
    RotaryPositions,
    SwigluFeedForward,
    backward_through,
    flatten_parameters,
    last_position,
)
from minitransformer.nn.blocks import BlockCache
from minitransformer.nn.stack import run_blocks


class LlamaCache(NamedTuple):
    """What Llama's backward needs, and all there is to look at: ``blocks[3].attention.probs``."""

    token_embedding: Any
    dropout: Any
    blocks: tuple[BlockCache, ...]
    norm: Any
    logits: Any = None
    cross_entropy: Any = None


class Llama(Module):
    """The Llama family: positions turn queries and keys, nothing has a bias.

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
    Touvron et al. (2023), LLaMA: Open and Efficient Foundation Language Models, arXiv:2302.13971;
    Llama 2, arXiv:2307.09288, for grouped queries.
    """

    config_type: ClassVar = LlamaConfig

    def __init__(self, config: LlamaConfig, seed: int = 0, dtype: DTypeLike = np.float32) -> None:
        self.config = c = config
        rng = np.random.default_rng(seed)
        # 2 * layers parts add to the residual path: together they shall vary as one would
        projection_std = 0.02 / math.sqrt(2 * c.layers)
        rotary = RotaryPositions(
            c.context, c.width // c.heads, c.rotary_base, c.interleaved, dtype=dtype
        )
        self.token_embedding = Embedding(c.vocab_size, c.width, rng, dtype=dtype)
        self.dropout = Dropout(c.dropout)
        self.blocks = [
            PreNormBlock(
                RMSNorm(c.width, c.norm_eps, dtype),
                MultiHeadAttention(
                    c.width,
                    c.heads,
                    rng,
                    kv_heads=c.key_heads,
                    dropout=c.dropout,
                    rotary=rotary,
                    bias=False,
                    projection_std=projection_std,
                    dtype=dtype,
                ),
                RMSNorm(c.width, c.norm_eps, dtype),
                SwigluFeedForward(
                    c.width, c.features, rng, projection_std=projection_std, dtype=dtype
                ),
                c.dropout,
            )
            for _ in range(c.layers)
        ]
        self.norm = RMSNorm(c.width, c.norm_eps, dtype)
        self.head = None if c.tied else Linear(c.width, c.vocab_size, rng, bias=False, dtype=dtype)
        flatten_parameters(self.parameters())

    def new_kv(self, batch: int, padding: np.ndarray | None = None) -> KeyValues:
        """Empty memory for generating ``batch`` sequences of at most ``context`` tokens.

        Parameters
        ----------
        batch
            Number of rows B.
        padding : (B,) integers, optional
            How many of the first tokens of each row stand for nothing.
        """
        c = self.config
        size = (batch, c.key_heads, c.context, c.width // c.heads)
        like = self.token_embedding.weight.data
        return KeyValues([LayerKeyValues(*size, like, padding) for _ in self.blocks])

    def __call__(
        self,
        ids: np.ndarray,
        rng: np.random.Generator | None = None,
        kv: KeyValues | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, LlamaCache]:
        """Score every possible next token after every token.

        Parameters
        ----------
        ids : (B, T), integers in [0, vocab_size)
        rng
            Draws the dropout masks; None = no dropout.
        kv
            Memory of generation: ids continue the tokens that it holds, and are added to it.
        mask : broadcasts to (B, H, T, T), optional
            True = may attend; without it, to the past alone.

        Returns
        -------
        logits : (B, T, V)
        cache : LlamaCache

        Raises
        ------
        ValueError
            If there are more tokens than the context holds.
        IndexError
            If an id is outside the vocabulary.
        """
        x, cache = self._hidden(ids, rng, kv, mask)
        logits, head = self._logits(x)
        return logits, cache._replace(logits=head)

    def next_logits(self, ids: np.ndarray, kv: KeyValues | None = None) -> np.ndarray:
        """Score what may follow the last token, and nothing else: ``self(ids, kv=kv)[0][:, -1]``.

        Generation reads a prompt so; the scores of its other positions cost time.

        Returns
        -------
        (B, V)
        """
        x, _ = self._hidden(ids, None, kv, None)
        logits, _ = self._logits(last_position(x))
        return logits

    def _logits(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return self.token_embedding.logits(x) if self.head is None else self.head(x)

    def hidden(
        self, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, LlamaCache]:
        """What the model knows of every token (B, T, C), for a head to read.

        Padding stands behind the text, where no token of a causal model looks.
        """
        both_sides = not self.config.causal
        mask = ops.padding_mask(batch.lengths, batch.inputs.shape[1]) if both_sides else None
        return self._hidden(batch.inputs, rng, None, mask)

    def _hidden(
        self,
        ids: np.ndarray,
        rng: np.random.Generator | None,
        kv: KeyValues | None,
        mask: np.ndarray | None,
    ) -> tuple[np.ndarray, LlamaCache]:
        start = 0 if kv is None else kv.length
        if np.ndim(ids) != 2 or start + np.shape(ids)[1] > self.config.context:
            raise ValueError(
                f"llama: ids has shape {np.shape(ids)} after {start} tokens, expected (B, T) with "
                f"{start} + T <= context ({self.config.context})"
            )
        causal = mask is None
        if kv is not None:
            mask = kv.mask(np.shape(ids)[1])
        x, token_embedding = self.token_embedding(ids)
        x, dropout = self.dropout(x, rng)
        x, blocks = run_blocks(self.blocks, x, mask, causal, rng, kv)
        x, norm = self.norm(x)
        return x, LlamaCache(token_embedding, dropout, blocks, norm)

    def backward_logits(self, dlogits: np.ndarray, cache: LlamaCache) -> None:
        """Add the gradients of all parameters, given that of the logits (B, T, V)."""
        if self.head is None:
            dx = self.token_embedding.backward_logits(dlogits, cache.logits)
        else:
            dx = self.head.backward(dlogits, cache.logits)
        self.backward_hidden(dx, cache)

    def backward_hidden(self, dx: np.ndarray, cache: LlamaCache) -> None:
        """Add the gradients of all parameters but the head's, given that of ``hidden``."""
        parts = [self.token_embedding, self.dropout, *self.blocks, self.norm]
        caches = [cache.token_embedding, cache.dropout, *cache.blocks, cache.norm]
        backward_through(parts, caches, dx)

    def loss(
        self, batch: Batch, rng: np.random.Generator | None = None
    ) -> tuple[np.floating[Any], LlamaCache]:
        """Mean cross-entropy of the next token, in nats.

        Parameters
        ----------
        batch
            ``inputs`` and ``targets``, both (B, T); a target of -100 is ignored.
        rng
            Draws the dropout masks; None = no dropout.
        """
        logits, cache = self(batch.inputs, rng, mask=batch.mask)
        loss, cross_entropy = ops.cross_entropy_forward(logits, batch.targets)
        return loss, cache._replace(cross_entropy=cross_entropy)

    def backward(self, cache: LlamaCache, dloss: float = 1.0) -> None:
        """Add the gradients of all parameters, times ``dloss``."""
        (dlogits,) = ops.cross_entropy_backward(dloss, cache.cross_entropy)
        self.backward_logits(dlogits, cache)
