"""Mistakes in undoing broadcasting, and in running attention with its projections backwards."""

from minitransformer.nn.attention import _mix_backward, multi_head_attention_backward
from minitransformer.ops.broadcasting import unbroadcast
from minitransformer.testing.mutants.base import Mutant

HEADS, HELPERS = multi_head_attention_backward, (_mix_backward,)

_DMERGED = "dmerged = attention.projection.backward(dy, cache.projection)"
_DHEADS = "(dheads,) = ops.merge_heads_backward(dmerged, cache.merge)"
_ROTATE_K = "dk = attention.rotary.backward(dk, cache.rotary_key)"
_ROTATE_Q = "dq = attention.rotary.backward(dq, cache.rotary_query)"
_DX = "return attention.query_key_value.backward(dfused, cache.query_key_value)"

_AXES = "axes = (*range(added), *repeated)"
_SUM = "gradient.sum(axis=axes)"
_SUMMED = "return gradient.sum(axis=axes).reshape(shape) if axes else gradient"
_SPLIT = "(dfused,) = ops.split_heads_backward((dq, dk, dv), cache.split)"

MUTANTS = (
    Mutant(
        "added_axes_only",
        unbroadcast,
        {_AXES: "axes = tuple(range(added))"},
        "Broadcasting only adds axes in front.",
        "It also stretches axes of length 1, as (2, 1) to (2, 3): these must be summed too.",
    ),
    Mutant(
        "stretched_axes_only",
        unbroadcast,
        {_AXES: "axes = tuple(repeated)"},
        "Broadcasting only stretches axes of length 1.",
        "It also adds axes in front, as (3,) to (2, 3): these must be summed too.",
    ),
    Mutant(
        "broadcast_axes_added_behind",
        unbroadcast,
        {
            _SUMMED: "gradient = gradient.sum(axis=tuple(range(len(shape), gradient.ndim)))\n"
            "    axes = [i for i, size in enumerate(shape) if size == 1]\n"
            "    return gradient.sum(axis=tuple(axes), keepdims=True) if axes else gradient"
        },
        "Broadcasting adds axes behind.",
        "In front, as from (3,) to (2, 3): which axis must be summed?",
    ),
    Mutant(
        "broadcast_gradient_averaged",
        unbroadcast,
        {_SUM: "gradient.mean(axis=axes)"},
        "An argument that was repeated gets the mean of its gradients.",
        "Each copy adds its own effect on the loss.",
    ),
    Mutant(
        "shapes_aligned_to_the_left",
        unbroadcast,
        {
            "        added + axis\n": "        axis\n",
            "gradient.shape[added + axis]": "gradient.shape[axis]",
        },
        "Axes correspond from the left.",
        "Broadcasting compares shapes from the right: the axes in front are those that were added.",
    ),
    Mutant(
        "rotary_forgotten_backward",
        HEADS,
        {_ROTATE_K: "pass", _ROTATE_Q: "pass"},
        "Rotating queries and keys does not concern their gradients.",
        "What was turned forward must be turned back on the way to the projection.",
    ),
    Mutant(
        "rotary_of_keys_forgotten",
        HEADS,
        {_ROTATE_K: "pass"},
        "Only queries are rotated.",
        "Keys went through the same rotation: see cache.rotary_key.",
    ),
    Mutant(
        "values_rotated_backward",
        HEADS,
        {_ROTATE_Q: f"{_ROTATE_Q}\n        dv = attention.rotary.backward(dv, cache.rotary_key)"},
        "Values are rotated like queries and keys.",
        "Positions enter the scores only: which of q, k and v make the scores?",
    ),
    Mutant(
        "output_projection_forgotten",
        HEADS,
        {_DMERGED: "dmerged = dy"},
        "The gradient begins at the heads.",
        "The last line of forward is a projection: its backward comes first.",
        HELPERS,
    ),
    Mutant(
        "input_projection_forgotten",
        HEADS,
        {_DX: "return dfused"},
        "The gradient of the fused queries, keys and values is the gradient of x.",
        "They were made of x by a linear layer, and that has a backward.",
    ),
    Mutant(
        "merged_gradient_reshaped",
        HEADS,
        {_DHEADS: "dheads = dmerged.reshape(cache.merge.shape)"},
        "A reshape to (B, H, T, D) undoes the merging of heads.",
        "Merging exchanged two axes; a reshape exchanges none.",
        HELPERS,
    ),
    Mutant(
        "query_and_key_gradients_exchanged",
        HEADS,
        {"(dq, dk, dv), cache.split": "(dk, dq, dv), cache.split"},
        "Their order does not matter.",
        "The parts lie side by side as queries, keys, values.",
    ),
    Mutant(
        "dropout_inside_attention_forgotten",
        HEADS,
        {
            "return ops.attention_backward(dheads, cache.attention)": (
                "return ops.attention_backward(dheads, cache.attention._replace(keep=None))"
            )
        },
        "Dropout inside attention does not concern the backward.",
        "Pass attention's backward the very cache that its forward returned.",
        HELPERS,
    ),
    Mutant(
        "broadcast_gradient_returned_as_it_is",
        unbroadcast,
        {_SUMMED: "return gradient"},
        "The gradient has the shape that broadcasting gave it.",
        "It has its argument's shape: what was repeated forward is summed backward.",
    ),
    Mutant(
        "broadcast_first_copy",
        unbroadcast,
        {
            _SUMMED: "every = range(gradient.ndim)\n"
            "    first = tuple(0 if axis in axes else slice(None) for axis in every)\n"
            "    return gradient[first].reshape(shape)"
        },
        "All copies have the same gradient, so the first will do.",
        "Each copy met something else: their gradients add up.",
    ),
    Mutant(
        "broadcast_axes_not_kept",
        unbroadcast,
        {_SUMMED: "return gradient.sum(axis=axes) if axes else gradient"},
        "A sum over an axis of length 1 has the argument's shape.",
        "It has lost the axis: keep it, or reshape.",
    ),
    Mutant(
        "attention_values_get_the_gradient_of_keys",
        HEADS,
        {_SPLIT: _SPLIT.replace("(dq, dk, dv)", "(dq, dv, dk)")},
        "The order of keys and values does not matter.",
        "Each must go back to the features that it came from.",
    ),
    Mutant(
        "attention_queries_not_turned_back",
        HEADS,
        {_ROTATE_Q: "pass"},
        "Only keys were turned.",
        "Queries were turned as well.",
    ),
    Mutant(
        "attention_queries_alone",
        HEADS,
        {_SPLIT: _SPLIT.replace("(dq, dk, dv)", "(dq, 0 * dk, 0 * dv)")},
        "x becomes queries.",
        "And keys, and values: the gradients of all three meet at x.",
    ),
    Mutant(
        "attention_without_values",
        HEADS,
        {_SPLIT: _SPLIT.replace("(dq, dk, dv)", "(dq, dk, 0 * dv)")},
        "The gradient flows through the scores.",
        "And through the values.",
    ),
    Mutant(
        "attention_without_scores",
        HEADS,
        {_SPLIT: _SPLIT.replace("(dq, dk, dv)", "(0 * dq, 0 * dk, dv)")},
        "The gradient flows through the values.",
        "And through the scores, to queries and keys.",
    ),
)
