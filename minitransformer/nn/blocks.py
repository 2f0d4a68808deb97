"""Transformer blocks: attention and feed-forward, each beside a residual path."""

from typing import Any, NamedTuple

import numpy as np

from minitransformer import ops
from minitransformer.backend import op
from minitransformer.nn.attention import MultiHeadAttention, MultiHeadAttentionCache
from minitransformer.nn.feed_forward import FeedForward, SwigluFeedForward
from minitransformer.nn.key_values import LayerKeyValues
from minitransformer.nn.layers import Dropout, LayerNorm, RMSNorm
from minitransformer.nn.module import Module


class BlockCache(NamedTuple):
    """What a block's backward needs."""

    attention_norm: Any
    attention: MultiHeadAttentionCache
    attention_dropout: Any
    feed_forward_norm: Any
    feed_forward: Any
    feed_forward_dropout: Any


class _Block(Module):
    """The parts of either block.

    Parameters
    ----------
    attention_norm, feed_forward_norm
        The norms, beside the part that they belong to.
    attention, feed_forward
        The two parts that write to the residual path.
    dropout
        Probability of dropping an element of what a part writes.
    """

    def __init__(
        self,
        attention_norm: LayerNorm | RMSNorm,
        attention: MultiHeadAttention,
        feed_forward_norm: LayerNorm | RMSNorm,
        feed_forward: FeedForward | SwigluFeedForward,
        dropout: float = 0.0,
    ) -> None:
        self.attention_norm = attention_norm
        self.attention = attention
        self.feed_forward_norm = feed_forward_norm
        self.feed_forward = feed_forward
        self.dropout = Dropout(dropout)


class PreNormBlock(_Block):
    """Norm first: ``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``.

    The residual path is never normalised, so gradients reach the first block undiminished.

    References
    ----------
    Radford et al. (2019), GPT-2; Xiong et al. (2020), On Layer Normalization, arXiv:2002.04745.
    """

    def __call__(
        self,
        x: np.ndarray,
        mask: np.ndarray | None = None,
        causal: bool = False,
        rng: np.random.Generator | None = None,
        kv: LayerKeyValues | None = None,
    ) -> tuple[np.ndarray, BlockCache]:
        """Map x (B, T, C) to the same shape; arguments as for :class:`MultiHeadAttention`."""
        return pre_norm_block(self, x, mask, causal, rng, kv)

    def backward(self, dy: np.ndarray, cache: BlockCache) -> np.ndarray:
        return pre_norm_block_backward(self, dy, cache)


@op(composed=True)
def pre_norm_block(
    block: PreNormBlock,
    x: np.ndarray,
    mask: np.ndarray | None = None,
    causal: bool = False,
    rng: np.random.Generator | None = None,
    kv: LayerKeyValues | None = None,
) -> tuple[np.ndarray, BlockCache]:
    """Run a block's parts one after the other.

    Parameters
    ----------
    block
        Whose parts run.
    x : (B, T, C)
    mask, causal, rng, kv
        As for :class:`MultiHeadAttention`.

    Returns
    -------
    y : (B, T, C)
    cache : BlockCache
    """
    normed, attention_norm = block.attention_norm(x)
    update, attention = block.attention(normed, mask, causal, rng, kv)
    update, attention_dropout = block.dropout(update, rng)
    x, _ = ops.add_forward(x, update)

    normed, feed_forward_norm = block.feed_forward_norm(x)
    update, feed_forward = block.feed_forward(normed)
    update, feed_forward_dropout = block.dropout(update, rng)
    y, _ = ops.add_forward(x, update)
    return y, BlockCache(
        attention_norm,
        attention,
        attention_dropout,
        feed_forward_norm,
        feed_forward,
        feed_forward_dropout,
    )


@op(composed=True)
def pre_norm_block_backward(block: PreNormBlock, dy: np.ndarray, cache: BlockCache) -> np.ndarray:
    """Add up the gradients of the block's parameters, and return that of its input.

    Parameters
    ----------
    block
        Whose parts ran forward.
    dy : (B, T, C)
    cache : BlockCache

    Returns
    -------
    dx : (B, T, C)
    """
    # y = x + update: the gradient goes both ways and meets again at x
    dupdate = block.dropout.backward(dy, cache.feed_forward_dropout)
    dnormed = block.feed_forward.backward(dupdate, cache.feed_forward)
    dx = block.feed_forward_norm.backward(dnormed, cache.feed_forward_norm)
    ops.accumulate(dx, dy)

    dy = dx
    dupdate = block.dropout.backward(dy, cache.attention_dropout)
    dnormed = block.attention.backward(dupdate, cache.attention)
    dx = block.attention_norm.backward(dnormed, cache.attention_norm)
    ops.accumulate(dx, dy)
    return dx


class PostNormBlock(_Block):
    """Norm last: ``norm(x + attention(x))``, then ``norm(x + feed_forward(x))``, as in 2017.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need, arXiv:1706.03762.
    """

    def __call__(
        self,
        x: np.ndarray,
        mask: np.ndarray | None = None,
        causal: bool = False,
        rng: np.random.Generator | None = None,
        kv: LayerKeyValues | None = None,
    ) -> tuple[np.ndarray, BlockCache]:
        """Map x (B, T, C) to the same shape; arguments as for :class:`MultiHeadAttention`."""
        return post_norm_block(self, x, mask, causal, rng, kv)

    def backward(self, dy: np.ndarray, cache: BlockCache) -> np.ndarray:
        return post_norm_block_backward(self, dy, cache)


@op(composed=True)
def post_norm_block(
    block: PostNormBlock,
    x: np.ndarray,
    mask: np.ndarray | None = None,
    causal: bool = False,
    rng: np.random.Generator | None = None,
    kv: LayerKeyValues | None = None,
) -> tuple[np.ndarray, BlockCache]:
    """Run a block's parts one after the other; arguments as for :func:`pre_norm_block`."""
    update, attention = block.attention(x, mask, causal, rng, kv)
    update, attention_dropout = block.dropout(update, rng)
    total, _ = ops.add_forward(x, update)
    x, attention_norm = block.attention_norm(total)

    update, feed_forward = block.feed_forward(x)
    update, feed_forward_dropout = block.dropout(update, rng)
    total, _ = ops.add_forward(x, update)
    y, feed_forward_norm = block.feed_forward_norm(total)
    return y, BlockCache(
        attention_norm,
        attention,
        attention_dropout,
        feed_forward_norm,
        feed_forward,
        feed_forward_dropout,
    )


@op(composed=True)
def post_norm_block_backward(block: PostNormBlock, dy: np.ndarray, cache: BlockCache) -> np.ndarray:
    """Add up the gradients of the block's parameters, and return that of its input.

    Parameters
    ----------
    block
        Whose parts ran forward.
    dy : (B, T, C)
    cache : BlockCache

    Returns
    -------
    dx : (B, T, C)
    """
    dtotal = block.feed_forward_norm.backward(dy, cache.feed_forward_norm)
    # total = x + update: the gradient goes both ways and meets again at x
    dupdate = block.dropout.backward(dtotal, cache.feed_forward_dropout)
    dx = block.feed_forward.backward(dupdate, cache.feed_forward)
    ops.accumulate(dx, dtotal)

    dtotal = block.attention_norm.backward(dx, cache.attention_norm)
    dupdate = block.dropout.backward(dtotal, cache.attention_dropout)
    dx = block.attention.backward(dupdate, cache.attention)
    ops.accumulate(dx, dtotal)
    return dx
