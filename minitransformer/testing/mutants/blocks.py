"""Mistakes in running transformer blocks backwards."""

from typing import Any

from minitransformer.nn.blocks import post_norm_block_backward, pre_norm_block_backward
from minitransformer.testing.mutants.base import Mutant

_PRE_NORM = "dx = block.attention_norm.backward(dnormed, cache.attention_norm)"
_PRE_FORWARD_NORM = "dx = block.feed_forward_norm.backward(dnormed, cache.feed_forward_norm)"
_POST_NORM = "dtotal = block.attention_norm.backward(dx, cache.attention_norm)"
_POST_FORWARD_NORM = "dtotal = block.feed_forward_norm.backward(dy, cache.feed_forward_norm)"
_POST_ATTENTION = "dx = block.attention.backward(dupdate, cache.attention)"
_POST_FEED_FORWARD = "dx = block.feed_forward.backward(dupdate, cache.feed_forward)"


def _of_block(name: str, target: Any, residual: str) -> tuple[Mutant, ...]:
    """Mistakes that are made in either block; ``residual`` is the gradient that passes by."""
    first = f"    ops.accumulate(dx, {residual})\n\n"
    second = f"    ops.accumulate(dx, {residual})\n    return dx"
    dropout = f"block.dropout.backward({residual}, "
    return (
        Mutant(
            f"{name}_residuals_forgotten",
            target,
            {first: "\n", second: "    return dx"},
            "The gradient flows through the layers.",
            "y = x + update: it reaches x directly as well.",
        ),
        Mutant(
            f"{name}_residual_around_attention_forgotten",
            target,
            {second: "    return dx"},
            "The gradient of attention's input is what attention's backward gives.",
            "x + update: around attention, too, it flows directly.",
        ),
        Mutant(
            f"{name}_residual_around_feed_forward_forgotten",
            target,
            {first: "\n"},
            "The gradient of the feed-forward part's input is what its backward gives.",
            "x + update: around the feed-forward part, too, it flows directly.",
        ),
        Mutant(
            f"{name}_residual_twice",
            target,
            {second: f"    ops.accumulate(dx, {residual})\n{second}"},
            "The gradient of the sum goes to both summands, so it is added twice.",
            "x is one of the two summands: it gets the direct gradient once.",
        ),
        Mutant(
            f"{name}_dropout_forgotten",
            target,
            {
                f"{dropout}cache.attention_dropout)": residual,
                f"{dropout}cache.feed_forward_dropout)": residual,
            },
            "Dropout is random and therefore has no derivative.",
            "Given its mask it multiplies by constants: each update was dropped in part.",
        ),
        Mutant(
            f"{name}_dropout_of_attention_forgotten",
            target,
            {f"{dropout}cache.attention_dropout)": residual},
            "Dropout falls on the feed-forward part's update alone.",
            "Attention's update was dropped in part too: it has a mask of its own.",
        ),
        Mutant(
            f"{name}_dropout_of_feed_forward_forgotten",
            target,
            {f"{dropout}cache.feed_forward_dropout)": residual},
            "Dropout falls on attention's update alone.",
            "The feed-forward part's update was dropped in part too: it has a mask of its own.",
        ),
        Mutant(
            f"{name}_dropouts_swapped",
            target,
            {
                "cache.attention_dropout)": "cache[-1])",
                "cache.feed_forward_dropout)": "cache.attention_dropout)",
            },
            "Either mask will do.",
            "Each update has a mask of its own.",
        ),
    )


MUTANTS = (
    *_of_block("pre_norm", pre_norm_block_backward, "dy"),
    *_of_block("post_norm", post_norm_block_backward, "dtotal"),
    Mutant(
        "pre_norm_attention_gets_dy",
        pre_norm_block_backward,
        {
            "    dy = dx\n": "    top, dy = dy, dx\n",
            "backward(dy, cache.attention_dropout)": "backward(top, cache.attention_dropout)",
        },
        "Attention gets the gradient of the block's result.",
        "Between them lies the feed-forward part: attention's update went through it as well.",
    ),
    Mutant(
        "pre_norm_dy_around_attention",
        pre_norm_block_backward,
        {
            "    dy = dx\n": "    top, dy = dy, dx\n",
            "ops.accumulate(dx, dy)\n    return": "ops.accumulate(dx, top)\n    return",
        },
        "Both residual paths carry dy.",
        "Around attention flows the gradient of x1, which the feed-forward part has added to.",
    ),
    Mutant(
        "pre_norm_norms_skipped",
        pre_norm_block_backward,
        {_PRE_NORM: "dx = dnormed.copy()", _PRE_FORWARD_NORM: "dx = dnormed.copy()"},
        "The norms only rescale, so the gradient passes.",
        "A norm has a backward, and parameters that want their gradients.",
    ),
    Mutant(
        "pre_norm_residual_through_the_norm",
        pre_norm_block_backward,
        {
            _PRE_NORM: "ops.accumulate(dnormed, dy)\n"
            "    dx = block.attention_norm.backward(dnormed, cache.attention_norm)",
            "    ops.accumulate(dx, dy)\n    return dx": "    return dx",
        },
        "The residual starts behind the norm.",
        "In front of it: what is added is x itself.",
    ),
    Mutant(
        "pre_norm_is_post_norm",
        pre_norm_block_backward,
        {
            "    dupdate = block.dropout.backward(dy, cache.attention_dropout)": (
                "    dy = block.attention_norm.backward(dy, cache.attention_norm)\n"
                "    dupdate = block.dropout.backward(dy, cache.attention_dropout)"
            ),
            _PRE_NORM: "dx = dnormed",
        },
        "The norm comes behind the sum.",
        "In this block in front of the layer: the sum itself is not normalised.",
    ),
    Mutant(
        "post_norm_norms_skipped",
        post_norm_block_backward,
        {_POST_NORM: "dtotal = dx.copy()", _POST_FORWARD_NORM: "dtotal = dy.copy()"},
        "The norms only rescale, so the gradient passes.",
        "A norm has a backward, and parameters that want their gradients.",
    ),
    Mutant(
        "post_norm_residual_around_the_last_norm",
        post_norm_block_backward,
        {"    ops.accumulate(dx, dtotal)\n\n": "    ops.accumulate(dx, dy)\n\n"},
        "dy flows through the residual path as it is.",
        "The last norm stands behind the sum: dy has to come through it first.",
    ),
    Mutant(
        "post_norm_residual_around_the_norm",
        post_norm_block_backward,
        {
            _POST_NORM: f"around = dx\n    {_POST_NORM}",
            "    ops.accumulate(dx, dtotal)\n    return dx": (
                "    ops.accumulate(dx, around)\n    return dx"
            ),
        },
        "The residual goes around the norm.",
        "Into it: what is normalised is the sum.",
    ),
)
