"""Scaled dot-product attention."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from minitransformer.backend import op
from minitransformer.ops.checks import (
    check_gradient,
    require_boolean,
    require_broadcast,
    require_floats,
    require_integers,
    require_probability,
    require_shape,
)
from minitransformer.ops.dropout import drop
from minitransformer.ops.softmax import SoftmaxCache, softmax_backward, softmax_forward

_softmax_forward = softmax_forward.impls["numpy"]  # the textbook's, whatever backend is active
_softmax_backward = softmax_backward.impls["numpy"]


class AttentionCache(NamedTuple):
    """What attention's backward needs."""

    q: np.ndarray  # (B, H, T, D)
    k: np.ndarray  # (B, Hk, S, D)
    v: np.ndarray  # (B, Hk, S, Dv)
    probs: np.ndarray  # (B, H, T, S), before dropout
    scale: float
    keep: np.ndarray | None  # (B, H, T, S)
    p: float


def _check(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
    keep: Any = None,
    p: float = 0.0,
) -> None:
    require_floats("attention", q=q, k=k, v=v)
    for name, array in (("q", q), ("k", k), ("v", v)):
        if len(array.shape) != 4:
            raise ValueError(
                f"attention: {name} has shape {array.shape}, expected (batch, heads, positions, "
                "features per head)"
            )
    B, H, T, D = q.shape
    Hk, S = k.shape[1:3]
    require_shape("attention", "k", k, (B, Hk, S, D), "batch and features of q")
    require_shape("attention", "v", v, (B, Hk, S, v.shape[-1]), "batch, heads, positions of k")
    if Hk == 0 or H % Hk:
        raise ValueError(
            f"attention: q has {H} heads and k has {Hk}, expected k's to divide q's; "
            "query head h reads key head h // (H / Hk)"
        )
    scores = (B, H, T, S)
    if mask is not None:
        require_boolean("attention", "mask", mask)
        require_broadcast("attention", "mask", mask, scores, "batch, heads, queries, keys")
    require_probability("attention", "p", p)
    if keep is not None:
        require_boolean("attention", "keep", keep)
        require_shape("attention", "keep", keep, scores, "batch, heads, queries, keys")


def _like_y(cache: Any) -> tuple[tuple[int, ...], Any]:
    return (*cache.q.shape[:-1], cache.v.shape[-1]), cache.q.dtype


@op(composed=True)
def causal_mask(T: int, S: int) -> Bool[np.ndarray, "T S"]:
    """True where query t may see key s: the last query sees all keys, the one before all but one.

    Aligned to the bottom right, so that T new queries after S - T cached keys see the past. With
    T > S the first T - S queries see nothing.

    Parameters
    ----------
    T, S
        Number of queries and of keys.

    Returns
    -------
    (T, S)
        Boolean, True = may attend.
    """
    return np.tri(T, S, S - T, dtype=np.bool_)


@op(composed=True)
def padding_mask(lengths: Integer[np.ndarray, " B"], S: int) -> Bool[np.ndarray, "B 1 1 S"]:
    """True where key s is a token of its sequence, and not padding behind the end.

    Parameters
    ----------
    lengths : (B,)
        Number of tokens of each sequence, from 0 to S; the others are padding.
    S
        Number of positions of the batch.

    Returns
    -------
    (B, 1, 1, S)
        The same for all heads and all queries.

    Raises
    ------
    IndexError
        If a length is negative or above S.
    """
    require_integers("padding_mask", "lengths", lengths, S + 1)
    return np.arange(S) < lengths[:, None, None, None]


