"""The choice of one token: greedy, or at random."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minitransformer import placement
from minitransformer.backend import op
from minitransformer.generation import processors


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen from its logits.

    The logits pass the repetition penalty and the ban of n-grams, then, if tokens are drawn at
    random, temperature, top-k, top-p and min-p, in this order. Beam search does the same to
    log-probabilities, and does not make them add up to 1 again.

    Parameters
    ----------
    do_sample
        Draw from the distribution; otherwise take the most likely token (greedy decoding).
    temperature
        Below 1 is more careful, above 1 more daring.
    top_k
        Draw from the k most likely tokens only; 0 is off.
    top_p
        Draw from the likely tokens that together have this mass; 1 is off.
    min_p
        Draw from tokens that are at least this many times as likely as the best; 0 is off.
    repetition_penalty
        More than 1 discourages tokens that were seen before; 1 is off.
    no_repeat_ngram_size
        No run of so many tokens occurs twice; 0 is off.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0

    def __post_init__(self) -> None:
        self.narrowed(self.processed(np.zeros(1), ids=[]))  # each processor rejects its argument

    def processed(self, logits: np.ndarray, ids: Sequence[int]) -> np.ndarray:
        """Logits (V,) of the token that follows the tokens ``ids``, as greedy decoding ranks it."""
        logits = processors.repetition_penalty(logits, ids, self.repetition_penalty)
        return processors.no_repeat_ngram(logits, ids, self.no_repeat_ngram_size)

    def narrowed(self, logits: np.ndarray) -> np.ndarray:
        """Logits (V,) of the distribution to draw from, given processed ones."""
        logits = processors.apply_temperature(logits, self.temperature)
        logits = processors.top_k(logits, self.top_k)
        logits = processors.top_p(logits, self.top_p)
        return processors.min_p(logits, self.min_p)

    def choose(self, logits: np.ndarray, ids: Sequence[int], rng: np.random.Generator) -> int:
        """Choose the token that follows the tokens ``ids``."""
        logits = self.processed(logits, ids)
        _check_some_token("generate", logits)
        return sample(self.narrowed(logits), rng) if self.do_sample else greedy(logits)

    def beam_scores(self, logits: np.ndarray, ids: Sequence[int], keep: int) -> np.ndarray:
        """Log-probabilities (V,) of the next token, processed as logits are, for beam search.

        Parameters
        ----------
        logits : (V,)
        ids
            Tokens of the beam so far, the prompt's included.
        keep
            So many tokens stay possible at least when beams are drawn at random: a beam that could
            only end would leave nothing to go on with.
        """
        _check_some_token("generate", logits)
        scores = self.processed(processors.log_probabilities(logits), ids)
        if not self.do_sample or np.isneginf(scores.max()):
            return scores
        narrowed = self.narrowed(scores)
        best = processors.top_k(scores / self.temperature, keep)
        return np.where(np.isneginf(narrowed), best, narrowed)


@op(composed=True)
def choose_tokens(
    logits: np.ndarray,
    rows: Sequence[int],
    sampling: Sampling,
    texts: Sequence[Sequence[int]],
    rngs: Sequence[np.random.Generator],
) -> list[int]:
    """Choose a token for each of several texts.

    Parameters
    ----------
    logits : (R, V)
        Wherever the model lives. Where they are on a device, a backend may choose there, so that
        only the tokens come home.
    rows
        The row of logits for each text.
    sampling
        How.
    texts, rngs
        The tokens of each text so far, and its random numbers, of which it takes one if tokens are
        drawn.

    Raises
    ------
    ValueError
        If logits hold NaN or +inf, or every token is forbidden.
    """
    logits = placement.to_host(logits)
    return [
        sampling.choose(logits[row], ids, rng)
        for row, ids, rng in zip(rows, texts, rngs, strict=True)
    ]


def greedy(logits: np.ndarray) -> int:
    """Return the most likely token of logits (V,), the first of several.

    Raises
    ------
    ValueError
        If the logits hold NaN or +inf, or forbid every token.
    """
    _check_some_token("greedy", logits)
    return int(logits.argmax())


def sample(logits: np.ndarray, rng: np.random.Generator) -> int:
    """Draw a token from softmax(logits), logits (V,), with one uniform random number.

    Raises
    ------
    ValueError
        If the logits hold NaN or +inf, or forbid every token.

    Notes
    -----
    Inverse transform: lay the probabilities end to end on [0, 1); the token is the one whose piece
    the random number falls on. A piece of length 0 is never hit.
    """
    _check_some_token("sample", logits)
    ends = np.cumsum(processors.probabilities(logits))
    return int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))


def _check_some_token(name: str, logits: np.ndarray) -> None:
    if logits.ndim != 1:
        raise ValueError(f"{name}: logits has shape {logits.shape}, expected (V,)")
    require_finite_top(name, float(logits.max()))  # NaN propagates through max


def require_finite_top(name: str, top: float) -> None:
    """The largest logit is a number."""
    if not np.isfinite(top):
        raise ValueError(
            f"{name}: the largest logit is {top}, expected a finite one; the model's "
            "weights are damaged, or all tokens are forbidden"
        )
