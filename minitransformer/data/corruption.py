"""Corrupted text to learn from: hide some tokens, and ask for them."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from numpy.typing import NDArray

from minitransformer.errors import InputError

IGNORE = -100
"""Target of a position that is not asked for, as in `ops.cross_entropy_forward`."""


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
) -> MaskedTokens:
    """Choose tokens at random and corrupt them by `mask_tokens`.

    Parameters
    ----------
    ids : (..., T)
        The text.
    rng : Generator
        Draws, each in the shape of ids, first which tokens are chosen, then what is done to them,
        then the ids that they are exchanged for.
    mask_id, vocab_size : int
        What hides a token, and the number of ids to exchange it for.
    probability : float
        Of each token to be chosen.
    special_ids : collection of int
        Separators, padding and the like, which are never chosen.

    Raises
    ------
    InputError
        If the probability is not in [0, 1].
    """
    if not 0 <= probability <= 1:
        raise InputError(f"probability is {probability}, expected 0 <= probability <= 1")
    chosen = rng.random(ids.shape) < probability
    action = rng.integers(10, size=ids.shape)
    random_ids = rng.integers(vocab_size, size=ids.shape)
    ordinary = np.isin(ids, list(special_ids), invert=True)
    return mask_tokens(ids, chosen & ordinary, action, random_ids, mask_id)
