"""The choice of one token: greedy, or at random."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minitransformer.generation import processors


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen from its logits.

    The logits pass the repetition penalty, then, if tokens are drawn at random, temperature, top-k
    and top-p, in this order.

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
    repetition_penalty
        More than 1 discourages tokens that were seen before; 1 is off.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        self.distribution(np.zeros(1), ids=[])  # each processor rejects its argument

    def distribution(self, logits: np.ndarray, ids: Sequence[int]) -> np.ndarray:
        """Logits (V,) of the distribution that a token is drawn from, after the tokens ``ids``."""
        logits = processors.repetition_penalty(logits, ids, self.repetition_penalty)
        logits = processors.apply_temperature(logits, self.temperature)
        logits = processors.top_k(logits, self.top_k)
        return processors.top_p(logits, self.top_p)

    def choose(self, logits: np.ndarray, ids: Sequence[int], rng: np.random.Generator) -> int:
        """Choose the token that follows the tokens ``ids``."""
        if self.do_sample:
            return sample(self.distribution(logits, ids), rng)
        return greedy(processors.repetition_penalty(logits, ids, self.repetition_penalty))


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
    if not np.isfinite(logits.max()):  # NaN propagates through max
        raise ValueError(
            f"{name}: the largest logit is {logits.max()}, expected a finite one; the model's "
            "weights are damaged, or all tokens are forbidden"
        )
