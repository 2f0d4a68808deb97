"""Inputs of what is composed of parts: attention with its projections, blocks, broadcasting.

A function that runs a module backwards is given a stand-in, which has a backward for each part and
nothing else: it can do what it should, and no more.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minitransformer.nn import (
    FeedForward,
    Gelu,
    LayerNorm,
    Module,
    MultiHeadAttention,
    PostNormBlock,
    PreNormBlock,
    RotaryPositions,
)
from minitransformer.nn.attention import multi_head_attention_backward
from minitransformer.nn.blocks import post_norm_block_backward, pre_norm_block_backward
from minitransformer.ops.broadcasting import unbroadcast
from minitransformer.testing.functions.base import Function, FunctionSpec
from minitransformer.testing.references import composition
from minitransformer.testing.specs import Arguments, Cases

LONGEST, D = 5, 2
SMALL, USUAL = (1, 2, 4), (3, LONGEST, 8)
"""Batch, positions and width; the first is small enough to be worked out by hand."""

Build = Callable[..., Module]


class Part(NamedTuple):
    """All that is seen of a part."""

    backward: Function


class AttentionParts(NamedTuple):
    """Stand-in for :class:`MultiHeadAttention`."""

    query_key_value: Part
    projection: Part
    rotary: Part | None


class BlockParts(NamedTuple):
    """Stand-in for either block."""

    attention_norm: Part
    attention: Part
    feed_forward_norm: Part
    feed_forward: Part
    dropout: Part


def _attention(
    width: int, rng: Any, dtype: Any, kv_heads: int | None = None, rotary: bool = False
) -> Module:
    turns = RotaryPositions(LONGEST, D, dtype=dtype) if rotary else None
    return MultiHeadAttention(
        width, width // D, rng, kv_heads=kv_heads, dropout=0.25, rotary=turns, dtype=dtype
    )


def _block(kind: type[Any], width: int, rng: Any, dtype: Any) -> Module:
    block: Module = kind(
        LayerNorm(width, dtype=dtype),
        _attention(width, rng, dtype),
        LayerNorm(width, dtype=dtype),
        FeedForward(width, width - 1, rng, activation=Gelu(), dtype=dtype),
        dropout=0.25,
    )
    return block


def _run_backward(build: Build, parts: type[Any], function: Function) -> Function:
    """Make of a module's backward a function of arrays: gradients of the input and parameters."""

    def run(
        x: Any, dy: Any, causal: bool = False, dropout_seed: int | None = None, **options: Any
    ) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        module: Any = build(x.shape[-1], rng, x.dtype, **options)
        for parameter in module.parameters():
            parameter.data[...] = 0.7 * rng.standard_normal(parameter.shape)
        keep_rng = None if dropout_seed is None else np.random.default_rng(dropout_seed)
        _, cache = module(x, causal=causal, rng=keep_rng)
        dx = function(_stand_in(module, parts), dy, cache)
        return {"dx": dx} | {f"d {name}": p.grad for name, p in module.named_parameters()}

    return run


def _stand_in(module: Any, parts: type[Any]) -> Any:
    own = (getattr(module, name) for name in parts._fields)
    return parts(*(None if part is None else Part(part.backward) for part in own))


def _gradients(
    rng: np.random.Generator, shape: tuple[int, ...] = USUAL, **options: Any
) -> Arguments:
    return {"x": rng.standard_normal(shape), "dy": rng.standard_normal(shape), **options}


def _attentions(rng: np.random.Generator) -> Cases:
    draw = partial(_gradients, rng)
    return {
        "two positions": draw(SMALL),
        "causal": draw(causal=True),
        "rotary": draw(rotary=True),
        "grouped queries": draw(kv_heads=2),
        "dropout": draw(dropout_seed=1),
        "everything": draw(causal=True, rotary=True, kv_heads=1, dropout_seed=2),
    }


def _blocks(rng: np.random.Generator) -> Cases:
    draw = partial(_gradients, rng)
    return {
        "two positions": draw(SMALL),
        "causal": draw(causal=True),
        "dropout": draw(dropout_seed=1),
    }


def _unbroadcast(rng: np.random.Generator) -> Cases:
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "nothing repeated": ((2, 3), (2, 3)),
        "an axis in front": ((2, 3), (3,)),
        "two axes in front": ((4, 2, 3), (3,)),
        "a stretched axis": ((2, 3), (2, 1)),
        "a stretched first axis": ((2, 3), (1, 3)),
        "both": ((4, 2, 3), (1, 3)),
        "an axis in front, one stretched": ((3, 3, 3), (3, 1)),
        "everything": ((2, 3), (1, 1)),
        "an axis of length 1 that was not stretched": ((2, 1, 3), (1, 1, 3)),
    }
    return {
        label: {"gradient": rng.standard_normal(repeated), "shape": shape}
        for label, (repeated, shape) in shapes.items()
    }


def _of_module(
    function: Function, reference: Function, inputs: Any, build: Build, parts: type[Any]
) -> FunctionSpec:
    harness = partial(_run_backward, build, parts)
    return FunctionSpec(function.__name__, function, harness(reference), inputs, harness)


COMPOSITION = (
    FunctionSpec("unbroadcast", unbroadcast, composition.unbroadcast, _unbroadcast),
    _of_module(
        multi_head_attention_backward,
        composition.multi_head_attention_backward,
        _attentions,
        _attention,
        AttentionParts,
    ),
    _of_module(
        pre_norm_block_backward,
        composition.pre_norm_block_backward,
        _blocks,
        partial(_block, PreNormBlock),
        BlockParts,
    ),
    _of_module(
        post_norm_block_backward,
        composition.post_norm_block_backward,
        _blocks,
        partial(_block, PostNormBlock),
        BlockParts,
    ),
)
