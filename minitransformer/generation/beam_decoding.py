"""Beam search with a model: the beams of a prompt are the rows of a batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from minitransformer import placement
from minitransformer.generation.continuation import Continuation
from minitransformer.generation.reading import Reader
from minitransformer.generation.sampling import Sampling
from minitransformer.generation.stopping import ends_with, without_stop


@dataclass(frozen=True)
class Beams:
    """How wide beam search looks, and when it has seen enough.

    Parameters
    ----------
    num_beams
        Unfinished hypotheses that are kept at each length, and finished ones that are kept at all.
    length_penalty
        Exponent a in the score of a hypothesis, ``sum of log-probabilities / length ** a``.
    early_stopping
        When to stop, given that ``num_beams`` hypotheses are finished. True: at once. False: when
        the best beam, were it to end here, would score worse than all of them, which is right for
        ``length_penalty = 0`` and a guess otherwise. ``"never"``: when no beam can do better any
        more at any length.
    """

    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    def __post_init__(self) -> None:
        if self.num_beams < 1:
            raise ValueError(f"num_beams is {self.num_beams}, expected 1 or more")
        if not np.isfinite(self.length_penalty):
            raise ValueError(f"length_penalty is {self.length_penalty}, expected a finite number")
        if self.early_stopping not in (True, False, "never"):
            raise ValueError(
                f'early_stopping is {self.early_stopping!r}, expected True, False or "never"'
            )

    def score(self, total: float, length: int) -> float:
        """Score of a hypothesis of ``length`` tokens, the end token included."""
        return total / math.pow(length, self.length_penalty)

    def is_done(
        self, finished: Sequence["_Hypothesis"], best: float, length: int, limit: int
    ) -> bool:
        """Whether a beam is not expected to come in among the finished ones any more.

        Parameters
        ----------
        finished
            Hypotheses that have ended, the best first.
        best
            Sum of log-probabilities of the best beam.
        length, limit
            Number of tokens that beams have, and may have.
        """
        if len(finished) < self.num_beams:
            return False
        if self.early_stopping is True:
            return True
        if self.early_stopping == "never" and self.length_penalty > 0:
            length = limit
        return self.score(best, length) <= finished[-1].score


class _Hypothesis(NamedTuple):
    """A text that has come to its end."""

    score: float
    tokens: list[int]  # with the end token


class _Candidate(NamedTuple):
    total: float  # sum of log-probabilities
    row: int  # the beam that it continues
    token: int


def beam_decode(
    reader: Reader,
    sampling: Sampling,
    beams: Beams,
    limit: int,
    stops: Sequence[list[int]],
    rng: np.random.Generator,
) -> list[Continuation]:
    """Search for the best texts of at most ``limit`` tokens that follow one prompt.

    Parameters
    ----------
    reader
        Has one row, the prompt.
    sampling, beams
        How candidates are weighed or drawn, and how many.
    limit
        Greatest number of tokens, 1 or more; where it is reached, unfinished beams compete too.
    stops
        Tokens that end a text.
    rng
        Draws the candidates, if they are drawn.

    Returns
    -------
    list of Continuation
        At most ``num_beams``, the best first.

    Raises
    ------
    ValueError
        If every token is forbidden.
    """
    width, prompt = beams.num_beams, len(reader.rows[0])
    # a beam may bring a candidate for each end token, and is to bring one that goes on
    per_beam = max(2, 1 + sum(len(stop) == 1 for stop in stops))
    finished, totals = list[_Hypothesis](), np.zeros(1)
    for length in range(1, limit + 1):
        sums = totals[:, None] + _scores(reader, sampling, per_beam)
        candidates = _candidates(sums, per_beam * width, rng if sampling.do_sample else None)
        texts = [[*reader.rows[row][prompt:], token] for _, row, token in candidates]
        ended = [length == limit or any(ends_with(text, stop) for stop in stops) for text in texts]
        new = [
            _Hypothesis(beams.score(candidate.total, length), text)
            for candidate, text, is_end in zip(candidates, texts, ended, strict=True)
            if is_end and candidate in candidates[:width]
        ]
        finished = sorted(finished + new, key=_worst_last)[:width]
        going_on = [c for c, is_end in zip(candidates, ended, strict=True) if not is_end]
        going_on = sorted(going_on, key=_worst_last)[:width]
        if not going_on or beams.is_done(finished, going_on[0].total, length, limit):
            break
        totals = np.array([c.total for c in going_on])
        reader.advance([c.row for c in going_on], [c.token for c in going_on])
    if not finished:
        raise ValueError("generate: every token is forbidden, expected at least one possible")
    return [
        Continuation(
            *without_stop(text, stops), slid=reader.has_slid(prompt + len(text)), score=score
        )
        for score, text in finished
    ]


def _worst_last(hypothesis: _Hypothesis | _Candidate) -> float:
    return -hypothesis[0]


def _scores(reader: Reader, sampling: Sampling, keep: int) -> np.ndarray:
    """Log-probabilities (beams, V) of the next token."""
    rows = zip(placement.to_host(reader.logits()), reader.rows, strict=True)
    return np.stack([sampling.beam_scores(logits, ids, keep) for logits, ids in rows])


def _candidates(sums: np.ndarray, count: int, rng: np.random.Generator | None) -> list[_Candidate]:
    """Possible continuations of all beams by one token: the best, or some drawn by probability.

    Those that are drawn come in the order of being drawn. Adding noise of Gumbel's distribution and
    taking the largest is to draw without replacement (Kool et al., 2019, arXiv:1903.06059).
    """
    keys = -(sums if rng is None else sums + rng.gumbel(size=sums.shape)).ravel()
    count = min(count, keys.size)
    among_first = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1])
    best = among_first[np.argsort(keys[among_first], kind="stable")][:count]
    rows, tokens = np.unravel_index(best, sums.shape)
    return [
        _Candidate(float(sums[row, token]), int(row), int(token))
        for row, token in zip(rows, tokens, strict=True)
        if sums[row, token] > -np.inf
    ]
