"""Processors: pure functions from logits to new logits, which forbid or weaken tokens.

A forbidden token has the logit -inf, so probability 0. All take (..., V) and keep the dtype. They
are applied in the order of this file.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import require_axes, require_floats, require_integers


def probabilities(logits: Float[np.ndarray, "*leading V"]) -> Float[np.ndarray, "*leading V"]:
    """Softmax over the last axis in float64, for sums that must not depend on their order."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def log_probabilities(logits: Float[np.ndarray, "*leading V"]) -> Float[np.ndarray, "*leading V"]:
    """Log-softmax over the last axis in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


@op(composed=True)
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
    if seen_ids.size == 0 or penalty == 1:
        return logits.copy()
    require_integers("repetition_penalty", "ids", seen_ids, logits.shape[-1])
    seen = np.zeros(logits.shape, dtype=np.bool_)
    rows = np.broadcast_to(seen_ids, (*logits.shape[:-1], seen_ids.shape[-1]))
    np.put_along_axis(seen, rows, True, axis=-1)
    penalty = float(penalty)
    return np.where(seen, np.where(logits < 0, logits * penalty, logits / penalty), logits)


def no_repeat_ngram(
    logits: Float[np.ndarray, "*leading V"], ids: Sequence[int] | np.ndarray, size: int
) -> Float[np.ndarray, "*leading V"]:
    """Forbid every token that would complete a run of tokens for the second time.

    Parameters
    ----------
    logits : (..., V)
        Scores of the next token.
    ids : (T,) or (..., T)
        Tokens seen so far, common to all rows or row by row.
    size
        Length n of the runs; 1 forbids every token seen, 0 is off.

    Returns
    -------
    (..., V)
        A new array.

    Raises
    ------
    IndexError
        If an id is not in the vocabulary.
    ValueError
        If the size is negative.

    Notes
    -----
    A token x is forbidden if the last n - 1 tokens, followed by x, occur among those seen.

    References
    ----------
    Paulus, Xiong and Socher (2017), A Deep Reinforced Model for Abstractive Summarization,
    arXiv:1705.04304.
    """
    _check_logits("no_repeat_ngram", logits)
    if size < 0:
        raise ValueError(f"no_repeat_ngram: size is {size}, expected 0 (off) or more")
    seen = np.asarray(ids)
    if size == 0 or seen.shape[-1] < size:
        return logits.copy()
    require_integers("no_repeat_ngram", "ids", seen, logits.shape[-1])
    seen = np.broadcast_to(seen, (*logits.shape[:-1], seen.shape[-1]))
    runs = np.lib.stride_tricks.sliding_window_view(seen, size, axis=-1)
    last = seen[..., None, seen.shape[-1] - (size - 1) :]
    *rows, run = np.nonzero((runs[..., :-1] == last).all(axis=-1))
    y = logits.copy()
    y[(*rows, runs[(*rows, run, -1)])] = -np.inf
    return y


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


@op(composed=True)
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


@op(composed=True)
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


def min_p(logits: Float[np.ndarray, "*leading V"], p: float) -> Float[np.ndarray, "*leading V"]:
    """Forbid tokens that are less than p times as likely as the most likely one.

    Parameters
    ----------
    logits : (..., V)
        Scores of the next token.
    p
        Where the model is sure, few tokens stay; where it is not, many. 0 keeps all, 1 the most
        likely token only, and those that tie with it.

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
    Nguyen et al. (2024), Turning Up the Heat: Min-p Sampling, arXiv:2407.01082.
    """
    _check_logits("min_p", logits)
    if not 0 <= p <= 1:
        raise ValueError(f"min_p: p is {p}, expected 0 <= p <= 1")
    if p == 0:
        return logits.copy()
    likely = probabilities(logits)
    return np.where(likely < p * likely.max(axis=-1, keepdims=True), -np.inf, logits)


def _check_logits(name: str, logits: np.ndarray) -> None:
    require_floats(name, logits=logits)
    require_axes(name, "logits", logits, 1)