@op(_check)
def attention_forward(
    q: Float[np.ndarray, "B H T D"],
    k: Float[np.ndarray, "B Hk S D"],
    v: Float[np.ndarray, "B Hk S Dv"],
    mask: Bool[np.ndarray, "..."] | None = None,
    causal: bool = False,
    scale: float | None = None,
    keep: Bool[np.ndarray, "B H T S"] | None = None,
    p: float = 0.0,
) -> tuple[Float[np.ndarray, "B H T Dv"], AttentionCache]:
    """Let every query take the mean of the values, weighted by how well it matches their keys.

    Parameters
    ----------
    q : (B, H, T, D)
    k : (B, Hk, S, D)
        Hk divides H: query head h reads key head ``h // (H / Hk)`` (grouped-query attention).
    v : (B, Hk, S, Dv)
    mask : broadcasts to (B, H, T, S), optional
        True = may attend. A query that may attend to nothing gets 0.
    causal
        Also hide the future; see :func:`causal_mask`.
    scale
        Factor of the scores; by default ``1 / sqrt(D)``, which keeps their variance near 1.
    keep : (B, H, T, S), optional
        Dropout mask on the probabilities, True = keep; None = no dropout.
    p
        Probability of dropping with which ``keep`` was drawn.

    Returns
    -------
    y : (B, H, T, Dv)
    cache : AttentionCache

    Raises
    ------
    ValueError
        If shapes do not fit or Hk does not divide H.
    TypeError
        If the mask is not boolean.

    Notes
    -----
    Forward, for one head: ``scores = scale q k^T``, ``probs = softmax(scores)`` over the keys that
    may be attended to, ``y = drop(probs) v``. The H / Hk query heads that share a key head are
    laid under one another as further queries, so one matrix product serves them all.

    Backward: y is linear in v and in the dropped probabilities: ``dv = drop(probs)^T dy``,
    ``dprobs = drop(dy v^T)``. Softmax: ``dscores = probs (dprobs - rowsum(dprobs probs))``.
    The scores are bilinear: ``dq = scale dscores k``, ``dk = scale dscores^T q``; the product sums
    over the queries of all heads that share k.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762;
    Ainslie et al. (2023), GQA, arXiv:2305.13245.
    """
    B, H, T, D = q.shape
    Hk, S, Dv = v.shape[1:]
    scale = 1.0 / math.sqrt(D) if scale is None else float(scale)
    if causal:
        mask = causal_mask(T, S) if mask is None else mask & causal_mask(T, S)
    group = (B, Hk, H // Hk * T)
    scores = (scale * q.reshape(*group, D)) @ k.swapaxes(-1, -2)
    probs, _ = _softmax_forward(scores.reshape(B, H, T, S), mask)
    dropped = probs if keep is None else drop(probs, keep, p)
    y = dropped.reshape(*group, S) @ v
    return y.reshape(B, H, T, Dv), AttentionCache(q, k, v, probs, scale, keep, p)


@op(check_gradient("attention", _like_y))
def attention_backward(
    dy: Float[np.ndarray, "B H T Dv"], cache: AttentionCache
) -> tuple[
    Float[np.ndarray, "B H T D"], Float[np.ndarray, "B Hk S D"], Float[np.ndarray, "B Hk S Dv"]
]:
    """Gradients ``(dq, dk, dv)`` of :func:`attention_forward`."""
    q, k, v, probs, scale, keep, p = cache
    B, H, T, D = q.shape
    Hk, S, Dv = v.shape[1:]
    group = (B, Hk, H // Hk * T)
    # y = dropped @ v
    dropped = probs if keep is None else drop(probs, keep, p)
    dy = dy.reshape(*group, Dv)
    dv = dropped.reshape(*group, S).swapaxes(-1, -2) @ dy
    ddropped = (dy @ v.swapaxes(-1, -2)).reshape(B, H, T, S)
    # dropped = drop(probs)
    dprobs = ddropped if keep is None else drop(ddropped, keep, p)
    # probs = softmax(scores)
    (dscores,) = _softmax_backward(dprobs, SoftmaxCache(probs))
    dscores = dscores.reshape(*group, S)
    # scores = (scale * q) @ k^T
    dq = scale * (dscores @ k).reshape(B, H, T, D)
    dk = dscores.swapaxes(-1, -2) @ (scale * q.reshape(*group, D))
    return dq, dk, dv
