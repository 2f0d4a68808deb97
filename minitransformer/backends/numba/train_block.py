"""A block for many tokens, in seven kernels forward and eleven backward.

Op by op it would be fourteen and thirty. Each takes microseconds to begin, and reads and writes
memory once more. Here

* GELU and the residual sums are the ends of products, whose results are still in the cache;
* heads are neither split nor merged: attention reads and writes them where they lie;
* gradients of parameters are added to where they belong as they are computed.

The caches are those that the parts would have left: backward may also go op by op.
"""

from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.activations import SlopeCache
from minitransformer.backends.numba.arrays import own
from minitransformer.backends.numba.attention import FlashAttentionCache, attend, attend_backward
from minitransformer.backends.numba.endings import GELU, NOTHING, PLUS, TIMES
from minitransformer.backends.numba.layer_norm import LayerNormCache, input_gradient
from minitransformer.backends.numba.linear import add_gradients, affine
from minitransformer.backends.numba.matvec import FEW
from minitransformer.backends.numba.threads import Array
from minitransformer.nn.attention import MixCache, MultiHeadAttention, MultiHeadAttentionCache
from minitransformer.nn.blocks import (
    BlockCache,
    PreNormBlock,
    pre_norm_block,
    pre_norm_block_backward,
)
from minitransformer.nn.feed_forward import FeedForward, FeedForwardCache
from minitransformer.nn.key_values import LayerKeyValues
from minitransformer.nn.layers import Gelu, LayerNorm, Linear
from minitransformer.nn.parameter import Parameter
from minitransformer.ops.heads import MergeHeadsCache, SplitHeadsCache
from minitransformer.ops.linear import LinearCache

_op_by_op = pre_norm_block.impls["numpy"]
_op_by_op_backward = pre_norm_block_backward.impls["numpy"]
_layer_norm = ops.layer_norm_forward.impls["numba"]


@kernel("numba", pre_norm_block)
def many_tokens(
    block: PreNormBlock,
    x: Array,
    mask: Array | None = None,
    causal: bool = False,
    rng: np.random.Generator | None = None,
    kv: LayerKeyValues | None = None,
) -> tuple[Array, BlockCache]:
    """Run a block of GPT-2's kind in few kernels, and any other op by op."""
    is_plain = mask is None and kv is None and (rng is None or not _drops(block))
    if not (is_plain and _is_known(block) and _fits(block, x)):
        return _op_by_op(block, x, mask, causal, rng, kv)  # type: ignore[no-any-return]
    attention, x = block.attention, own(x)
    feed_forward: Any = block.feed_forward
    normed, attention_norm = _normed(block.attention_norm, x)
    fused, query_key_value = _affine(attention.query_key_value, normed)
    heads = np.empty_like(x)
    (y,) = _by_head(heads, attention.heads[:1])
    q, k, v = _by_head(fused, attention.heads)
    mix = attend(q, k, v, y, causal=causal)
    x, projection = _affine(attention.projection, heads, PLUS, x)

    normed, feed_forward_norm = _normed(block.feed_forward_norm, x)
    slope = np.empty((*x.shape[:2], feed_forward.expand.weight.shape[1]), x.dtype)
    active, expand = _affine(feed_forward.expand, normed, GELU, slope)
    y, contract = _affine(feed_forward.contract, active, PLUS, x)
    split = SplitHeadsCache(fused.shape, attention.heads, x.dtype)
    mixed = MixCache(mix, MergeHeadsCache(mix.y.shape, x.dtype), projection)
    return y, BlockCache(
        attention_norm,
        MultiHeadAttentionCache(query_key_value, split, None, None, mixed),
        None,
        feed_forward_norm,
        FeedForwardCache(expand, SlopeCache(slope), contract),
        None,
    )


