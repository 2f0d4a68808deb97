"""Texts longer than the context, read by a model with a head in windows that overlap."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minitransformer.data import EncoderBatch
from minitransformer.data.windows import (
    Span,
    Window,
    merge_classes,
    merge_labels,
    merge_spans,
    sliding_windows,
)
from minitransformer.models.heads import Classifier, SpanAnswerer, TokenLabeller, best_spans

AT_ONCE = 32
"""Windows in a batch."""


def label_long_text(model: TokenLabeller, ids: Sequence[int], overlap: int) -> NDArray[np.floating]:
    """Scores of the labels of every token, each from the window in which it is most central.

    Parameters
    ----------
    model
        Reads windows of its context.
    ids : T tokens
        One or more.
    overlap
        Tokens that neighbouring windows share at least.

    Returns
    -------
    (T, L)

    Raises
    ------
    InputError
        If there is no token, or the overlap is not below the context.
    """
    windows = sliding_windows(len(ids), model.config.context, overlap)
    return merge_labels(_scores(model, ids, windows), windows)


def classify_long_text(model: Classifier, ids: Sequence[int], overlap: int) -> NDArray[np.floating]:
    """Scores (K,) of the classes of a text: the highest that any of its windows gives.

    Parameters and errors are those of :func:`label_long_text`.
    """
    windows = sliding_windows(len(ids), model.config.context, overlap)
    return merge_classes(_scores(model, ids, windows))


def answer_from_long_text(
    model: SpanAnswerer, ids: Sequence[int], overlap: int, longest: int, question: Sequence[int]
) -> Span:
    """The part of a text that answers a question best, from the window with the highest score.

    Parameters
    ----------
    model
        Reads windows of its context, each behind the question.
    ids : T tokens
        One or more.
    overlap
        Tokens that neighbouring windows share at least; what is longer may be cut in two.
    longest
        Tokens that an answer may have, 1 or more.
    question : Q tokens
        What stands before each window, separators included; possibly nothing.

    Returns
    -------
    Span
        Places in ids.

    Raises
    ------
    InputError
        If there is no token, or the question leaves no more than the overlap of the context.
    """
    asked = len(question)
    windows = sliding_windows(len(ids), model.config.context - asked, overlap)
    scores = _scores(model, ids, windows, question)[:, :, asked:]
    spans = best_spans(scores, longest)
    ends = np.take_along_axis(scores, spans[:, :, None], axis=2)
    return merge_spans(spans, ends.sum(axis=(1, 2)), windows)


def _scores(
    model: Any, ids: Sequence[int], windows: Sequence[Window], before: Sequence[int] = ()
) -> NDArray[np.floating]:
    """Scores of every window; those of one text are of one length, so that there is no padding."""
    inputs = np.array([[*before, *ids[start:stop]] for start, stop in windows])
    parts = (inputs[i : i + AT_ONCE] for i in range(0, len(inputs), AT_ONCE))
    return np.concatenate([model(_batch(part))[0] for part in parts])


def _batch(inputs: NDArray[np.int64]) -> EncoderBatch:
    return EncoderBatch(inputs, np.full(len(inputs), inputs.shape[1]), np.zeros(len(inputs), int))
