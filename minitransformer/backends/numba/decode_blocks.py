"""All blocks of a model for one token of one text, as a single kernel.

A token is little work: microseconds for each op, while a call from Python takes ten, and forty when
the weights that stream through the caches have left nothing of Python there. So what a model does
most often runs in one go, in the steps of :mod:`.decode_steps`; the weights keep streaming.

There is no way back through such a token, and none is needed: it is taken only where there is a
memory ``kv``, and what that holds came from earlier calls, to which no gradient finds back. The
caches are None.
"""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from operator import is_
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import is_plain
from minitransformer.backends.numba.decode_steps import BLOCK, Shape, run_steps
from minitransformer.backends.numba.threads import Array
from minitransformer.nn.attention import MultiHeadAttention
from minitransformer.nn.blocks import BlockCache, PreNormBlock
from minitransformer.nn.feed_forward import FeedForward, SwigluFeedForward
from minitransformer.nn.key_values import KeyValues, LayerKeyValues
from minitransformer.nn.layers import Gelu, LayerNorm, Linear, Relu, RMSNorm
from minitransformer.nn.positions import RotaryPositions
from minitransformer.nn.stack import run_blocks

_textbook = run_blocks.impls["numpy"]
_plans: WeakKeyDictionary[KeyValues, "Plan"] = WeakKeyDictionary()


class Parts(NamedTuple):
    """What a block is made of."""

    kind: tuple[Any, ...]
    """What must be alike in all blocks: numbers of heads, both eps, whether gated, interleaved."""
    arrays: tuple[Array | None, ...]
    """In the order of :data:`.decode_steps.BLOCK`."""


class Plan(NamedTuple):
    """What stays the same from token to token."""

    kind: tuple[Any, ...]
    arrays: list[Array | None]
    addresses: Array
    shape: Array
    capacity: int
    scratch: Array


@kernel("numba", run_blocks)
def in_one_go(
    blocks: Sequence[PreNormBlock],
    x: Array,
    mask: Array | None = None,
    causal: bool = False,
    rng: np.random.Generator | None = None,
    kv: KeyValues | None = None,
) -> tuple[Array, tuple[BlockCache | None, ...]]:
    """Do one token of one text in one go, and all else block by block."""
    if kv is not None and x.shape[:2] == (1, 1) and mask is None and rng is None and is_plain(x):
        plan = _plan(blocks, x, kv)
        if plan is not None and kv.length < plan.capacity:
            return _read(x, kv, plan), (None,) * len(blocks)
    return _textbook(blocks, x, mask, causal, rng, kv)  # type: ignore[no-any-return]


def _plan(blocks: Sequence[PreNormBlock], x: Array, kv: KeyValues) -> Plan | None:
    """Find the plan that was made for these arrays, or make one; None if they do not fit."""
    found = [_parts(block, layer) for block, layer in zip(blocks, kv.layers, strict=True)]
    parts = [each for each in found if each is not None]
    if len(parts) < len(found) or any(each.kind != parts[0].kind for each in parts):
        return None
    kind = x.shape, x.dtype, *parts[0].kind
    arrays = list(chain.from_iterable(each.arrays for each in parts))
    plan = _plans.get(kv)
    if plan is None or plan.kind != kind or not all(map(is_, arrays, plan.arrays)):
        plan = _new_plan(kind, arrays)
        if plan is not None:
            _plans[kv] = plan
    return plan


def _parts(block: PreNormBlock, layer: LayerKeyValues) -> Parts | None:
    """Collect the arrays; None if a part of the block is of another kind than those known here."""
    attention, feed_forward = block.attention, block.feed_forward
    norms, rotary = (block.attention_norm, block.feed_forward_norm), attention.rotary
    expand: Any
    gate: Any
    if type(feed_forward) is SwigluFeedForward:
        expand, gate = feed_forward.up, feed_forward.gate
    elif type(feed_forward) is FeedForward and _is_gelu(feed_forward.activation):
        expand, gate = feed_forward.expand, None
    else:
        return None
    layers = attention.query_key_value, attention.projection, expand, gate, feed_forward.contract
    if not (
        type(attention) is MultiHeadAttention
        and all(type(layer) is Linear or layer is None for layer in layers)
        and all(type(norm) in (LayerNorm, RMSNorm) for norm in norms)
        and (rotary is None or type(rotary) is RotaryPositions)
    ):
        return None
    is_interleaved = rotary is not None and rotary.interleaved
    kind = attention.heads, norms[0].eps, norms[1].eps, gate is not None, is_interleaved
    angles = (rotary.cos, rotary.sin) if rotary else (None, None)
    pairs = (*map(_of_norm, norms), *map(_of_linear, layers), angles, (layer.keys, layer.values))
    return Parts(kind, tuple(chain.from_iterable(pairs)))


def _is_gelu(activation: Gelu | Relu) -> bool:
    return type(activation) is Gelu and activation.approximate == "tanh"


def _of_norm(norm: LayerNorm | RMSNorm) -> tuple[Array, Array | None]:
    return norm.gamma.data, norm.beta.data if type(norm) is LayerNorm else None


def _of_linear(layer: Linear | None) -> tuple[Array | None, Array | None]:
    if layer is None:
        return None, None
    return layer.weight.data, None if layer.bias is None else layer.bias.data


def _new_plan(kind: tuple[Any, ...], arrays: list[Any]) -> Plan | None:
    """Note where all arrays are, if they are plain, of one dtype, and fit together."""
    x_shape, dtype, (heads, key_heads, _), *eps, is_gated, is_interleaved = kind
    names = BLOCK.names or ()
    first = dict(zip(names, arrays, strict=False))
    _, _, capacity, head_width = first["keys"].shape
    shape = Shape(
        width=x_shape[2],
        heads=heads,
        key_heads=key_heads,
        head_width=head_width,
        hidden=len(first["contract_weight"]),
        capacity=capacity,
        attention_eps=float(eps[0]),
        feed_forward_eps=float(eps[1]),
        is_gated=is_gated,
        is_interleaved=is_interleaved,
    )
    shapes = shape.arrays() * (len(arrays) // len(names))
    if not all(map(partial(_fits, dtype), arrays, shapes)):
        return None
    addresses = np.array([0 if array is None else array.ctypes.data for array in arrays], np.int64)
    scratch = np.empty(shape.room(), dtype)
    return Plan(kind, arrays, addresses.view(BLOCK), shape.record(), capacity, scratch)


def _fits(dtype: np.dtype[Any], array: Any, shape: tuple[int, ...]) -> bool:
    return array is None or (is_plain(array) and array.dtype == dtype and array.shape == shape)


def _read(x: Array, kv: KeyValues, plan: Plan) -> Array:
    y = np.empty_like(x)
    run_steps(plan.scratch, plan.addresses, plan.shape, kv.length, x[0, 0], y[0, 0])
    end = kv.length + 1
    for layer in kv.layers:
        layer.extend(layer.keys[:, :, :end], layer.values[:, :, :end])
    return y
