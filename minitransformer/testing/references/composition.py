# ruff: noqa: D103 (the library documents them under the same names)
"""What is composed of parts, run backwards once more: as a walk along a list of parts."""

from typing import Any

import numpy as np

from minitransformer import ops

Array = np.ndarray[Any, Any]


def _back(dy: Array, *steps: tuple[Any, Any]) -> Array:
    for part, cache in steps:
        dy = part.backward(dy, cache)
    return dy


def pre_norm_block_backward(block: Any, dy: Array, cache: Any) -> Array:
    feed_forward = (
        (block.dropout, cache.feed_forward_dropout),
        (block.feed_forward, cache.feed_forward),
        (block.feed_forward_norm, cache.feed_forward_norm),
    )
    attention = (
        (block.dropout, cache.attention_dropout),
        (block.attention, cache.attention),
        (block.attention_norm, cache.attention_norm),
    )
    for branch in (feed_forward, attention):
        dy = dy + _back(dy, *branch)
    return dy


def post_norm_block_backward(block: Any, dy: Array, cache: Any) -> Array:
    feed_forward = (
        (block.dropout, cache.feed_forward_dropout),
        (block.feed_forward, cache.feed_forward),
    )
    attention = ((block.dropout, cache.attention_dropout), (block.attention, cache.attention))
    norms = (
        (block.feed_forward_norm, cache.feed_forward_norm),
        (block.attention_norm, cache.attention_norm),
    )
    for norm, branch in zip(norms, (feed_forward, attention), strict=True):
        dtotal = _back(dy, norm)
        dy = dtotal + _back(dtotal, *branch)
    return dy


def multi_head_attention_backward(attention: Any, dy: Array, cache: Any) -> Array:
    dmerged = _back(dy, (attention.projection, cache.mix.projection))
    dheads = ops.merge_heads_backward(dmerged, cache.mix.merge)[0]
    gradients = list(ops.attention_backward(dheads, cache.mix.attention))
    if attention.rotary:
        for i, own in enumerate((cache.rotary_query, cache.rotary_key)):
            gradients[i] = _back(gradients[i], (attention.rotary, own))
    dfused = ops.split_heads_backward(tuple(gradients), cache.split)[0]
    return _back(dfused, (attention.query_key_value, cache.query_key_value))


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    total = np.zeros(shape, gradient.dtype)
    for place in np.ndindex(gradient.shape):
        last = place[len(place) - len(shape) :]
        total[tuple(0 if size == 1 else i for i, size in zip(last, shape, strict=True))] += (
            gradient[place]
        )
    return total
