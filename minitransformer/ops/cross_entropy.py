"""Cross-entropy of logits and target classes."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from minitransformer.backend import op
from minitransformer.ops.checks import (
    check_scalar_gradient,
    require_axes,
    require_floats,
    require_integers,
    require_shape,
)


class CrossEntropyCache(NamedTuple):
    """What cross-entropy's backward needs. N counts the targets that are not ignored."""

    probs: np.ndarray  # (N, V)
    targets: np.ndarray  # (N,)
    kept: np.ndarray  # (...), bool: the target is not ignored
    label_smoothing: float


def _check(
    logits: Any, targets: Any, ignore_index: int = -100, label_smoothing: float = 0.0
) -> None:
    require_floats("cross_entropy", logits=logits)
    require_axes("cross_entropy", "logits", logits, 1)
    require_integers("cross_entropy", "targets", targets, logits.shape[-1], ignore=ignore_index)
    require_shape(
        "cross_entropy", "targets", targets, logits.shape[:-1], "logits without the class axis"
    )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(
            f"cross_entropy: label_smoothing is {label_smoothing}, expected 0 <= value <= 1"
        )


@op(_check)
def cross_entropy_forward(
    logits: Float[np.ndarray, "*leading V"],
    targets: Integer[np.ndarray, "*leading"],
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[Any, CrossEntropyCache]:
    """Mean surprise, in nats, at the target classes.

    Parameters
    ----------
    logits : (..., V)
    targets : (...), integers in [0, V)
    ignore_index
        Targets of this value count neither in the sum nor in the number that divides it.
    label_smoothing
        Share of the target distribution that is spread evenly over all V classes.

    Returns
    -------
    loss : scalar of the logits' dtype, nats per kept target; 0 if every target is ignored
    cache : CrossEntropyCache

    Raises
    ------
    IndexError
        If a kept target is not a class; names the value and its position.

    Notes
    -----
    Forward: for one kept row, ``loss = -sum_v q[v] log softmax(logits)[v]`` with
    ``q = (1 - label_smoothing) onehot(target) + label_smoothing / V``; then the mean over the N
    kept rows.

    Backward: write the row's loss as ``log sum_v exp(logits[v]) - sum_v q[v] logits[v]``, as q sums
    to 1. The first term's gradient is softmax, the second's is q: ``dlogits = dy (p - q) / N``.
    Each row of it sums to 0. Ignored rows are 0.

    References
    ----------
    Szegedy et al. (2015), Rethinking the Inception Architecture (label smoothing),
    arXiv:1512.00567.
    """
    label_smoothing = float(label_smoothing)
    kept = np.asarray(targets != ignore_index)
    rows, kept_targets = logits[kept], np.asarray(targets)[kept]
    top = rows.max(axis=-1, keepdims=True, initial=-np.inf)
    shifted = rows - np.where(top == -np.inf, 0.0, top)
    weights = np.exp(shifted)
    total = weights.sum(axis=-1, keepdims=True)
    log_probs = shifted - np.log(total)
    surprise = -np.take_along_axis(log_probs, kept_targets[:, None].astype(np.intp), axis=-1)
    if label_smoothing:
        even = -log_probs.mean(axis=-1, keepdims=True)
        surprise = (1.0 - label_smoothing) * surprise + label_smoothing * even
    loss = surprise.sum() / max(1, len(rows))
    return loss, CrossEntropyCache(weights / total, kept_targets, kept, label_smoothing)


@op(check_scalar_gradient("cross_entropy"))
def cross_entropy_backward(
    dy: Any, cache: CrossEntropyCache
) -> tuple[Float[np.ndarray, "*leading V"]]:
    """Gradient ``(dlogits,)`` of :func:`cross_entropy_forward`; dy is any real scalar."""
    probs, targets, kept, label_smoothing = cache
    N, V = probs.shape
    # loss = mean of (log sum exp(logits) - sum q logits)
    rows = probs - label_smoothing / V
    rows[np.arange(N), targets] -= 1.0 - label_smoothing
    rows *= float(dy) / max(1, N)
    dlogits = np.zeros((*kept.shape, V), dtype=probs.dtype)
    dlogits[kept] = rows
    return (dlogits,)
