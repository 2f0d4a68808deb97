"""Corrupted text to learn from: hide some tokens, and ask for them."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from numpy.typing import NDArray

from minitransformer.backend import op
from minitransformer.data.batches import IGNORE
from minitransformer.errors import InputError


class MaskedTokens(NamedTuple):
    """What a masked language model learns from.

    Attributes
    ----------
    inputs : (..., T) int64
        The text, some of its tokens hidden or replaced.
    targets : (..., T) int64
        The tokens asked for, `IGNORE` everywhere else.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]


@op(composed=True)
def mask_tokens(
    ids: Integer[np.ndarray, "*leading T"],
    chosen: Bool[np.ndarray, "*leading T"],
    action: Integer[np.ndarray, "*leading T"],
    random_ids: Integer[np.ndarray, "*leading T"],
    mask_id: int,
) -> MaskedTokens:
    """Corrupt the chosen tokens as BERT does: 80% hidden, 10% exchanged, 10% left as they are.

    Nothing is drawn here: `draw_masked_tokens` draws the arguments at random.

    Parameters
    ----------
    ids : (..., T)
        The text.
    chosen : (..., T) bool
        True where the model is asked for the token.
    action : (..., T)
        From 0 to 9: below 8 a chosen token is hidden, at 8 exchanged, at 9 left as it is.
    random_ids : (..., T)
        What the exchanged tokens become.
    mask_id : int
        What the hidden tokens become.

    Returns
    -------
    MaskedTokens
        Inputs and targets, new arrays.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    When the model is put to use nothing is hidden. If every token asked for were, it would learn
    good vectors at hidden positions only; the other two tenths make it care for all of them.

    References
    ----------
    Devlin et al. (2018), BERT, section 3.1 and appendix A.1, arXiv:1810.04805.
    """
    for name, array in (("chosen", chosen), ("action", action), ("random_ids", random_ids)):
        if array.shape != ids.shape:
            raise ValueError(
                f"mask_tokens: {name} has shape {array.shape}, expected {ids.shape}, that of ids"
            )
    tokens = ids.astype(np.int64)  # the target -100 has no place in unsigned ids
    inputs = np.where(chosen & (action < 8), mask_id, tokens)
    inputs = np.where(chosen & (action == 8), random_ids.astype(np.int64), inputs)
    return MaskedTokens(inputs, np.where(chosen, tokens, IGNORE))


def draw_masked_tokens(
    ids: Integer[np.ndarray, "*leading T"],
    rng: np.random.Generator,
    mask_id: int,
    vocab_size: int,
    probability: float = 0.15,
    special_ids: Collection[int] = (),
    words: Integer[np.ndarray, "*leading T"] | None = None,
    span_length: float = 1.0,
) -> MaskedTokens:
    """Choose tokens at random and corrupt them by `mask_tokens`.

    Parameters
    ----------
    ids : (..., T)
        The text.
    rng : Generator
        Draws, each in the shape of ids, first which tokens are chosen, then what is done to them,
        then the ids that they are exchanged for; before all that, where spans end, if there are
        any.
    mask_id, vocab_size : int
        What hides a token, and the number of ids to exchange it for.
    probability : float
        Of each token to be chosen.
    special_ids : collection of int
        Separators, padding and the like, which are never chosen.
    words : (..., T), optional
        Number of the word that each token belongs to. Words are chosen as a whole, so that no
        token can be guessed from the rest of its word.
    span_length : float
        Mean length of the spans that are chosen as a whole; 1 is token by token.

    Raises
    ------
    InputError
        If the probability is not in [0, 1], the span length below 1, or there are spans and words.
    ValueError
        If the shapes of ids and words differ.

    References
    ----------
    Joshi et al. (2019), SpanBERT, arXiv:1907.10529.
    """
    if not 0 <= probability <= 1:
        raise InputError(f"probability is {probability}, expected 0 <= probability <= 1")
    if not span_length >= 1 or (span_length > 1 and words is not None):
        raise InputError(f"span_length is {span_length}, expected 1 or more, and 1 with words")
    if span_length > 1:
        words = np.cumsum(rng.random(ids.shape) < 1 / span_length, axis=-1)
    draws = rng.random(ids.shape)
    if words is not None:
        draws = np.take_along_axis(draws, _first_tokens(ids, words), axis=-1)
    chosen = draws < probability
    action = rng.integers(10, size=ids.shape)
    random_ids = rng.integers(vocab_size, size=ids.shape)
    ordinary = np.isin(ids, list(special_ids), invert=True)
    return mask_tokens(ids, chosen & ordinary, action, random_ids, mask_id)


def _first_tokens(
    ids: Integer[np.ndarray, "*leading T"], words: Integer[np.ndarray, "*leading T"]
) -> NDArray[np.int64]:
    """For each token the place where its word begins, which draws for the whole word."""
    if words.shape != ids.shape:
        raise ValueError(
            f"draw_masked_tokens: words has shape {words.shape}, expected {ids.shape}, that of ids"
        )
    begins = np.diff(words, axis=-1, prepend=words[..., :1] - 1) != 0
    return np.maximum.accumulate(np.where(begins, np.arange(ids.shape[-1]), 0), axis=-1)
