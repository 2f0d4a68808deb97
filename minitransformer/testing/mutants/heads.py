"""Mistakes in splitting features into heads and merging them again."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

SPLIT, DSPLIT = ops.split_heads_forward, ops.split_heads_backward
MERGE, DMERGE = ops.merge_heads_forward, ops.merge_heads_backward

_SPLIT = "x.reshape(B, T, sum(heads), x.shape[-1] // sum(heads)).transpose(0, 2, 1, 3)"
_PARTS = "tuple(split[:, a:b].copy() for a, b in bounds)"
_CONCATENATE = "np.concatenate(dy, axis=1)"
_DSPLIT = "dsplit.transpose(0, 2, 1, 3).reshape(cache.shape)"
_MERGE = "y.reshape(B, T, H, D)[...] = x.transpose(0, 2, 1, 3)"
_DMERGE = "dy.reshape(B, T, H, D).transpose(0, 2, 1, 3)"

MUTANTS = (
    Mutant(
        "heads_split_by_reshape",
        SPLIT,
        {_SPLIT: "x.reshape(B, sum(heads), T, x.shape[-1] // sum(heads))"},
        "A reshape to (B, H, T, D) splits the heads.",
        "Reshape never moves a number: which axes have to change places?",
    ),
    Mutant(
        "heads_not_moved_forward",
        SPLIT,
        {
            _SPLIT: "x.reshape(B, T, sum(heads), x.shape[-1] // sum(heads))",
            _PARTS: "tuple(split[:, :, a:b].copy() for a, b in bounds)",
        },
        "The heads come after the positions.",
        "(B, H, T, D): each head is to be a matrix of positions and features.",
    ),
    Mutant(
        "heads_are_the_last_axis",
        SPLIT,
        {_SPLIT: "x.reshape(B, T, x.shape[-1] // sum(heads), sum(heads)).transpose(0, 3, 1, 2)"},
        "Features come first and heads last: h is x[..., h::H].",
        "Each head has a slice of neighbouring features: x[..., h D : (h + 1) D].",
    ),
    Mutant(
        "heads_split_positions_from_features",
        SPLIT,
        {
            _SPLIT: "x.transpose(0, 2, 1).reshape(B, sum(heads), x.shape[-1] // sum(heads), T)"
            ".reshape(B, sum(heads), T, -1)"
        },
        "After a transpose, any reshape to (B, H, T, D) will do.",
        "First name all four axes (B, T, H, D), then move them.",
    ),
    Mutant(
        "parts_in_reverse_order",
        SPLIT,
        {_PARTS: _PARTS.replace("in bounds)", "in tuple(bounds)[::-1])")},
        "The order of queries, keys and values does not matter.",
        "The parts come in the order in which they lie side by side.",
    ),
    Mutant(
        "split_backward_by_reshape",
        DSPLIT,
        {_DSPLIT: "dsplit.reshape(cache.shape)"},
        "A reshape to (B, T, F) moves the gradient back.",
        "Reshape never moves a number: which axes have to change places first?",
    ),
    Mutant(
        "split_backward_heads_last",
        DSPLIT,
        {_DSPLIT: "dsplit.transpose(0, 2, 3, 1).reshape(cache.shape)"},
        "Features come first and heads last.",
        "Each head has a slice of neighbouring features.",
    ),
    Mutant(
        "split_backward_parts_reversed",
        DSPLIT,
        {_CONCATENATE: "np.concatenate(dy[::-1], axis=1)"},
        "The order of queries, keys and values does not matter.",
        "The parts lie side by side in the order in which forward gave them.",
    ),
    Mutant(
        "split_backward_sums_the_parts",
        DSPLIT,
        {
            _CONCATENATE: "np.concatenate([0 * part + sum(p.mean(1, keepdims=True) for p in dy)"
            " for part in dy], axis=1)"
        },
        "The gradients of queries, keys and values add up.",
        "Each came from its own features: lay them side by side.",
    ),
    Mutant(
        "heads_merged_by_reshape",
        MERGE,
        {_MERGE: "y[...] = x.reshape(B, T, H * D)"},
        "A reshape to (B, T, H D) merges the heads.",
        "Reshape never moves a number: which axes have to change places first?",
    ),
    Mutant(
        "heads_merged_features_first",
        MERGE,
        {_MERGE: "y[...] = x.transpose(0, 2, 3, 1).reshape(B, T, H * D)"},
        "Features come first and heads last.",
        "Each head's features stay side by side.",
    ),
    Mutant(
        "heads_averaged",
        MERGE,
        {_MERGE: "y.reshape(B, T, H, D)[...] = x.mean(1, keepdims=True).transpose(0, 2, 1, 3)"},
        "The heads' results are averaged.",
        "They are laid side by side.",
    ),
    Mutant(
        "heads_summed",
        MERGE,
        {_MERGE: "y = x.sum(axis=1)"},
        "The heads' results are added up.",
        "They are laid side by side: y has H D features.",
    ),
    Mutant(
        "merge_backward_by_reshape",
        DMERGE,
        {_DMERGE: "dy.reshape(B, H, T, D)"},
        "A reshape to (B, H, T, D) moves the gradient back.",
        "Reshape never moves a number: which axes have to change places?",
    ),
    Mutant(
        "merge_backward_heads_not_moved",
        DMERGE,
        {_DMERGE: "dy.reshape(B, T, H, D)"},
        "The heads come after the positions.",
        "A gradient has its argument's shape: (B, H, T, D).",
    ),
    Mutant(
        "merge_backward_features_first",
        DMERGE,
        {_DMERGE: "dy.reshape(B, T, D, H).transpose(0, 3, 1, 2)"},
        "Features come first and heads last.",
        "Each head's features stay side by side.",
    ),
)
