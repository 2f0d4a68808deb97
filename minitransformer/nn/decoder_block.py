"""Blocks of a decoder that also attends to another sequence, the encoder's memory."""

from typing import Any, NamedTuple

import numpy as np

from minitransformer import ops
from minitransformer.nn.attention import (
    CrossAttention,
    CrossAttentionCache,
    MultiHeadAttention,
    MultiHeadAttentionCache,
)
from minitransformer.nn.feed_forward import FeedForward, FeedForwardCache
from minitransformer.nn.key_values import LayerKeyValues
from minitransformer.nn.layers import Dropout, LayerNorm, RMSNorm
from minitransformer.nn.module import Module


class DecoderBlockCache(NamedTuple):
    """What a decoder block's backward needs."""

    attention_norm: Any
    attention: MultiHeadAttentionCache
    attention_dropout: Any
    cross_attention_norm: Any
    cross_attention: CrossAttentionCache
    cross_attention_dropout: Any
    feed_forward_norm: Any
    feed_forward: FeedForwardCache
    feed_forward_dropout: Any


class _DecoderBlock(Module):
    """The parts of either decoder block.

    Parameters
    ----------
    attention_norm, cross_attention_norm, feed_forward_norm
        The norms, beside the part that they belong to.
    attention, cross_attention, feed_forward
        The three parts that write to the residual path.
    dropout
        Probability of dropping an element of what a part writes.
    """

    def __init__(
        self,
        attention_norm: LayerNorm | RMSNorm,
        attention: MultiHeadAttention,
        cross_attention_norm: LayerNorm | RMSNorm,
        cross_attention: CrossAttention,
        feed_forward_norm: LayerNorm | RMSNorm,
        feed_forward: FeedForward,
        dropout: float = 0.0,
    ) -> None:
        self.attention_norm = attention_norm
        self.attention = attention
        self.cross_attention_norm = cross_attention_norm
        self.cross_attention = cross_attention
        self.feed_forward_norm = feed_forward_norm
        self.feed_forward = feed_forward
        self.dropout = Dropout(dropout)


class PreNormDecoderBlock(_DecoderBlock):
    """Norm first: ``x + part(norm(x))`` for self-attention, cross-attention and feed-forward.

    The memory comes normalised from the encoder, so only the queries need a norm.

    References
    ----------
    Xiong et al. (2020), On Layer Normalization in the Transformer Architecture, arXiv:2002.04745.
    """

    def __call__(
        self,
        x: np.ndarray,
        memory: np.ndarray | None,
        memory_mask: np.ndarray | None = None,
        rng: np.random.Generator | None = None,
        kv: LayerKeyValues | None = None,
        memory_kv: LayerKeyValues | None = None,
    ) -> tuple[np.ndarray, DecoderBlockCache]:
        """Map x to the same shape; it sees its own past and all of the memory.

        Parameters
        ----------
        x : (B, T, C)
        memory : (B, S, C)
            What the encoder made of the source; None: ``memory_kv`` holds its keys and values.
        memory_mask : broadcasts to (B, H, T, S), optional
            True = may attend.
        rng
            Draws the dropout masks; None = no dropout.
        kv, memory_kv
            Memory of generation: keys and values of the tokens so far, to which x's are appended,
            and of the encoder's memory.

        Returns
        -------
        y : (B, T, C)
        cache : DecoderBlockCache
        """
        normed, attention_norm = self.attention_norm(x)
        update, attention = self.attention(normed, None, True, rng, kv)
        update, attention_dropout = self.dropout(update, rng)
        x, _ = ops.add_forward(x, update)

        normed, cross_attention_norm = self.cross_attention_norm(x)
        update, cross_attention = self.cross_attention(normed, memory, memory_mask, rng, memory_kv)
        update, cross_attention_dropout = self.dropout(update, rng)
        x, _ = ops.add_forward(x, update)

        normed, feed_forward_norm = self.feed_forward_norm(x)
        update, feed_forward = self.feed_forward(normed)
        update, feed_forward_dropout = self.dropout(update, rng)
        y, _ = ops.add_forward(x, update)
        return y, DecoderBlockCache(
            attention_norm,
            attention,
            attention_dropout,
            cross_attention_norm,
            cross_attention,
            cross_attention_dropout,
            feed_forward_norm,
            feed_forward,
            feed_forward_dropout,
        )

    def backward(self, dy: np.ndarray, cache: DecoderBlockCache) -> tuple[np.ndarray, np.ndarray]:
        """Gradients ``(dx, dmemory)``."""
        # y = x + update: the gradient goes both ways and meets again at x
        dupdate = self.dropout.backward(dy, cache.feed_forward_dropout)
        dnormed = self.feed_forward.backward(dupdate, cache.feed_forward)
        dx = self.feed_forward_norm.backward(dnormed, cache.feed_forward_norm)
        ops.accumulate(dx, dy)

        dy = dx
        dupdate = self.dropout.backward(dy, cache.cross_attention_dropout)
        dnormed, dmemory = self.cross_attention.backward(dupdate, cache.cross_attention)
        dx = self.cross_attention_norm.backward(dnormed, cache.cross_attention_norm)
        ops.accumulate(dx, dy)

        dy = dx
        dupdate = self.dropout.backward(dy, cache.attention_dropout)
        dnormed = self.attention.backward(dupdate, cache.attention)
        dx = self.attention_norm.backward(dnormed, cache.attention_norm)
        ops.accumulate(dx, dy)
        return dx, dmemory


