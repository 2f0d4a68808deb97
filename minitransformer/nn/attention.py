"""Multi-head attention: over the sequence itself, or over another one."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.backend import op
from minitransformer.nn.key_values import LayerKeyValues
from minitransformer.nn.layers import Linear, draw_keep
from minitransformer.nn.module import Module
from minitransformer.nn.positions import RotaryPositions


class MixCache(NamedTuple):
    """What the backward of attend, merge and project needs."""

    attention: Any
    merge: Any
    projection: Any


class MultiHeadAttentionCache(NamedTuple):
    """What the backward of :class:`MultiHeadAttention` needs."""

    query_key_value: Any
    split: Any
    rotary_query: Any
    rotary_key: Any
    mix: MixCache

    @property
    def probs(self) -> np.ndarray:
        """(B, H, T, S): how much each query attends to each key."""
        return self.mix.attention.probs  # type: ignore[no-any-return]


class CrossAttentionCache(NamedTuple):
    """What the backward of :class:`CrossAttention` needs."""

    query: Any
    split_query: Any
    key_value: Any
    split_key_value: Any
    mix: MixCache

    @property
    def probs(self) -> np.ndarray:
        """(B, H, T, S): how much each query attends to each position of the memory."""
        return self.mix.attention.probs  # type: ignore[no-any-return]


class _Mix(Module):
    """The part that both kinds of attention share: attend, merge the heads, project."""

    projection: Linear
    dropout: float

    def _mix(
        self,
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        mask: np.ndarray | None,
        causal: bool,
        rng: np.random.Generator | None,
    ) -> tuple[np.ndarray, MixCache]:
        keep = draw_keep(rng, (*q.shape[:3], k.shape[2]), self.dropout)
        heads, attention = ops.attention_forward(q, k, v, mask, causal, None, keep, self.dropout)
        merged, merge = ops.merge_heads_forward(heads)
        y, projection = self.projection(merged)
        return y, MixCache(attention, merge, projection)


def _mix_backward(
    attention: _Mix, dy: np.ndarray, cache: MixCache
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dmerged = attention.projection.backward(dy, cache.projection)
    (dheads,) = ops.merge_heads_backward(dmerged, cache.merge)
    return ops.attention_backward(dheads, cache.attention)


class MultiHeadAttention(_Mix):
    """Self-attention with H query heads and, for grouped queries, fewer key and value heads.

    Parameters
    ----------
    width
        Features C of input and output.
    heads
        Query heads H; each has ``C / H`` features.
    rng
        Draws the weights.
    kv_heads
        Key and value heads, a divisor of ``heads``; by default as many.
    dropout
        Probability of dropping an attention weight.
    rotary
        Turns queries and keys by their position, if given.
    bias, std, projection_std, dtype
        Of the two linear layers; ``projection_std`` is of the one that writes the output.

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762; Ainslie et al. (2023), arXiv:2305.13245.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        rng: np.random.Generator,
        *,
        kv_heads: int | None = None,
        dropout: float = 0.0,
        rotary: RotaryPositions | None = None,
        bias: bool = True,
        std: float = 0.02,
        projection_std: float = 0.02,
        dtype: DTypeLike = np.float32,
    ) -> None:
        kv_heads = heads if kv_heads is None else kv_heads
        head_width = _head_width(width, heads, kv_heads)
        self.heads = (heads, kv_heads, kv_heads)
        self.query_key_value = Linear(width, sum(self.heads) * head_width, rng, bias, std, dtype)
        self.projection = Linear(width, width, rng, bias, projection_std, dtype)
        self.rotary = rotary
        self.dropout = dropout

    def __call__(
        self,
        x: np.ndarray,
        mask: np.ndarray | None = None,
        causal: bool = False,
        rng: np.random.Generator | None = None,
        kv: LayerKeyValues | None = None,
    ) -> tuple[np.ndarray, MultiHeadAttentionCache]:
        """Attend from every position of x to every position of x, and of kv if given.

        Parameters
        ----------
        x : (B, T, C)
        mask : broadcasts to (B, H, T, S), optional
            True = may attend; S = T, plus the positions that kv held before.
        causal
            Hide the future.
        rng
            Draws the dropout masks; None = no dropout.
        kv
            Memory of generation; x's keys and values are appended to it.

        Returns
        -------
        y : (B, T, C)
        cache : MultiHeadAttentionCache
        """
        fused, query_key_value = self.query_key_value(x)
        (q, k, v), split = ops.split_heads_forward(fused, self.heads)
        rotary_query = rotary_key = None
        if self.rotary is not None:
            start = 0 if kv is None else kv.start
            q, rotary_query = self.rotary(q, start)
            k, rotary_key = self.rotary(k, start)
        if kv is not None:
            k, v = kv.append(k, v)
        y, mix = self._mix(q, k, v, mask, causal, rng)
        return y, MultiHeadAttentionCache(query_key_value, split, rotary_query, rotary_key, mix)

    def backward(self, dy: np.ndarray, cache: MultiHeadAttentionCache) -> np.ndarray:
        return multi_head_attention_backward(self, dy, cache)


