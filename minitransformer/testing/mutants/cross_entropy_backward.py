"""Mistakes in the backward of cross-entropy."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

BACKWARD = ops.cross_entropy_backward

_ROWS = "rows = probs - label_smoothing / V"
_TARGET = "rows[np.arange(N), targets] -= 1.0 - label_smoothing"
_DIVIDED = "rows *= float(dy) / max(1, N)"
_PLACED = "dlogits[kept] = rows"

MUTANTS = (
    Mutant(
        "gradient_of_kept_rows_only",
        BACKWARD,
        {"return (dlogits,)": "return (rows,)"},
        "The gradient has a row for each kept target.",
        "It has the shape of the logits: ignored rows are 0.",
    ),
    Mutant(
        "loss_takes_dy_for_one",
        BACKWARD,
        {_DIVIDED: "rows /= max(1, N)"},
        "The loss is the end of the chain, so its dy is 1.",
        "The loss may be scaled, or one of several: multiply by dy.",
    ),
    Mutant(
        "gradient_of_all_targets",
        BACKWARD,
        {_DIVIDED: "rows *= float(dy) / max(1, kept.size)"},
        "The gradient is divided by the number of positions.",
        "Divide by what forward divided by.",
    ),
    Mutant(
        "loss_gradient_not_averaged",
        BACKWARD,
        {_DIVIDED: "rows *= float(dy)"},
        "The gradient is softmax minus one-hot.",
        "Of one row's loss; the loss is the mean over rows.",
    ),
    Mutant(
        "gradient_divided_by_batch_size",
        BACKWARD,
        {_DIVIDED: "rows *= float(dy) / len(kept)"},
        "The gradient is divided by the batch size.",
        "By the number of kept targets, as in forward: a sequence has many.",
    ),
    Mutant(
        "gradient_averaged_over_classes",
        BACKWARD,
        {_DIVIDED: "rows *= float(dy) / max(1, N * V)"},
        "The mean runs over the classes as well.",
        "Divide by what forward divided by.",
    ),
    Mutant(
        "gradient_divided_twice",
        BACKWARD,
        {_DIVIDED: "rows *= float(dy) / max(1, N * N)"},
        "The mean divides each row, and then their sum.",
        "Forward divided once.",
    ),
    Mutant(
        "gradient_uphill",
        BACKWARD,
        {_DIVIDED: "rows *= -float(dy) / max(1, N)"},
        "The gradient is target minus probabilities.",
        "Descent goes against the gradient: is it p - q or q - p?",
    ),
    Mutant(
        "one_hot_forgotten",
        BACKWARD,
        {_TARGET: "pass"},
        "The gradient is softmax.",
        "That would push all logits down; what pulls the target's up?",
    ),
    Mutant(
        "one_hot_added",
        BACKWARD,
        {_TARGET: "rows[np.arange(N), targets] += 1.0 - label_smoothing"},
        "The gradient is softmax plus one-hot.",
        "Each row of the gradient sums to 0: what pulls the target's logit up?",
    ),
    Mutant(
        "softmax_forgotten",
        BACKWARD,
        {_ROWS: "rows = np.zeros(probs.shape, probs.dtype) - label_smoothing / V"},
        "The gradient is minus one-hot, since the loss is minus the target's logit.",
        "The loss has the logarithm of a sum over all logits as well: what is its derivative?",
    ),
    Mutant(
        "softmax_at_the_target_only",
        BACKWARD,
        {
            _PLACED: "here = np.zeros(rows.shape, bool)\n"
            "    here[np.arange(N), targets] = True\n"
            "    dlogits[kept] = np.where(here, rows, 0.0)"
        },
        "Only the target's logit enters the loss.",
        "The others enter through the sum of the exponentials.",
    ),
    Mutant(
        "gradient_of_the_log_alone",
        BACKWARD,
        {
            _ROWS: "rows = np.zeros(probs.shape, probs.dtype)",
            _TARGET: "at = np.arange(N), targets\n"
            "    rows[at] = -1.0 / np.maximum(probs[at], np.finfo(probs.dtype).tiny)",
        },
        "The derivative of -log p is -1 / p.",
        "By the probability; what is asked for is the derivative by the logits, through softmax.",
    ),
    Mutant(
        "softmax_backward_once_more",
        BACKWARD,
        {
            _DIVIDED: "expected = (rows * probs).sum(-1, keepdims=True)\n"
            f"    rows = probs * (rows - expected)\n    {_DIVIDED}"
        },
        "After p - q comes softmax's backward.",
        "p - q is the gradient at the logits already: softmax's backward is in it.",
    ),
    Mutant(
        "one_hot_in_every_row",
        BACKWARD,
        {_TARGET: "rows[:, targets] -= 1.0 - label_smoothing"},
        "rows[:, targets] picks each row's target.",
        "It picks all targets in each row: NumPy needs the number of the row as well.",
    ),
    Mutant(
        "one_hot_picks_rows",
        BACKWARD,
        {_TARGET: "rows[targets % max(1, N)] -= 1.0 - label_smoothing"},
        "rows[targets] picks each row's target.",
        "It picks whole rows: NumPy needs the number of the row as well.",
    ),
    Mutant(
        "gradient_only_where_it_is_wrong",
        BACKWARD,
        {_DIVIDED: f"rows[probs.argmax(-1) == targets] = 0.0\n    {_DIVIDED}"},
        "A row that is right already needs no gradient.",
        "The loss of a right but unsure row still falls when it gets surer.",
    ),
)
