"""The transformer of 2017: an encoder reads the source, a decoder writes the target."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.data import PairBatch, pad
from minitransformer.errors import InputError
from minitransformer.models.conditioned import ConditionedDecoder, TargetConfig
from minitransformer.models.decoder import DecoderCache, TransformerDecoder
from minitransformer.models.encoder import (
    EncoderCache,
    ScaledEmbedding,
    TransformerEncoder,
)
from minitransformer.models.encoder_decoder_config import EncoderDecoderConfig
from minitransformer.nn import Module, backward_through, flatten_parameters


class EncodeCache(NamedTuple):
    """What the backward of reading the source needs."""

    embedding: Any
    encoder: EncoderCache


class EncoderDecoderCache(NamedTuple):
    """What the backward needs, and the alignment: ``decoder.blocks[1].cross_attention.probs``."""

    source: EncodeCache
    target_embedding: Any
    decoder: DecoderCache
    logits: Any
    cross_entropy: Any = None


class EncoderDecoder(Module):
    """From one sequence to another; the output layer is tied to the target's embedding.

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
    Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762.
    """

    def __init__(
        self, config: EncoderDecoderConfig, seed: int = 0, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = c = config
        rng = np.random.default_rng(seed)
        self.source_embedding = ScaledEmbedding(c.vocab_size, c.width, rng, dtype)
        self.target_embedding = (
            self.source_embedding
            if c.shared_embeddings
            else ScaledEmbedding(c.target_vocab_size, c.width, rng, dtype)
        )
        shape = (c.layers, c.heads, c.width, c.hidden, rng)
        options: dict[str, Any] = {"dropout": c.dropout, "norm": c.norm, "dtype": dtype}
        self.encoder = TransformerEncoder(c.context, *shape, **options)
        self.decoder = TransformerDecoder(c.target_context, *shape, **options)
        flatten_parameters(self.parameters())

    def encode(
        self, sources: np.ndarray, lengths: np.ndarray, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray, EncodeCache]:
        """Read the sources.

        Parameters
        ----------
        sources : (B, S), integers in [0, vocab_size)
        lengths : (B,)
            Tokens of each source; behind them is padding, which nothing attends to.
        rng
            Draws the dropout masks; None = no dropout.

        Returns
        -------
        memory : (B, S, C)
        memory_mask : (B, 1, 1, S)
            True = a token of the source.
        cache : EncodeCache

        Raises
        ------
        InputError
            If a source is empty or longer than the context.
        IndexError
            If an id is outside the vocabulary.
        """
        if np.ndim(sources) != 2 or np.shape(lengths) != np.shape(sources)[:1]:
            raise ValueError(
                f"encoder-decoder: sources has shape {np.shape(sources)} and source_lengths "
                f"{np.shape(lengths)}, expected (B, S) and (B,)"
            )
        empty = np.flatnonzero(np.asarray(lengths) < 1)
        if empty.size:
            raise InputError(f"source {empty[0]} is empty, expected at least one token")
        mask = ops.padding_mask(lengths, sources.shape[1])
        x, embedding = self.source_embedding(sources)
        memory, encoder = self.encoder(x, mask, rng=rng)
        return memory, mask, EncodeCache(embedding, encoder)

    def __call__(
        self, batch: PairBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, EncoderDecoderCache]:
        """Score every possible next token after every token of the target.

        Parameters
        ----------
        batch
            Sources, and the decoder's inputs: the right tokens, whatever the model would have
            said (teacher forcing).
        rng
            Draws the dropout masks; None = no dropout.

        Returns
        -------
        logits : (B, T, V)
        cache : EncoderDecoderCache

        Raises
        ------
        InputError
            If a source or target is empty or longer than its context.
        IndexError
            If an id is outside its vocabulary.
        """
        memory, mask, source = self.encode(batch.sources, batch.source_lengths, rng)
        x, target_embedding = self.target_embedding(batch.inputs)
        x, decoder = self.decoder(x, memory, mask, rng)
        logits, head = self.target_embedding.logits(x)
        return logits, EncoderDecoderCache(source, target_embedding, decoder, head)

    def backward_logits(self, dlogits: np.ndarray, cache: EncoderDecoderCache) -> None:
        """Add the gradients of all parameters, given that of the logits (B, T, V)."""
        dx = self.target_embedding.backward_logits(dlogits, cache.logits)
        dx, dmemory = self.decoder.backward(dx, cache.decoder)
        self.target_embedding.backward(dx, cache.target_embedding)
        parts = [self.source_embedding, *self.encoder.parts]
        backward_through(parts, [cache.source.embedding, *cache.source.encoder.parts], dmemory)

    def loss(
        self, batch: PairBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.floating[Any], EncoderDecoderCache]:
        """Mean cross-entropy of the next token of the target, in nats.

        Parameters
        ----------
        batch
            A target of -100 is ignored.
        rng
            Draws the dropout masks; None = outside training: no dropout, no label smoothing.
        """
        logits, cache = self(batch, rng)
        smoothing = 0.0 if rng is None else self.config.label_smoothing
        loss, cross_entropy = ops.cross_entropy_forward(
            logits, batch.targets, label_smoothing=smoothing
        )
        return loss, cache._replace(cross_entropy=cross_entropy)

    def backward(self, cache: EncoderDecoderCache, dloss: float = 1.0) -> None:
        """Add the gradients of all parameters, times ``dloss``."""
        (dlogits,) = ops.cross_entropy_backward(dloss, cache.cross_entropy)
        self.backward_logits(dlogits, cache)

    def given(self, sources: Sequence[Sequence[int]]) -> ConditionedDecoder:
        """The language model over target tokens that the decoder is, once it has its sources.

        Parameters
        ----------
        sources
            Token ids, one list for each row to be generated.

        Raises
        ------
        InputError
            If there is no source, or one is empty or longer than the context.
        IndexError
            If an id is outside the vocabulary.
        """
        ids = pad("source", sources)
        lengths = np.array([len(source) for source in sources])
        memory, mask, _ = self.encode(ids, lengths)
        c = self.config
        config = TargetConfig(c.target_vocab_size, c.target_context, c.start_id, c.end_id)
        return ConditionedDecoder(config, self.target_embedding, self.decoder, memory, mask)
