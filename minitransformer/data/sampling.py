"""Windows of a text, drawn at random to train, laid end to end to measure.

Nothing here has a state. What is drawn depends on a seed and on the index of the training step
alone, so that a run that was stopped goes on with the very batches that it would have seen.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from minitransformer.data.batches import Batch
from minitransformer.data.tokens import Tokens
from minitransformer.errors import InputError

STREAM = 0xDA7A
"""Keeps these random numbers apart from others drawn with the same seed and step."""


def batch_offsets(length: int, batch: int, context: int, seed: int, step: int) -> NDArray[np.int64]:
    """Draw where the windows of one training step begin.

    Parameters
    ----------
    length : int
        Number of tokens of the text.
    batch, context : int
        Number of windows, and tokens in each, B and T.
    seed, step : int
        The same two numbers always give the same windows.

    Returns
    -------
    (B,) int64
        Uniform over every window that fits, its last target included. Data-parallel workers
        draw this plan for their common batch and each take a slice.

    Raises
    ------
    InputError
        If the text is shorter than one window.
    """
    _check_length(length, context)
    return np.random.default_rng([STREAM, seed, step]).integers(length - context, size=batch)


def batch_at(tokens: Tokens, offsets: NDArray[np.int64], context: int) -> Batch:
    """Cut out the windows that begin at the offsets.

    Parameters
    ----------
    tokens : (N,) integers
        The text, in memory or mapped.
    offsets : (B,) int64
        Where the windows begin, at most N - T - 1.
    context : int
        Tokens in a window, T.

    Returns
    -------
    Batch
        Inputs and targets, (B, T) each.
    """
    places = offsets[:, None] + np.arange(context)
    return Batch(tokens[places].astype(np.int64), tokens[places + 1].astype(np.int64))


def sample_batch(tokens: Tokens, batch: int, context: int, seed: int, step: int) -> Batch:
    """Draw the batch of one training step: random windows of the text.

    See `batch_offsets` for the arguments and errors, `batch_at` for the result.
    """
    return batch_at(tokens, batch_offsets(len(tokens), batch, context, seed, step), context)


def validation_batches(
    tokens: Tokens, batch: int, context: int, limit: int | None = None
) -> Iterator[Batch]:
    """Lay windows end to end over a text, so that each token is predicted once.

    Parameters
    ----------
    tokens : (N,) integers
        The text to measure on.
    batch, context : int
        Windows in a batch, and tokens in each, B and T.
    limit : int, optional
        Batches at most; their windows are then spread evenly over the text.

    Returns
    -------
    iterator of Batch
        (B, T); the last batch may have fewer windows, so weigh each by its size. The first token
        and a rest shorter than a window are not predicted.

    Raises
    ------
    InputError
        If the text is shorter than one window.
    """
    _check_length(len(tokens), context)
    windows = (len(tokens) - 1) // context
    kept = windows if limit is None else min(windows, limit * batch)
    offsets = np.arange(kept) * windows // kept * context
    starts = range(0, kept, batch)
    return (batch_at(tokens, offsets[start : start + batch], context) for start in starts)


def _check_length(length: int, context: int) -> None:
    if length <= context:
        raise InputError(
            f"the text has {length} tokens, but a context of {context} needs at least "
            f"{context + 1}. Give a longer text or a smaller context."
        )
