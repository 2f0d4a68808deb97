"""Blocks with fewer walks through memory: sums, norms and activations of one row at once.

The parts are those of :mod:`minitransformer.nn.blocks`, in the same order, with the same caches and
the same random numbers.
"""

from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda import residual_norm
from minitransformer.backends.cuda.arrays import Array
from minitransformer.backends.cuda.bias_gelu import feed_forward_backward
from minitransformer.nn.blocks import (
    BlockCache,
    PostNormBlock,
    PreNormBlock,
    post_norm_block,
    post_norm_block_backward,
    pre_norm_block,
    pre_norm_block_backward,
)
from minitransformer.nn.key_values import LayerKeyValues


@kernel("cuda", pre_norm_block)
def pre_norm(
    block: PreNormBlock,
    x: Any,
    mask: Any = None,
    causal: bool = False,
    rng: np.random.Generator | None = None,
    kv: LayerKeyValues | None = None,
) -> tuple[Array, BlockCache]:
    """Add what attention wrote and normalise the sum at once."""
    normed, attention_norm = block.attention_norm(x)
    update, attention = block.attention(normed, mask, causal, rng, kv)
    total, normed, feed_forward_norm, attention_dropout = residual_norm.forward(
        block.feed_forward_norm, x, update, block.dropout, rng
    )
    update, feed_forward = block.feed_forward(normed)
    update, feed_forward_dropout = block.dropout(update, rng)
    y, _ = ops.add_forward(total, update)
    return y, BlockCache(
        attention_norm,
        attention,
        attention_dropout,
        feed_forward_norm,
        feed_forward,
        feed_forward_dropout,
    )


@kernel("cuda", pre_norm_block_backward)
def pre_norm_backward(block: PreNormBlock, dy: Any, cache: BlockCache) -> Array:
    """Go through each norm and add the gradient of the path around it at once."""
    dupdate = block.dropout.backward(dy, cache.feed_forward_dropout)
    dnormed = feed_forward_backward(block.feed_forward, dupdate, cache.feed_forward)
    dy = residual_norm.backward(block.feed_forward_norm, dnormed, cache.feed_forward_norm, dy)
    dupdate = block.dropout.backward(dy, cache.attention_dropout)
    dnormed = block.attention.backward(dupdate, cache.attention)
    return residual_norm.backward(block.attention_norm, dnormed, cache.attention_norm, dy)


@kernel("cuda", post_norm_block)
def post_norm(
    block: PostNormBlock,
    x: Any,
    mask: Any = None,
    causal: bool = False,
    rng: np.random.Generator | None = None,
    kv: LayerKeyValues | None = None,
) -> tuple[Array, BlockCache]:
    """Add and normalise at once; what was normalised is not wanted again."""
    update, attention = block.attention(x, mask, causal, rng, kv)
    _, x, attention_norm, attention_dropout = residual_norm.forward(
        block.attention_norm, x, update, block.dropout, rng, keep_total=False
    )
    update, feed_forward = block.feed_forward(x)
    _, y, feed_forward_norm, feed_forward_dropout = residual_norm.forward(
        block.feed_forward_norm, x, update, block.dropout, rng, keep_total=False
    )
    return y, BlockCache(
        attention_norm,
        attention,
        attention_dropout,
        feed_forward_norm,
        feed_forward,
        feed_forward_dropout,
    )


@kernel("cuda", post_norm_block_backward)
def post_norm_backward(block: PostNormBlock, dy: Any, cache: BlockCache) -> Array:
    """Add the gradient of the path around the feed-forward on the way into the norm before it."""
    dtotal = block.feed_forward_norm.backward(dy, cache.feed_forward_norm)
    dupdate = block.dropout.backward(dtotal, cache.feed_forward_dropout)
    dx = feed_forward_backward(block.feed_forward, dupdate, cache.feed_forward)
    dtotal = residual_norm.backward(
        block.attention_norm, dx, cache.attention_norm, dtotal, before=True
    )
    dupdate = block.dropout.backward(dtotal, cache.attention_dropout)
    dx = block.attention.backward(dupdate, cache.attention)
    ops.accumulate(dx, dtotal)
    return dx
