"""A whole block for one token of one text, as a single kernel.

A token is little work: microseconds for each op, while a call from Python takes ten, and forty when
the weights that stream through the caches have left nothing of Python there. So what a model does
most often runs in one go, in the steps of :mod:`.decode_steps`; the weights keep streaming.

There is no way back through such a token, and none is needed: it is taken only where there is a
memory ``kv``, and what that holds came from earlier calls, to which no gradient finds back. The
cache is None.
"""

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import is_plain
from minitransformer.backends.numba.decode_steps import Affine, Norm, Rotary, block_step
from minitransformer.backends.numba.threads import SHARDS, Array
from minitransformer.nn.attention import MultiHeadAttention
from minitransformer.nn.blocks import BlockCache, PreNormBlock, pre_norm_block
from minitransformer.nn.feed_forward import FeedForward, SwigluFeedForward
from minitransformer.nn.key_values import LayerKeyValues
from minitransformer.nn.layers import Gelu, LayerNorm, Linear, Relu, RMSNorm
from minitransformer.nn.positions import RotaryPositions

NOTHING = {np.dtype(number): np.empty(0, number) for number in (np.float32, np.float64)}
"""Stands for a beta, a bias or angles that a block does not have."""

_textbook = pre_norm_block.impls["numpy"]
_fitting: WeakKeyDictionary[LayerKeyValues, PreNormBlock] = WeakKeyDictionary()


class Parts(NamedTuple):
    """The arrays of a block."""

    attention_norm: Norm
    query_key_value: Affine
    rotary: Rotary
    projection: Affine
    feed_forward_norm: Norm
    expand: Affine
    gate: Affine
    contract: Affine
    is_gated: bool


@kernel("numba", pre_norm_block)
def in_one_go(
    block: PreNormBlock,
    x: Array,
    mask: Array | None = None,
    causal: bool = False,
    rng: np.random.Generator | None = None,
    kv: LayerKeyValues | None = None,
) -> tuple[Array, BlockCache | None]:
    """Do one token of one text in one go, and all else op by op."""
    if kv is not None and x.shape[:2] == (1, 1) and mask is None and rng is None:
        parts = _parts(block, x, kv)
        if parts is not None and _fit(block, x, kv, parts):
            return _read(x, kv, parts), None
    return _textbook(block, x, mask, causal, rng, kv)  # type: ignore[no-any-return]


def _parts(block: PreNormBlock, x: Array, kv: LayerKeyValues) -> Parts | None:
    """Collect the arrays; None if a part of the block is of another kind than those known here."""
    attention, feed_forward, nothing = block.attention, block.feed_forward, NOTHING.get(x.dtype)
    if type(attention) is not MultiHeadAttention or nothing is None:
        return None
    if type(feed_forward) is SwigluFeedForward:
        expand, gate = feed_forward.up, feed_forward.gate
    elif type(feed_forward) is FeedForward and _is_gelu(feed_forward.activation):
        expand = gate = feed_forward.expand
    else:
        return None
    layers = attention.query_key_value, attention.projection, expand, gate, feed_forward.contract
    norms = block.attention_norm, block.feed_forward_norm
    rotary = attention.rotary
    if any(type(layer) is not Linear for layer in layers):
        return None
    if any(type(norm) not in (LayerNorm, RMSNorm) for norm in norms):
        return None
    if type(rotary) not in (RotaryPositions, type(None)):
        return None
    query_key_value, projection, up, opening, contract = (
        (layer.weight.data, nothing if layer.bias is None else layer.bias.data) for layer in layers
    )
    return Parts(
        _norm(block.attention_norm, nothing),
        query_key_value,
        _angles(rotary, kv.length, nothing),
        projection,
        _norm(block.feed_forward_norm, nothing),
        up,
        opening,
        contract,
        gate is not expand,
    )


def _is_gelu(activation: Gelu | Relu) -> bool:
    return type(activation) is Gelu and activation.approximate == "tanh"


def _norm(norm: LayerNorm | RMSNorm, nothing: Array) -> Norm:
    return norm.gamma.data, norm.beta.data if type(norm) is LayerNorm else nothing, float(norm.eps)


def _angles(rotary: RotaryPositions | None, position: int, nothing: Array) -> Rotary:
    if rotary is None:
        return nothing, nothing, False
    return rotary.cos[position], rotary.sin[position], rotary.interleaved


def _fit(block: PreNormBlock, x: Array, kv: LayerKeyValues, parts: Parts) -> bool:
    """Whether all are plain arrays of one dtype and of shapes that belong together.

    A block and a memory that were found to fit do so for all tokens to come.
    """
    if _fitting.get(kv) is not block:
        pairs: Any = parts[:-1]
        given = kv.keys, kv.values, *(array for pair in pairs for array in pair[:2])
        if not all(
            array is NOTHING[x.dtype]
            or (is_plain(array) and array.dtype == x.dtype and array.shape == shape)
            for array, shape in zip(given, _shapes(kv, parts), strict=True)
        ):
            return False
        _fitting[kv] = block
    has_room = kv.length < kv.keys.shape[2]
    return has_room and is_plain(x) and x.shape[2] == parts.attention_norm[0].size


def _shapes(kv: LayerKeyValues, parts: Parts) -> tuple[tuple[int, ...], ...]:
    """Shapes that the memory and the first two arrays of each part should have."""
    _, Hk, S, D = kv.keys.shape
    C = parts.attention_norm[0].size
    heads, hidden = len(parts.projection[0]), len(parts.contract[0])
    fused = heads + 2 * Hk * D
    attention = (C,), (C,), (C, fused), (fused,), (D // 2,), (D // 2,), (heads, C), (C,)
    feed_forward = (C,), (C,), (C, hidden), (hidden,), (C, hidden), (hidden,), (hidden, C), (C,)
    return (1, Hk, S, D), (1, Hk, S, D), *attention, *feed_forward


def _read(x: Array, kv: LayerKeyValues, parts: Parts) -> Array:
    C, fused = parts.query_key_value[0].shape
    heads, hidden = len(parts.projection[0]), len(parts.contract[0])
    room = 2 * heads + C + hidden + 2 * SHARDS * max(fused, hidden, C)
    scratch, y = np.empty(room, x.dtype), np.empty(x.shape, x.dtype)
    block_step(kv.keys, kv.values, kv.length, x, *parts, scratch, y)
    end = kv.length + 1
    kv.extend(kv.keys[:, :, :end], kv.values[:, :, :end])
    return y
