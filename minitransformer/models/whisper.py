"""Whisper: from sound to text, an encoder-decoder whose source is a spectrogram."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minitransformer import ops
from minitransformer.errors import InputError
from minitransformer.models.conditioned import ConditionedDecoder, TargetConfig
from minitransformer.models.decoder import DecoderCache
from minitransformer.models.whisper_config import WhisperConfig
from minitransformer.models.whisper_parts import AudioEncoder, AudioEncoderCache, TextDecoder
from minitransformer.nn import Embedding, Module, flatten_parameters


class SpeechBatch(NamedTuple):
    """What a Whisper learns from: sound, and its transcript, told one token later.

    Attributes
    ----------
    features : (B, F, M) of floats
        Loudness of M pitches in each of F frames, :func:`~minitransformer.audio.log_mel`.
    inputs : (B, T) int64
        What the decoder reads: special tokens, the transcript, padding.
    targets : (B, T) int64
        What it is asked for: the token that comes next, or -100.
    """

    features: NDArray[np.floating]
    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]


class WhisperCache(NamedTuple):
    """What the backward needs, and the alignment: ``decoder.blocks[1].cross_attention.probs``."""

    encoder: AudioEncoderCache
    token_embedding: Any
    decoder: DecoderCache
    logits: Any
    cross_entropy: Any = None


class Whisper(Module):
    """Hears half a minute of sound and writes what was said; the output is tied to the embedding.

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
    Radford et al. (2022), Robust Speech Recognition via Large-Scale Weak Supervision,
    arXiv:2212.04356.
    """

    def __init__(self, config: WhisperConfig, seed: int = 0, dtype: DTypeLike = np.float32) -> None:
        self.config = c = config
        rng = np.random.default_rng(seed)
        self.encoder = AudioEncoder(c, rng, dtype)
        self.token_embedding = Embedding(c.vocab_size, c.width, rng, dtype=dtype)
        self.decoder = TextDecoder(c, rng, dtype)
        flatten_parameters(self.parameters())

    def encode(
        self, features: np.ndarray, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, AudioEncoderCache]:
        """Listen.

        Parameters
        ----------
        features : (B, F, M)
            Frames of 10 ms; public checkpoints expect 30 s of them, silence included.
        rng
            Draws the dropout masks; None = no dropout.

        Returns
        -------
        memory : (B, ceil(F / 2), C)
        cache : AudioEncoderCache

        Raises
        ------
        ValueError
            If features do not have three axes, the last one of M pitches.
        InputError
            If there is no frame, or more than the context holds.
        """
        c = self.config
        if len(features.shape) != 3 or features.shape[2] != c.mel_bins:
            raise ValueError(
                f"whisper: features have shape {features.shape}, expected mel spectrograms "
                f"(B, F, {c.mel_bins})"
            )
        if not 1 <= features.shape[1] <= 2 * c.context:
            raise InputError(
                f"the sound has {features.shape[1]} frames, expected 1 to {2 * c.context}; cut it"
            )
        return self.encoder(features, rng)

    def __call__(
        self, batch: SpeechBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, WhisperCache]:
        """Score every possible next token after every token of the transcript.

        Parameters
        ----------
        batch
            Sound, and the decoder's inputs: the right tokens, whatever the model would have said.
        rng
            Draws the dropout masks; None = no dropout.

        Returns
        -------
        logits : (B, T, V)
        cache : WhisperCache

        Raises
        ------
        ValueError, InputError
            As for :meth:`encode`, or if there are more tokens than the target's context.
        IndexError
            If an id is outside the vocabulary.
        """
        memory, encoder = self.encode(batch.features, rng)
        x, token_embedding = self.token_embedding(batch.inputs)
        x, decoder = self.decoder(x, memory, None, rng)
        logits, head = self.token_embedding.logits(x)
        return logits, WhisperCache(encoder, token_embedding, decoder, head)

    def backward_logits(self, dlogits: np.ndarray, cache: WhisperCache) -> None:
        """Add the gradients of all parameters, given that of the logits (B, T, V)."""
        dx = self.token_embedding.backward_logits(dlogits, cache.logits)
        dx, dmemory = self.decoder.backward(dx, cache.decoder)
        self.token_embedding.backward(dx, cache.token_embedding)
        self.encoder.backward(dmemory, cache.encoder)

    def loss(
        self, batch: SpeechBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.floating[Any], WhisperCache]:
        """Mean cross-entropy of the next token, in nats; a target of -100 is ignored."""
        logits, cache = self(batch, rng)
        loss, cross_entropy = ops.cross_entropy_forward(logits, batch.targets)
        return loss, cache._replace(cross_entropy=cross_entropy)

    def backward(self, cache: WhisperCache, dloss: float = 1.0) -> None:
        """Add the gradients of all parameters, times ``dloss``."""
        (dlogits,) = ops.cross_entropy_backward(dloss, cache.cross_entropy)
        self.backward_logits(dlogits, cache)

    def given(self, features: np.ndarray) -> ConditionedDecoder:
        """The language model over transcripts that the decoder is, once it has heard something.

        Its prompts are the special tokens with which a transcript starts:
        ``generate(model.given(features), [[start, no_timestamps]], max_new_tokens=100)``.

        Parameters
        ----------
        features : (B, F, M)
            Frames of sound, one row for each transcript.

        Raises
        ------
        ValueError, InputError
            As for :meth:`encode`.
        """
        memory, _ = self.encode(np.asarray(features))
        batch, length = memory.shape[:2]
        everything = ops.padding_mask(np.full(batch, length), length)
        c = self.config
        config = TargetConfig(c.vocab_size, c.target_context, c.start_id, c.end_id)
        return ConditionedDecoder(config, self.token_embedding, self.decoder, memory, everything)
