"""Mistakes in dropout."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.dropout_forward, ops.dropout_backward

_Y = "drop(x, keep, p)"
_DX = "drop(dy, cache.keep, cache.p)"
_KEPT = "(x.copy() if keep is None else np.where(keep, {}, 0.0).astype(x.dtype))"

MUTANTS = (
    Mutant(
        "dropout_ignored",
        FORWARD,
        {_Y: "x.copy()"},
        "Dropout happens somewhere else.",
        "keep says which elements stay: the others become 0.",
    ),
    Mutant(
        "dropout_not_scaled",
        FORWARD,
        {_Y: _KEPT.format("x")},
        "Dropout only sets values to 0.",
        "The mean must stay the same: what must the kept values be divided by?",
    ),
    Mutant(
        "dropout_scaled_by_p",
        FORWARD,
        {_Y: "drop(x, keep, 1.0 - p if p else p)"},
        "p is the probability of keeping, so kept values are divided by p.",
        "Here p is the probability of dropping, as in most libraries today.",
    ),
    Mutant(
        "dropout_multiplied",
        FORWARD,
        {_Y: _KEPT.format("x * (1.0 - p)")},
        "Kept values are multiplied by the probability of keeping.",
        "That belongs to dropout as it was first published, at test time; here the mean stays.",
    ),
    Mutant(
        "dropout_multiplied_by_p",
        FORWARD,
        {_Y: _KEPT.format("x * p")},
        "Kept values are multiplied by p.",
        "The mean must stay the same: with a share p dropped, must the rest grow or shrink?",
    ),
    Mutant(
        "dropout_keeps_the_dropped",
        FORWARD,
        {_Y: "drop(x, None if keep is None else ~keep, p)"},
        "The mask marks what is dropped.",
        "It is called keep: True stays.",
    ),
    Mutant(
        "dropout_scales_everything",
        FORWARD,
        {_Y: "(x.copy() if keep is None else x / (1.0 - p))"},
        "Dropout divides by 1 - p.",
        "The kept values; what becomes of the others?",
    ),
    Mutant(
        "dropout_scales_without_keep",
        FORWARD,
        {_Y: "drop(x, x == x if keep is None else keep, p)"},
        "Values are divided by 1 - p in any case.",
        "Without keep there is no dropout, whatever p is.",
    ),
    Mutant(
        "dropout_scaled_by_what_was_kept",
        FORWARD,
        {_Y: _KEPT.format("x / max(float(keep.mean()), 1e-12)")},
        "Kept values are divided by the share that was kept.",
        "By the probability of keeping, 1 - p: the share differs from draw to draw.",
    ),
    Mutant(
        "dropout_leaves_the_dropped",
        FORWARD,
        {_Y: "(x.copy() if keep is None else np.where(keep, x / (1.0 - p), x))"},
        "Values that are dropped are left alone.",
        "They become 0.",
    ),
    Mutant(
        "dropout_forgotten_backward",
        BACKWARD,
        {_DX: "dy.copy()"},
        "Dropout is random and therefore has no derivative.",
        "Given the mask, dropout multiplies by constants, and so does its backward.",
    ),
    Mutant(
        "dropout_not_scaled_backward",
        BACKWARD,
        {_DX: "drop(dy, cache.keep, 0.0)"},
        "Backward lets the kept ones through.",
        "By which factor did forward multiply them?",
    ),
    Mutant(
        "dropout_not_masked_backward",
        BACKWARD,
        {_DX: "(dy.copy() if cache.keep is None else dy / (1.0 - cache.p))"},
        "Backward divides by 1 - p.",
        "A dropped value had no part in y: what is its gradient?",
    ),
    Mutant(
        "dropout_multiplied_backward",
        BACKWARD,
        {
            _DX: "(dy.copy() if cache.keep is None"
            " else np.where(cache.keep, dy * (1.0 - cache.p), 0.0))"
        },
        "Forward divided, so backward multiplies.",
        "Backward multiplies by the slope: what is the slope of x / (1 - p)?",
    ),
    Mutant(
        "dropout_scaled_by_p_backward",
        BACKWARD,
        {_DX: "drop(dy, cache.keep, 1.0 - cache.p if cache.p else cache.p)"},
        "p is the probability of keeping.",
        "Here p is the probability of dropping: which factor did forward use?",
    ),
    Mutant(
        "dropout_inverted_backward",
        BACKWARD,
        {_DX: "drop(dy, None if cache.keep is None else ~cache.keep, cache.p)"},
        "The dropped elements get the gradient.",
        "A dropped value had no part in y.",
    ),
    Mutant(
        "dropout_scaled_twice_backward",
        BACKWARD,
        {_DX: "drop(drop(dy, cache.keep, cache.p), cache.keep, cache.p)"},
        "Forward scaled once, and backward scales once more.",
        "dx is dy times the slope: 1 / (1 - p), once.",
    ),
    Mutant(
        "dropout_scales_without_keep_backward",
        BACKWARD,
        {_DX: "drop(dy, dy == dy if cache.keep is None else cache.keep, cache.p)"},
        "Gradients are divided by 1 - p in any case.",
        "Without keep there was no dropout, whatever p is.",
    ),
)
