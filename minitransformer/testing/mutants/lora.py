"""Mistakes in low-rank adaptation."""

from minitransformer.nn import lora_backward, lora_forward, lora_merge
from minitransformer.testing.mutants.base import Mutant

_CHANGE = "change, _ = ops.matmul_forward(a, b)"
_SCALED = "ops.scale_(change, scale)"
_ADDED = "ops.accumulate(change, w)"

MUTANTS = (
    Mutant(
        "lora_without_scale",
        lora_forward,
        {"ops.scale_(low, scale)": "pass"},
        "The scale can be learnt by a and b, so it can be left out.",
        "Then another rank needs another learning rate; what is alpha / R for?",
    ),
    Mutant(
        "lora_scales_the_frozen_part",
        lora_forward,
        {
            "ops.scale_(low, scale)": "pass",
            "ops.accumulate(y, update)": "ops.accumulate(y, update)\n    ops.scale_(y, scale)",
        },
        "The scale belongs to the whole layer.",
        "With b = 0 the layer must still be the one that it was before: what becomes of x w?",
    ),
    Mutant(
        "lora_scales_the_frozen_part_alone",
        lora_forward,
        {"ops.scale_(low, scale)": "ops.scale_(y, scale)"},
        "The scale is the weight of the frozen part.",
        "It is the weight of the change: with b = 0 the layer must still be what it was.",
    ),
    Mutant(
        "lora_frozen_part_missing",
        lora_forward,
        {"ops.accumulate(y, update)": "y = update"},
        "a and b take the place of w.",
        "They are a change of w: something is added to the frozen x w.",
    ),
    Mutant(
        "lora_scale_twice",
        lora_forward,
        {"ops.accumulate(y, update)": "ops.scale_(update, scale)\n    ops.accumulate(y, update)"},
        "Both thin matrices are scaled.",
        "The product a b is scaled once.",
    ),
    Mutant(
        "lora_da_without_scale",
        lora_backward,
        {"ops.scale_(dlow, scale)": "pass"},
        "The scale is a constant, so it has no part in the gradients.",
        "It has no gradient of its own, but what passes through it is multiplied by it.",
    ),
    Mutant(
        "lora_dx_without_frozen_part",
        lora_backward,
        {"ops.accumulate(dx, through_w)": "pass"},
        "w is frozen, so no gradient flows through it.",
        "w itself gets none; but y depends on x through w, and earlier layers wait for dx.",
    ),
    Mutant(
        "lora_dx_without_the_change",
        lora_backward,
        {"ops.accumulate(dx, through_w)": "dx = through_w"},
        "The gradient of x comes through w.",
        "x is used twice: once with w, once with a.",
    ),
    Mutant(
        "lora_dx_scales_the_frozen_part",
        lora_backward,
        {"ops.accumulate(dx, through_w)": "ops.accumulate(dx, scale * through_w)"},
        "Everything in this layer is scaled.",
        "Only the change is: look at which products the scale stands in.",
    ),
    Mutant(
        "merge_without_scale",
        lora_merge,
        {"ops.scale_(change, scale)": "pass"},
        "Merged weights need no scale.",
        "The merged layer must give the same y: what does forward multiply x a b by?",
    ),
    Mutant(
        "merge_without_w",
        lora_merge,
        {"ops.accumulate(change, w)": "pass"},
        "The product of a and b is the new matrix.",
        "It is what is added to the old one.",
    ),
    Mutant(
        "merge_overwrites_w",
        lora_merge,
        {
            "ops.accumulate(change, w)": "ops.accumulate(w, change)",
            "return change": "return w",
        },
        "w can be changed on the spot, as nobody needs the old one.",
        "w belongs to the caller, who may want to merge another change: return a new array.",
    ),
    Mutant(
        "lora_divides_by_scale",
        lora_merge,
        {_SCALED: "ops.scale_(change, 1.0 / scale if scale else float('inf'))"},
        "The change is divided by the scale.",
        "The scale is a factor.",
    ),
    Mutant(
        "lora_divides_by_rank",
        lora_merge,
        {_SCALED: "ops.scale_(change, scale / a.shape[1])"},
        "The scale is divided by the rank.",
        "It was already: the scale is alpha / R.",
    ),
    Mutant(
        "lora_scales_everything",
        lora_merge,
        {_SCALED: "pass", _ADDED: f"{_ADDED}\n    {_SCALED}"},
        "The sum is scaled.",
        "Only the change: w + scale a b.",
    ),
    Mutant(
        "lora_subtracts",
        lora_merge,
        {_SCALED: "ops.scale_(change, -scale)"},
        "The change is subtracted.",
        "It is added; with -scale it is taken out again.",
    ),
    Mutant(
        "lora_factors_swapped",
        lora_merge,
        {_CHANGE: "change, _ = ops.matmul_forward(b, a)"},
        "The change is b a, as in the paper.",
        "The paper's matrices are transposed; here a is (I, R) and b is (R, O).",
    ),
)
