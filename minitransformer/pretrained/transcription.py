"""Transcripts: a Whisper hears sound of any length, half a minute at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minitransformer import placement
from minitransformer.audio import SAMPLE_RATE, log_mel
from minitransformer.errors import InputError
from minitransformer.generation import stream
from minitransformer.generation.processors import probabilities
from minitransformer.models import ConditionedDecoder, Whisper
from minitransformer.tokenizers import Tokenizer
from minitransformer.tokenizers.pretrained import PretrainedTokenizer

WINDOW = 30 * SAMPLE_RATE
"""Samples that the model hears at once."""
EARLIEST_CUT = 20 * SAMPLE_RATE
PAUSE = SAMPLE_RATE // 4
"""Samples over which loudness is measured: shorter than a pause, longer than a consonant."""
MULTILINGUAL = 51_865  # models with at least so many tokens know other languages than English
NO_SPEECH = 0.6  # windows that are so likely to have none are left out


def transcribe(
    model: Whisper, tokenizer: Tokenizer, samples: np.ndarray, *, language: str = "en"
) -> Iterator[str]:
    """Write down what was said, token by token.

    Parameters
    ----------
    model, tokenizer
        Of a public checkpoint of Whisper.
    samples : (N,) float32, from -1 to 1
        16,000 in a second.
    language
        Code of the language that is spoken; models whose name ends in ``.en`` know English alone.

    Yields
    ------
    str
        Pieces of the transcript, each as soon as it is written.

    Raises
    ------
    InputError
        If the tokenizer is not that of a Whisper, or does not know the language.

    Notes
    -----
    The model hears half a minute at once. Of longer sound, each window ends at the quietest moment
    of its last ten seconds, so that hardly any word is cut in two. Tokens are chosen greedily;
    timestamps, and tokens that stand for no speech, are never chosen.

    References
    ----------
    Radford et al. (2022), Robust Speech Recognition via Large-Scale Weak Supervision, section 4.5,
    arXiv:2212.04356.
    """
    prompt = _prompt(model, tokenizer, language)
    never = _never(model, tokenizer)
    return _transcribe(model, tokenizer, samples, prompt, never)


def _transcribe(
    model: Whisper, tokenizer: Any, samples: np.ndarray, prompt: list[int], never: np.ndarray
) -> Iterator[str]:
    c = model.config
    begun = False
    for window in windows(samples):
        sound = np.pad(window, (0, WINDOW - len(window)))
        listener = model.given(log_mel(sound, c.mel_bins)[None])
        if _is_silent(listener, tokenizer.special_tokens):
            continue
        writer = _Writer(listener, never, np.array(c.suppressed_first, np.int64), len(prompt))
        ids = stream(writer, prompt, max_new_tokens=c.target_context // 2)
        for piece in tokenizer.decode_stream(ids):
            text = piece if begun else piece.lstrip()
            begun = begun or bool(text)
            yield text


def windows(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Cut sound into pieces of at most 30 s, each at the quietest moment of its last 10 s."""
    start = 0
    while len(samples) - start > WINDOW:
        energy = np.cumsum(samples[start + EARLIEST_CUT : start + WINDOW].astype(np.float64) ** 2)
        loudness = energy[PAUSE:] - energy[:-PAUSE]
        quietest = len(loudness) - 1 - int(np.argmin(loudness[::-1]))  # the last of several
        end = start + EARLIEST_CUT + quietest + PAUSE // 2
        yield samples[start:end]
        start = end
    if start < len(samples):
        yield samples[start:]


class _Writer:
    """The decoder, kept from writing certain tokens."""

    def __init__(
        self, decoder: ConditionedDecoder, never: np.ndarray, not_first: np.ndarray, prompt: int
    ) -> None:
        self.config = decoder.config
        self.new_kv = decoder.new_kv
        self._decoder = decoder
        self._never = never
        self._not_first = not_first
        self._prompt = prompt

    def __call__(self, ids: np.ndarray, kv: Any = None) -> tuple[np.ndarray, Any]:
        logits, cache = self._decoder(ids, kv=kv)
        logits = placement.to_host(logits)
        logits[..., self._never] = -np.inf
        if kv.length == self._prompt:
            logits[..., self._not_first] = -np.inf
        return logits, cache


def _is_silent(decoder: ConditionedDecoder, special_tokens: dict[str, int]) -> bool:
    """Whether the model expects no speech: the first token says so, before all others."""
    logits, _ = decoder(np.array([[decoder.config.start_id]]))
    probs = probabilities(placement.to_host(logits)[0, 0])
    tokens = [special_tokens.get(name) for name in ("<|nocaptions|>", "<|nospeech|>")]
    return any(token is not None and probs[token] > NO_SPEECH for token in tokens)


def _prompt(model: Whisper, tokenizer: Tokenizer, language: str) -> list[int]:
    """Tokens that say what is wanted: the language, its transcript, no timestamps."""
    names = ["<|notimestamps|>"]
    if model.config.vocab_size >= MULTILINGUAL:
        names = [f"<|{language}|>", "<|transcribe|>", *names]
    elif language != "en":
        raise InputError(f"language is {language!r}, but this model knows English alone")
    known = tokenizer.special_tokens if isinstance(tokenizer, PretrainedTokenizer) else {}
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(
            f"the tokenizer has no token {', '.join(missing)}; is it that of a Whisper, and the "
            "language one that it knows?"
        )
    return [model.config.start_id, *(known[name] for name in names)]


def _never(model: Whisper, tokenizer: Any) -> np.ndarray:
    """Ids of what is no text: special tokens but the last one, timestamps, and what they say."""
    c = model.config
    special = {*tokenizer.special_tokens.values(), *c.suppressed}
    timestamps = range(tokenizer.special_tokens["<|notimestamps|>"], c.vocab_size)
    return np.array(sorted((special | set(timestamps)) - {c.end_id}))
