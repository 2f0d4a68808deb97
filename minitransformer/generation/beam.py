"""Beam search: keep the few most likely beginnings instead of one."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class BeamSearchResult(NamedTuple):
    """The best hypothesis of a beam search."""

    tokens: list[int]  # new tokens, with the end token if it was reached
    score: float


class _Beam(NamedTuple):
    tokens: list[int]  # new tokens
    log_probability: float

    def score(self, length_penalty: float) -> float:
        return self.log_probability / math.pow(len(self.tokens), length_penalty)


def beam_search(
    step: Callable[[list[int]], np.ndarray],
    start: int | Sequence[int],
    end: int | None,
    width: int,
    max_length: int,
    length_penalty: float = 1.0,
) -> BeamSearchResult:
    """Search for the most likely continuation, with ``width`` beginnings in view.

    Parameters
    ----------
    step
        Takes all tokens so far, ``start`` included, and returns the log-probabilities (V,) of the
        next one; -inf forbids a token.
    start
        First token, or tokens, of every hypothesis.
    end
        Token that finishes a hypothesis; None: there is none.
    width
        Number of unfinished hypotheses that are kept at each length.
    max_length
        Greatest number of new tokens, the end token included and ``start`` not.
    length_penalty
        Exponent of the length in the score: 0 compares sums of log-probabilities and prefers short
        hypotheses, 1 compares means, and more prefers long ones.

    Returns
    -------
    tokens : list of int
        New tokens of the best hypothesis: without ``start``, with the end token if it got there.
    score : float
        Its ``sum of log-probabilities / len(tokens)^length_penalty``.

    Raises
    ------
    ValueError
        If an argument is out of range, or ``step`` returns something else than log-probabilities,
        or forbids every token.

    Notes
    -----
    At each length the ``2 width`` best continuations of all beams are candidates. Those that end
    are finished if they are among the first ``width``; the first ``width`` that do not end are the
    next beams: twice the width, since every beam may bring one candidate that ends. At
    ``max_length`` unfinished beams compete with the finished ones. The search stops before, when no
    beam can reach a better score any more: log-probabilities are never positive, so the sum can
    only fall.

    With a width of at least V^max_length nothing is ever dropped, and the search is exhaustive.

    References
    ----------
    Graves (2012), Sequence Transduction with Recurrent Neural Networks, arXiv:1211.3711.
    Wu et al. (2016), Google's Neural Machine Translation System, section 7, arXiv:1609.08144.
    """
    for name, value in (("width", width), ("max_length", max_length)):
        if value < 1:
            raise ValueError(f"beam_search: {name} is {value}, expected 1 or more")
    prefix = [start] if isinstance(start, int | np.integer) else list(start)
    beams, finished = [_Beam([], 0.0)], list[_Beam]()
    for length in range(1, max_length + 1):
        if not _may_win(beams, finished, length, max_length, length_penalty):
            break
        candidates = _extend(beams, step, prefix, count=2 * width)
        finished += [beam for beam in candidates[:width] if beam.tokens[-1] == end]
        beams = [beam for beam in candidates if beam.tokens[-1] != end][:width]
    else:
        finished += beams
    if not finished:
        raise ValueError("beam_search: step forbids every token, expected at least one possible")
    best = max(finished, key=lambda beam: beam.score(length_penalty))
    return BeamSearchResult(best.tokens, best.score(length_penalty))


def _extend(
    beams: Sequence[_Beam],
    step: Callable[[list[int]], np.ndarray],
    prefix: Sequence[int],
    count: int,
) -> list[_Beam]:
    """Best possible continuations of all beams by one token, best first."""
    sums = np.stack(
        [beam.log_probability + _checked(step([*prefix, *beam.tokens])) for beam in beams]
    )
    best = np.argsort(-sums, axis=None, kind="stable")[:count]
    return [
        _Beam([*beams[row].tokens, int(token)], float(sums[row, token]))
        for row, token in zip(*np.unravel_index(best, sums.shape), strict=True)
        if sums[row, token] > -np.inf
    ]


def _checked(log_probabilities: np.ndarray) -> np.ndarray:
    """Refuse scores that are no log-probabilities: with them the search would stop too early."""
    values = np.asarray(log_probabilities, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"beam_search: step returned shape {values.shape}, expected (V,)")
    if not values.max() <= 1e-5:
        raise ValueError(
            f"beam_search: step returned {values.max()}, expected log-probabilities, all <= 0; "
            "apply log-softmax to logits"
        )
    return values


def _may_win(
    beams: Sequence[_Beam],
    finished: Sequence[_Beam],
    length: int,
    max_length: int,
    length_penalty: float,
) -> bool:
    """Whether a beam, continued to ``length`` or more tokens, can beat all finished hypotheses."""
    if not beams or not finished:
        return bool(beams)
    best_length = max_length if length_penalty > 0 else length
    bound = beams[0].log_probability / math.pow(best_length, length_penalty)
    return bound > max(beam.score(length_penalty) for beam in finished)
