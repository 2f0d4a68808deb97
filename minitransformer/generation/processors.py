"""Processors: pure functions from logits to new logits, which forbid or weaken tokens.

A forbidden token has the logit -inf, so probability 0. All take (..., V) and keep the dtype. They
are applied in the order of this file.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from minitransformer.ops.checks import require_axes, require_floats, require_integers


def probabilities(logits: Float[np.ndarray, "*leading V"]) -> Float[np.ndarray, "*leading V"]:
    """Softmax over the last axis in float64, for sums that must not depend on their order."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def repetition_penalty(
    logits: Float[np.ndarray, "*leading V"], ids: Sequence[int] | np.ndarray, penalty: float
) -> Float[np.ndarray, "*leading V"]:
    """Make every token that was seen before less likely, however often it was seen.

    Parameters
    ----------
    logits : (..., V)
        Scores of the next token.
    ids : (T,) or (..., T)
        Tokens seen so far, common to all rows or row by row.
    penalty
        More than 1 discourages repetition, 1 changes nothing, less than 1 encourages it.

    Returns
    -------
    (..., V)
        A new array.

    Raises
    ------
    IndexError
        If an id is not in the vocabulary.
    ValueError
        If the penalty is not positive.

    Notes
    -----
    ``x penalty`` where ``x < 0``, else ``x / penalty``: both lower the logit of a seen token.

    References
    ----------
    Keskar et al. (2019), CTRL: A Conditional Transformer Language Model, arXiv:1909.05858.
    """
    _check_logits("repetition_penalty", logits)
    if not 0 < penalty < np.inf:
        raise ValueError(f"repetition_penalty: penalty is {penalty}, expected more than 0")
    seen_ids = np.asarray(ids)
    if seen_ids.size == 0:
        return logits.copy()
    require_integers("repetition_penalty", "ids", seen_ids, logits.shape[-1])
    seen = np.zeros(logits.shape, dtype=np.bool_)
    rows = np.broadcast_to(seen_ids, (*logits.shape[:-1], seen_ids.shape[-1]))
    np.put_along_axis(seen, rows, True, axis=-1)
    penalty = float(penalty)
    return np.where(seen, np.where(logits < 0, logits * penalty, logits / penalty), logits)


def apply_temperature(
    logits: Float[np.ndarray, "*leading V"], temperature: float
) -> Float[np.ndarray, "*leading V"]:
    """Sharpen (below 1) or flatten (above 1) the distribution: ``logits / temperature``.

    Raises
    ------
    ValueError
        If the temperature is not positive.

    References
    ----------
    Ackley, Hinton and Sejnowski (1985), A learning algorithm for Boltzmann machines.
    """
    _check_logits("apply_temperature", logits)
    if not 0 < temperature < np.inf:
        raise ValueError(
            f"temperature is {temperature}, expected more than 0; to always take the most likely "
            "token, decode greedily (do_sample=False, --greedy)"
        )
    return logits / float(temperature)


def top_k(logits: Float[np.ndarray, "*leading V"], k: int) -> Float[np.ndarray, "*leading V"]:
    """Forbid all but the k most likely tokens.

    Parameters
    ----------
    logits : (..., V)
        Scores of the next token.
    k
        Number of tokens to keep, more if some tie with the last of them; 0 keeps all.

    Returns
    -------
    (..., V)
        A new array.

    Raises
    ------
    ValueError
        If k is negative.

    References
    ----------
    Fan, Lewis and Dauphin (2018), Hierarchical Neural Story Generation, arXiv:1805.04833.
    """
    _check_logits("top_k", logits)
    if k < 0:
        raise ValueError(f"top_k: k is {k}, expected 0 (off) or more")
    if k == 0 or k >= logits.shape[-1]:
        return logits.copy()
    limit = np.partition(logits, -k, axis=-1)[..., -k, None]
    return np.where(logits < limit, -np.inf, logits)


def top_p(logits: Float[np.ndarray, "*leading V"], p: float) -> Float[np.ndarray, "*leading V"]:
    """Forbid the unlikely tail: keep the smallest set of likely tokens that has mass p.

    Parameters
    ----------
    logits : (..., V)
        Scores of the next token.
    p
        A token stays while the tokens more likely than it have a mass below p. The most likely
        one always stays, and 1 keeps all.

    Returns
    -------
    (..., V)
        A new array.

    Raises
    ------
    ValueError
        If p is not in [0, 1].

    References
    ----------
    Holtzman et al. (2020), The Curious Case of Neural Text Degeneration, arXiv:1904.09751.
    """
    _check_logits("top_p", logits)
    if not 0 <= p <= 1:
        raise ValueError(f"top_p: p is {p}, expected 0 <= p <= 1")
    if p == 1:
        return logits.copy()
    order = np.argsort(-logits, axis=-1, kind="stable")
    mass = np.cumsum(np.take_along_axis(probabilities(logits), order, axis=-1), axis=-1)
    keep_sorted = np.ones(logits.shape, dtype=np.bool_)
    keep_sorted[..., 1:] = mass[..., :-1] < p
    keep = np.empty_like(keep_sorted)
    np.put_along_axis(keep, order, keep_sorted, axis=-1)
    return np.where(keep, logits, -np.inf)


def _check_logits(name: str, logits: np.ndarray) -> None:
    require_floats(name, logits=logits)
    require_axes(name, "logits", logits, 1)