class PostNormDecoderBlock(_DecoderBlock):
    """Norm last: ``norm(x + part(x))`` for self-attention, cross-attention and feed-forward.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762.
    """

    def __call__(
        self,
        x: np.ndarray,
        memory: np.ndarray | None,
        memory_mask: np.ndarray | None = None,
        rng: np.random.Generator | None = None,
        kv: LayerKeyValues | None = None,
        memory_kv: LayerKeyValues | None = None,
    ) -> tuple[np.ndarray, DecoderBlockCache]:
        """Map x (B, T, C) to the same shape; arguments as for :class:`PreNormDecoderBlock`."""
        update, attention = self.attention(x, None, True, rng, kv)
        update, attention_dropout = self.dropout(update, rng)
        total, _ = ops.add_forward(x, update)
        x, attention_norm = self.attention_norm(total)

        update, cross_attention = self.cross_attention(x, memory, memory_mask, rng, memory_kv)
        update, cross_attention_dropout = self.dropout(update, rng)
        total, _ = ops.add_forward(x, update)
        x, cross_attention_norm = self.cross_attention_norm(total)

        update, feed_forward = self.feed_forward(x)
        update, feed_forward_dropout = self.dropout(update, rng)
        total, _ = ops.add_forward(x, update)
        y, feed_forward_norm = self.feed_forward_norm(total)
        return y, DecoderBlockCache(
            attention_norm,
            attention,
            attention_dropout,
            cross_attention_norm,
            cross_attention,
            cross_attention_dropout,
            feed_forward_norm,
            feed_forward,
            feed_forward_dropout,
        )

    def backward(self, dy: np.ndarray, cache: DecoderBlockCache) -> tuple[np.ndarray, np.ndarray]:
        """Gradients ``(dx, dmemory)``."""
        dtotal = self.feed_forward_norm.backward(dy, cache.feed_forward_norm)
        # total = x + update: the gradient goes both ways and meets again at x
        dupdate = self.dropout.backward(dtotal, cache.feed_forward_dropout)
        dx = self.feed_forward.backward(dupdate, cache.feed_forward)
        ops.accumulate(dx, dtotal)

        dtotal = self.cross_attention_norm.backward(dx, cache.cross_attention_norm)
        dupdate = self.dropout.backward(dtotal, cache.cross_attention_dropout)
        dx, dmemory = self.cross_attention.backward(dupdate, cache.cross_attention)
        ops.accumulate(dx, dtotal)

        dtotal = self.attention_norm.backward(dx, cache.attention_norm)
        dupdate = self.dropout.backward(dtotal, cache.attention_dropout)
        dx = self.attention.backward(dupdate, cache.attention)
        ops.accumulate(dx, dtotal)
        return dx, dmemory
