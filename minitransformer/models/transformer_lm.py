"""A language model on the transformer encoder."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.data import Batch, EncoderBatch
from minitransformer.models.encoder import (
    EncoderCache,
    NormPlace,
    ScaledEmbedding,
    TransformerEncoder,
    check_norm,
)
from minitransformer.models.shape import check_shape
from minitransformer.nn import (
    KeyValues,
    LayerKeyValues,
    Linear,
    Module,
    backward_through,
    flatten_parameters,
    last_position,
)


@dataclass(frozen=True)
class TransformerLMConfig:
    """The shape of a transformer language model.

    Raises
    ------
    InputError
        If a size is not positive, heads do not divide width, dropout is outside [0, 1), or norm
        is unknown.
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
    """Features C of each position; even, as sines and cosines come in pairs."""
    dropout: float = 0.0
    """Probability of dropping, while training."""
    hidden: int = 512
    """Features F between the two layers of the feed-forward part."""
    norm: NormPlace = "post"
    """Norms behind the parts of a block, as in 2017, or before them."""

    def __post_init__(self) -> None:
        check_shape(
            vocab_size=self.vocab_size,
            context=self.context,
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            dropout=self.dropout,
            hidden=self.hidden,
        )
        check_norm(self.norm, self.width)


class TransformerLMCache(NamedTuple):
    """What the language model's backward needs."""

    token_embedding: Any
    encoder: EncoderCache
    decoder: Any = None
    cross_entropy: Any = None


class TransformerLM(Module):
    """An encoder that sees the past alone, and a linear layer that names the next token.

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
    Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762; Al-Rfou et al. (2018),
    Character-Level Language Modeling with Deeper Self-Attention, arXiv:1808.04444.
    """

    def __init__(
        self, config: TransformerLMConfig, seed: int = 0, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = c = config
        rng = np.random.default_rng(seed)
        self.token_embedding = ScaledEmbedding(c.vocab_size, c.width, rng, dtype)
        self.encoder = TransformerEncoder(
            c.context,
            c.layers,
            c.heads,
            c.width,
            c.hidden,
            rng,
            dropout=c.dropout,
            norm=c.norm,
            dtype=dtype,
        )
        self.decoder = Linear(c.width, c.vocab_size, rng, std=c.width**-0.5, dtype=dtype)
        flatten_parameters(self.parameters())

    def new_kv(self, batch: int, padding: np.ndarray | None = None) -> KeyValues:
        """Empty memory for generating ``batch`` sequences of at most ``context`` tokens.

        ``padding`` (batch,) counts the tokens of each row that stand before its first.
        """
        c = self.config
        like = self.decoder.weight.data
        return KeyValues(
            [
                LayerKeyValues(batch, c.heads, c.context, c.width // c.heads, like, padding)
                for _ in range(c.layers)
            ]
        )

    def __call__(
        self,
        ids: np.ndarray,
        rng: np.random.Generator | None = None,
        kv: KeyValues | None = None,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, TransformerLMCache]:
        """Score every possible next token after every token.

        Parameters
        ----------
        ids : (B, T), integers in [0, vocab_size)
        rng
            Draws the dropout masks; None = no dropout.
        kv
            Memory of generation: ids continue the tokens that it holds, and are added to it.
        mask : broadcasts to (B, H, T, T), optional
            True = may attend; takes the place of the causal mask.

        Returns
        -------
        logits : (B, T, V)
        cache : TransformerLMCache

        Raises
        ------
        InputError
            If there is no token, or more than the context holds.
        IndexError
            If an id is outside the vocabulary.
        """
        causal = mask is None
        if kv is not None and mask is None:
            mask = kv.mask(np.shape(ids)[1])
        x, cache = self._read(ids, rng, kv, mask, causal)
        logits, decoder = self.decoder(x)
        return logits, cache._replace(decoder=decoder)

    def next_logits(self, ids: np.ndarray, kv: KeyValues | None = None) -> np.ndarray:
        """Score what may follow the last token, and nothing else: ``self(ids, kv=kv)[0][:, -1]``.

        Generation reads a prompt so; the scores of its other positions cost time.

        Returns
        -------
        (B, V)
        """
        mask = None if kv is None else kv.mask(np.shape(ids)[1])
        x, _ = self._read(ids, None, kv, mask, causal=True)
        logits, _ = self.decoder(last_position(x))
        return logits

    def _read(
        self,
        ids: np.ndarray,
        rng: np.random.Generator | None,
        kv: KeyValues | None,
        mask: np.ndarray | None,
        causal: bool,
    ) -> tuple[np.ndarray, TransformerLMCache]:
        if np.ndim(ids) != 2:
            raise ValueError(f"transformer: ids has shape {np.shape(ids)}, expected (B, T)")
        x, token_embedding = self.token_embedding(ids)
        x, encoder = self.encoder(x, mask, causal, rng, kv)
        return x, TransformerLMCache(token_embedding, encoder)

    def hidden(
        self, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, TransformerLMCache]:
        """What the model thinks of each token, (B, T, C), for a head to build on."""
        mask = ops.padding_mask(batch.lengths, batch.inputs.shape[1])
        return self._read(batch.inputs, rng, None, mask, causal=True)

    def backward_hidden(self, dx: np.ndarray, cache: TransformerLMCache) -> None:
        """Add the gradients of all parameters but the decoder's, given that of ``hidden``."""
        parts = [self.token_embedding, *self.encoder.parts]
        backward_through(parts, [cache.token_embedding, *cache.encoder.parts], dx)

    def loss(
        self, batch: Batch, rng: np.random.Generator | None = None
    ) -> tuple[np.floating[Any], TransformerLMCache]:
        """Mean cross-entropy of the next token, in nats.

        Parameters
        ----------
        batch
            ``inputs`` and ``targets``, both (B, T); a target of -100 is ignored. Its ``mask`` takes
            the place of the causal mask.
        rng
            Draws the dropout masks; None = no dropout.
        """
        logits, cache = self(batch.inputs, rng, mask=batch.mask)
        loss, cross_entropy = ops.cross_entropy_forward(logits, batch.targets)
        return loss, cache._replace(cross_entropy=cross_entropy)

    def backward(self, cache: TransformerLMCache, dloss: float = 1.0) -> None:
        """Add the gradients of all parameters, times ``dloss``."""
        (dlogits,) = ops.cross_entropy_backward(dloss, cache.cross_entropy)
        self.backward_hidden(self.decoder.backward(dlogits, cache.decoder), cache)
