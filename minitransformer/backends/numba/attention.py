"""Scaled dot-product attention in memory proportional to the length of the sequence."""

import math
from typing import Any, NamedTuple

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba import decode_attention, flash_backward, flash_forward
from minitransformer.backends.numba.arrays import with_dense_rows
from minitransformer.backends.numba.threads import Array


class FlashAttentionCache(NamedTuple):
    """What flash attention's backward needs: of the probabilities, only how to find them again."""

    q: Array  # (B, H, T, D)
    k: Array  # (B, Hk, S, D)
    v: Array  # (B, Hk, S, Dv)
    y: Array  # (B, H, T, Dv)
    logsumexp: Array  # (B, H, T), of the scores that count; -inf if none does
    mask: Array | None  # broadcasts to (B, H, T, S)
    causal: bool
    scale: float
    keep: Array | None  # (B, H, T, S)
    p: float

    @property
    def probs(self) -> Array:
        """(B, H, T, S), before dropout: what the textbook would have remembered."""
        textbook = ops.attention_forward.impls["numpy"]
        _, cache = textbook(self.q, self.k, self.v, self.mask, self.causal, self.scale)
        return cache.probs  # type: ignore[no-any-return]


@kernel("numba", ops.attention_forward, cache=FlashAttentionCache)
def attention_forward(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    causal: bool = False,
    scale: float | None = None,
    keep: Array | None = None,
    p: float = 0.0,
) -> tuple[Array, FlashAttentionCache]:
    """Flash attention, see :mod:`.flash_forward`; for one query, see :mod:`.decode_attention`."""
    y = np.empty((*q.shape[:-1], v.shape[-1]), q.dtype)
    return y, attend(q, k, v, y, mask, causal, scale, keep, p)


def attend(
    q: Array,
    k: Array,
    v: Array,
    y: Array,
    mask: Array | None = None,
    causal: bool = False,
    scale: float | None = None,
    keep: Array | None = None,
    p: float = 0.0,
) -> FlashAttentionCache:
    """Attend as :func:`attention_forward`; the result is left in y, whose rows are contiguous."""
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    q, logsumexp = with_dense_rows(q), np.empty(q.shape[:-1], q.dtype)
    cache = FlashAttentionCache(q, k, v, y, logsumexp, mask, causal, scale, keep, p)
    way = decode_attention if decode_attention.fits(q, k, v) else flash_forward
    way.forward(q, k, v, *_options(cache), y, logsumexp)
    return cache


@kernel("numba", ops.attention_backward, cache=FlashAttentionCache)
def attention_backward(dy: Array, cache: FlashAttentionCache) -> tuple[Array, Array, Array]:
    """Gradients; see :mod:`.flash_backward`."""
    q, (B, Hk, S, Dv) = cache.q, cache.v.shape
    H, D = q.shape[1], q.shape[3]
    dq = np.empty(q.shape, q.dtype)
    dk = np.empty((B, H, S, D), q.dtype)
    dv = np.empty((B, H, S, Dv), q.dtype)
    attend_backward(dy, cache, dq, dk, dv)
    if Hk != H:
        dk = dk.reshape(B, Hk, H // Hk, S, D).sum(axis=2)
        dv = dv.reshape(B, Hk, H // Hk, S, Dv).sum(axis=2)
    return dq, dk, dv


def attend_backward(dy: Array, cache: FlashAttentionCache, dq: Array, dk: Array, dv: Array) -> None:
    """Leave the gradients in arrays whose rows are contiguous; dk and dv for each query head."""
    q, k, v, y, logsumexp = cache[:5]
    flash_backward.backward(
        with_dense_rows(dy), q, k, v, y, logsumexp, *_options(cache), dq, dk, dv
    )


_NO_MASK = np.ones((1, 1, 1, 1), np.bool_)


def _options(cache: FlashAttentionCache) -> tuple[Any, ...]:
    """Arguments that forward and backward share, in types that do not depend on what is given."""
    number = cache.q.dtype.type
    scores = (*cache.q.shape[:3], cache.k.shape[2])
    return (
        _NO_MASK if cache.mask is None else np.broadcast_to(cache.mask, scores),
        _NO_MASK if cache.keep is None else cache.keep,
        cache.mask is not None,
        cache.keep is not None,
        bool(cache.causal),
        number(cache.scale),
        number(1.0 / (1.0 - cache.p)),
    )