@kernel("numba", pre_norm_block_backward)
def many_tokens_backward(block: PreNormBlock, dy: Array, cache: BlockCache) -> Array:
    """Go back in few kernels where that is how forward came, or could have come."""
    if not (_is_known(block) and _is_own(cache) and _fits(block, dy)):
        return _op_by_op_backward(block, dy, cache)  # type: ignore[no-any-return]
    attention, mix = block.attention, cache.attention.mix
    feed_forward: Any = block.feed_forward
    expand, activation, contract = cache.feed_forward
    dhidden = _affine_backward(feed_forward.contract, dy, contract, TIMES, activation.slope)
    dnormed = _affine_backward(feed_forward.expand, dhidden, expand)
    dy = _normed_backward(block.feed_forward_norm, dnormed, cache.feed_forward_norm, dy)

    dheads = _affine_backward(attention.projection, dy, mix.projection)
    dfused = np.empty(cache.attention.split.shape, dy.dtype)
    (dmixed,) = _by_head(dheads, attention.heads[:1])
    attend_backward(dmixed, mix.attention, *_by_head(dfused, attention.heads))
    dnormed = _affine_backward(attention.query_key_value, dfused, cache.attention.query_key_value)
    return _normed_backward(block.attention_norm, dnormed, cache.attention_norm, dy)


def _drops(block: PreNormBlock) -> bool:
    return bool(block.dropout.p or block.attention.dropout)


def _is_known(block: PreNormBlock) -> bool:
    """Whether all parts are of the kinds that are known here, and learn."""
    attention, feed_forward = block.attention, block.feed_forward
    if type(attention) is not MultiHeadAttention or type(feed_forward) is not FeedForward:
        return False
    both = attention.query_key_value, attention.projection
    layers = *both, feed_forward.expand, feed_forward.contract
    norms, activation = (block.attention_norm, block.feed_forward_norm), feed_forward.activation
    return (
        all(type(layer) is Linear and _learns(layer.weight, layer.bias) for layer in layers)
        and all(type(norm) is LayerNorm and _learns(norm.gamma, norm.beta) for norm in norms)
        and type(activation) is Gelu
        and activation.approximate == "tanh"
        and attention.rotary is None
        and len({*attention.heads}) == 1
    )


def _learns(weight: Parameter, bias: Parameter | None) -> bool:
    return not (weight.frozen or (bias is not None and bias.frozen))


def _fits(block: PreNormBlock, x: Array) -> bool:
    """Whether x has the width and type of the block, and more rows than need no packing."""
    gamma = block.attention_norm.gamma
    return (
        type(x) is np.ndarray
        and x.ndim == 3
        and x.shape[1] > 1
        and x.shape[0] * x.shape[1] > FEW
        and x.shape[2] == gamma.size
        and x.dtype == gamma.dtype
    )


def _is_own(cache: Any) -> bool:
    """Whether the caches are such as this backend leaves where nothing is dropped or masked."""
    return (
        type(cache.attention_norm) is LayerNormCache
        and type(cache.attention.mix.attention) is FlashAttentionCache
        and type(cache.feed_forward.activation) is SlopeCache
        and cache.attention_dropout is None
        and cache.feed_forward_dropout is None
    )


def _by_head(x: Array, heads: tuple[int, ...]) -> Array:
    """See (B, T, parts H D) as (B, H, T, D) for each part, of H heads each."""
    B, T, F = x.shape
    by_head = x.reshape(B, T, len(heads), heads[0], F // sum(heads))
    return by_head.transpose(2, 0, 3, 1, 4)


def _normed(norm: Any, x: Array) -> tuple[Array, LayerNormCache]:
    return _layer_norm(x, norm.gamma.data, norm.beta.data, norm.eps)  # type: ignore[no-any-return]


def _normed_backward(norm: Any, dy: Array, cache: LayerNormCache, residual: Array) -> Array:
    """Gradient of x, of which the residual path has a share."""
    return input_gradient(dy, cache, norm.gamma.grad, norm.beta.grad, residual)


def _affine(
    layer: Linear, x: Array, ending: int = NOTHING, other: Array | None = None
) -> tuple[Array, LinearCache]:
    bias = None if layer.bias is None else layer.bias.data
    return affine(x, layer.weight.data, bias, ending, other), LinearCache(
        x, layer.weight.data, bias is not None, False
    )


def _affine_backward(
    layer: Linear,
    dy: Array,
    cache: LinearCache,
    ending: int = NOTHING,
    other: Array | None = None,
) -> Array:
    bias = None if layer.bias is None else layer.bias.grad
    return add_gradients(dy, cache, layer.weight.grad, bias, ending, other)