@op(composed=True)
def multi_head_attention_backward(
    attention: MultiHeadAttention, dy: np.ndarray, cache: MultiHeadAttentionCache
) -> np.ndarray:
    """Add up the gradients of the two linear layers, and return that of the input.

    Parameters
    ----------
    attention
        Whose layers ran forward.
    dy : (B, T, C)
    cache : MultiHeadAttentionCache

    Returns
    -------
    dx : (B, T, C)
    """
    dq, dk, dv = _mix_backward(attention, dy, cache.mix)
    if attention.rotary is not None:
        dk = attention.rotary.backward(dk, cache.rotary_key)
        dq = attention.rotary.backward(dq, cache.rotary_query)
    (dfused,) = ops.split_heads_backward((dq, dk, dv), cache.split)
    return attention.query_key_value.backward(dfused, cache.query_key_value)


class CrossAttention(_Mix):
    """Attention from one sequence to another, such as a decoder's to the encoder's memory.

    Parameters are those of :class:`MultiHeadAttention`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        rng: np.random.Generator,
        *,
        kv_heads: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        std: float = 0.02,
        projection_std: float = 0.02,
        dtype: DTypeLike = np.float32,
    ) -> None:
        kv_heads = heads if kv_heads is None else kv_heads
        head_width = _head_width(width, heads, kv_heads)
        self.heads = (heads,)
        self.kv_heads = (kv_heads, kv_heads)
        self.query = Linear(width, width, rng, bias, std, dtype)
        self.key_value = Linear(width, 2 * kv_heads * head_width, rng, bias, std, dtype)
        self.projection = Linear(width, width, rng, bias, projection_std, dtype)
        self.dropout = dropout

    def __call__(
        self,
        x: np.ndarray,
        memory: np.ndarray | None,
        mask: np.ndarray | None = None,
        rng: np.random.Generator | None = None,
        kv: LayerKeyValues | None = None,
    ) -> tuple[np.ndarray, CrossAttentionCache]:
        """Attend from every position of x (B, T, C) to every position of memory (B, S, C).

        In generation, ``kv`` takes the place of the memory: what :meth:`remember` made of it.
        """
        queries, query = self.query(x)
        (q,), split_query = ops.split_heads_forward(queries, self.heads)
        if kv is None:
            (k, v), key_value, split_key_value = self._keys_and_values(memory)
        else:
            k, v, key_value, split_key_value = kv.keys, kv.values, None, None
        y, mix = self._mix(q, k, v, mask, False, rng)
        return y, CrossAttentionCache(query, split_query, key_value, split_key_value, mix)

    def remember(self, memory: np.ndarray) -> LayerKeyValues:
        """Keys and values of a memory (B, S, C), which are the same for every new token."""
        (k, v), *_ = self._keys_and_values(memory)
        batch, heads, length, head_width = k.shape
        kv = LayerKeyValues(batch, heads, length, head_width, k)
        kv.append(k, v)
        return kv

    def _keys_and_values(self, memory: Any) -> tuple[Any, Any, Any]:
        fused, key_value = self.key_value(memory)
        keys_and_values, split_key_value = ops.split_heads_forward(fused, self.kv_heads)
        return keys_and_values, key_value, split_key_value

    def backward(self, dy: np.ndarray, cache: CrossAttentionCache) -> tuple[np.ndarray, np.ndarray]:
        """Gradients ``(dx, dmemory)``."""
        dq, dk, dv = _mix_backward(self, dy, cache.mix)
        (dfused,) = ops.split_heads_backward((dk, dv), cache.split_key_value)
        dmemory = self.key_value.backward(dfused, cache.key_value)
        (dqueries,) = ops.split_heads_backward((dq,), cache.split_query)
        return self.query.backward(dqueries, cache.query), dmemory


def _head_width(width: int, heads: int, kv_heads: int) -> int:
    if heads < 1 or width % heads:
        raise ValueError(
            f"attention: width is {width} and heads {heads}, expected heads to divide width"
        )
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(
            f"attention: heads is {heads} and kv_heads {kv_heads}, expected a divisor of heads"
        )
    return width // heads
