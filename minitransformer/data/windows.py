"""Texts that are longer than a model's context: cut short, or read in windows that overlap.

What a model says of each window is then merged into what it says of the text.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minitransformer.errors import InputError


class Window(NamedTuple):
    """Part of a text: its tokens from ``start`` up to ``stop``, which is no longer in it."""

    start: int
    stop: int


class Span(NamedTuple):
    """An answer: the tokens from ``first`` to ``last``, and the sum of both their scores."""

    first: int
    last: int
    score: float


def truncate(ids: Sequence[int], size: int, keep: Literal["start", "end"] = "start") -> list[int]:
    """Keep what fits: the first tokens of a text, or the last.

    Parameters
    ----------
    ids : T tokens
    size
        Tokens that fit, 1 or more.
    keep
        Which end of the text stays.

    Raises
    ------
    InputError
        If size or keep is not one of these.
    """
    if size < 1 or keep not in ("start", "end"):
        raise InputError(
            f"truncate: size is {size} and keep {keep!r}, expected 1 or more and 'start' or 'end'"
        )
    return list(ids[:size]) if keep == "start" else list(ids[-size:])


def sliding_windows(length: int, size: int, overlap: int) -> list[Window]:
    """Windows that cover a text; each begins before its neighbour has ended.

    Parameters
    ----------
    length
        Tokens of the text T, 1 or more.
    size
        Tokens of a window, usually the model's context.
    overlap
        Tokens that neighbours share at least, 0 or more and below size.

    Returns
    -------
    list of Window
        Of equal length, the last one ending with the text; a text that fits is one window.

    Raises
    ------
    InputError
        If a number is out of range.
    """
    if length < 1 or not 0 <= overlap < size:
        raise InputError(
            f"sliding_windows: length is {length}, size {size} and overlap {overlap}; expected a "
            "length of 1 or more and 0 <= overlap < size"
        )
    if length <= size:
        return [Window(0, length)]
    starts = [*range(0, length - size, size - overlap), length - size]
    return [Window(start, start + size) for start in starts]


def merge_labels(
    scores: Sequence[NDArray[np.floating]] | NDArray[np.floating], windows: Sequence[Window]
) -> NDArray[np.floating]:
    """Scores of every token from the window in which it is most central.

    At the edge of a window a token lacks the context on one side, so its scores are taken where
    the side on which it sees less is longest; of two such windows, from the first.

    Parameters
    ----------
    scores : one (stop - start, L) for each window
    windows
        They cover the text.

    Returns
    -------
    (T, L)
        T is the end of the last window.

    Raises
    ------
    ValueError
        If scores and windows do not fit together, or a token is in no window.
    """
    lengths = [window.stop - window.start for window in windows]
    if not lengths or [len(one) for one in scores] != lengths:
        raise ValueError(
            f"merge_labels: scores are of {[len(one) for one in scores]} tokens, but the windows "
            f"have {lengths}; expected scores for every token of every window, of one or more"
        )
    seen = np.full(max(window.stop for window in windows), -1)
    merged = np.empty((len(seen), scores[0].shape[1]), scores[0].dtype)
    for (start, stop), one in zip(windows, scores, strict=True):
        places = np.arange(stop - start)
        least = np.minimum(places, places[::-1])
        better = least > seen[start:stop]
        merged[start:stop][better] = one[better]
        seen[start:stop][better] = least[better]
    if seen.min() < 0:
        raise ValueError(f"merge_labels: token {int(seen.argmin())} is in no window")
    return merged


def merge_spans(
    spans: NDArray[np.integer], scores: NDArray[np.floating], windows: Sequence[Window]
) -> Span:
    """The answer with the highest score in any window, at its place in the text.

    Parameters
    ----------
    spans : (W, 2)
        First and last token of the best answer in each window, counted from the window's start.
    scores : (W,)
        Of these answers.
    windows
        W parts of the text.

    Raises
    ------
    ValueError
        If there is not one answer for each window, or no window.
    """
    if not windows or spans.shape != (len(windows), 2) or scores.shape != (len(windows),):
        raise ValueError(
            f"merge_spans: spans has shape {spans.shape} and scores {scores.shape} for "
            f"{len(windows)} windows, expected (W, 2) and (W,), W one or more"
        )
    best = int(scores.argmax())
    first, last = (spans[best] + windows[best].start).tolist()
    return Span(first, last, float(scores[best]))


def merge_classes(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """The highest score that any window gives to each class.

    What tells the class of a text may stand in one place only: the surest window decides.

    Parameters
    ----------
    scores : (W, L)
        Of each window.

    Returns
    -------
    (L,)
    """
    best: NDArray[np.floating] = scores.max(axis=0)
    return best
