"""A decoder that was given its sources: a language model over the target."""

from typing import Any, NamedTuple

import numpy as np

from minitransformer.models.decoder import DecoderCache, MemoryKeyValues, TransformerDecoder
from minitransformer.nn import Embedding, LayerKeyValues, last_position


class TargetConfig(NamedTuple):
    """What generation asks of a language model's shape."""

    vocab_size: int
    context: int
    start_id: int
    end_id: int


class ConditionedDecoderCache(NamedTuple):
    """What was computed, to look at: ``decoder.blocks[1].cross_attention.probs``."""

    target_embedding: Any
    decoder: DecoderCache
    logits: Any = None


class ConditionedDecoder:
    """The decoder of an encoder-decoder, with keys and values of its sources computed once.

    Parameters
    ----------
    config
        Shape of the language model.
    embedding, decoder
        The parts of the encoder-decoder that write the target.
    memory : (B, S, C)
        What the encoder made of the sources.
    memory_mask : (B, 1, 1, S)
        True = a token of the source.
    """

    def __init__(
        self,
        config: TargetConfig,
        embedding: Embedding,
        decoder: TransformerDecoder,
        memory: np.ndarray,
        memory_mask: np.ndarray,
    ) -> None:
        self.config = config
        self._embedding = embedding
        self._decoder = decoder
        self._memory = [block.cross_attention.remember(memory) for block in decoder.blocks]
        self._memory_mask = memory_mask

    def new_kv(self, batch: int) -> MemoryKeyValues:
        """Memory that holds the sources and no token yet.

        Raises
        ------
        ValueError
            If ``batch`` is not the number of sources.
        """
        sources = len(self._memory_mask)
        if batch != sources:
            raise ValueError(
                f"new_kv: batch is {batch}, expected {sources}, one row for each source; "
                "repeat rows with select"
            )
        _, heads, _, head_width = self._memory[0].keys.shape
        like = self._memory[0].keys
        return MemoryKeyValues(
            [
                LayerKeyValues(batch, heads, self.config.context, head_width, like)
                for _ in self._memory
            ],
            self._memory,
            self._memory_mask,
        )

    def __call__(
        self,
        ids: np.ndarray,
        rng: np.random.Generator | None = None,
        kv: MemoryKeyValues | None = None,
    ) -> tuple[np.ndarray, ConditionedDecoderCache]:
        """Score every possible next token after every token of the target.

        Parameters
        ----------
        ids : (B, T), integers in [0, V)
            The first one of all is the start token.
        rng
            Draws the dropout masks; None = no dropout.
        kv
            Memory of generation: ids continue the tokens that it holds, and are added to it.

        Returns
        -------
        logits : (B, T, V)
        cache : ConditionedDecoderCache

        Raises
        ------
        InputError
            If there is no token, or more than the target's context holds.
        IndexError
            If an id is outside the vocabulary.
        """
        x, cache = self._hidden(ids, rng, kv)
        logits, head = self._embedding.logits(x)
        return logits, cache._replace(logits=head)

    def next_logits(self, ids: np.ndarray, kv: MemoryKeyValues | None = None) -> np.ndarray:
        """Score what may follow the last token, and nothing else: ``self(ids, kv=kv)[0][:, -1]``.

        Generation reads a prompt so; the scores of its other positions cost time.

        Returns
        -------
        (B, V)
        """
        x, _ = self._hidden(ids, None, kv)
        logits, _ = self._embedding.logits(last_position(x))
        return logits

    def _hidden(
        self, ids: np.ndarray, rng: np.random.Generator | None, kv: MemoryKeyValues | None
    ) -> tuple[np.ndarray, ConditionedDecoderCache]:
        if np.ndim(ids) != 2:
            raise ValueError(f"decoder: ids has shape {np.shape(ids)}, expected (B, T)")
        kv = self.new_kv(len(ids)) if kv is None else kv
        x, target_embedding = self._embedding(ids)
        x, decoder = self._decoder(x, None, kv.memory_mask, rng, kv)
        return x, ConditionedDecoderCache(target_embedding, decoder)
