"""Mistakes in softmax and its mask."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD = ops.softmax_forward

_MASK = "x = np.where(mask, x, -np.inf)"
_EXP = "np.exp(x - np.where(top == -np.inf, 0.0, top))"
_TOTAL = "weights.sum(axis=-1, keepdims=True)"
_PROBS = "weights / np.where(total == 0.0, 1.0, total)"

MUTANTS = (
    Mutant(
        "softmax_keepdims_forgotten",
        FORWARD,
        {_TOTAL: "weights.sum(axis=-1)"},
        "A sum over the last axis can be divided by as it is.",
        "The sum lost its axis, so it is lined up with the wrong one: keepdims.",
    ),
    Mutant(
        "softmax_without_exp",
        FORWARD,
        {_EXP: "np.where(x == -np.inf, 0.0, x)"},
        "Dividing the scores by their sum makes probabilities.",
        "Scores may be negative: which function makes every number positive first?",
    ),
    Mutant(
        "softmax_over_first_axis",
        FORWARD,
        {"x.max(axis=-1": "x.max(axis=0", _TOTAL: _TOTAL.replace("-1", "0")},
        "The scores lie along axis 0.",
        "The first axis is the batch: what sums to 1 is each row, the last axis.",
    ),
    Mutant(
        "softmax_over_second_axis",
        FORWARD,
        {"x.max(axis=-1": "x.max(axis=1", _TOTAL: _TOTAL.replace("-1", "1")},
        "A row is axis 1, as in a matrix.",
        "Only in a matrix: with more axes the rows are along the last one, axis -1.",
    ),
    Mutant(
        "softmax_over_everything",
        FORWARD,
        {_TOTAL: "weights.sum()"},
        "Probabilities are weights divided by their sum.",
        "By the sum of their own row: keep that axis.",
    ),
    Mutant(
        "softmax_not_normalised",
        FORWARD,
        {_PROBS: "weights"},
        "exp makes probabilities of scores.",
        "What do the numbers of a row have to sum to?",
    ),
    Mutant(
        "softmax_is_log_softmax",
        FORWARD,
        {_PROBS: f"np.log({_PROBS})"},
        "Softmax and log-softmax are the same but for the use that is made of them.",
        "Probabilities lie between 0 and 1; is that where your numbers lie?",
    ),
    Mutant(
        "softmax_without_maximum",
        FORWARD,
        {_EXP: "np.exp(x)"},
        "Subtracting the maximum changes nothing, so it can be left out.",
        "It changes nothing on paper; what is exp(1000)?",
    ),
    Mutant(
        "one_maximum_for_all_rows",
        FORWARD,
        {"x.max(axis=-1, keepdims": "x.max(keepdims"},
        "The largest of all scores keeps every exp from overflowing.",
        "What becomes of a row whose scores all lie 2000 below it?",
    ),
    Mutant(
        "softmax_shifted_by_the_mean",
        FORWARD,
        {
            "top = x.max(axis=-1, keepdims=True, initial=-np.inf)": (
                "top = x.mean(axis=-1, keepdims=True)"
            )
        },
        "Any shift of the scores will do, so the mean may be subtracted.",
        "On paper; which shift makes sure that no exponent is positive?",
    ),
    Mutant(
        "softmax_mask_ignored",
        FORWARD,
        {_MASK: "pass"},
        "The mask is somebody else's business.",
        "A position that does not take part has probability 0: where does your code use the mask?",
    ),
    Mutant(
        "softmax_mask_inverted",
        FORWARD,
        {_MASK: "x = np.where(mask, -np.inf, x)"},
        "True in a mask means masked out.",
        "Here True means: takes part.",
    ),
    Mutant(
        "softmax_mask_by_zero",
        FORWARD,
        {_MASK: "x = np.where(mask, x, 0.0).astype(x.dtype)"},
        "A score of 0 means no attention.",
        "exp(0) is 1; which score has the weight 0?",
    ),
    Mutant(
        "softmax_mask_added",
        FORWARD,
        {_MASK: "x = x + mask"},
        "A mask is added to the scores.",
        "A mask of 0 and minus infinity is; this one is boolean, and True counts as 1.",
    ),
    Mutant(
        "softmax_mask_by_minus_1e9",
        FORWARD,
        {_MASK: "x = np.where(mask, x, -1e9).astype(x.dtype)"},
        "-1e9 is as good as minus infinity.",
        "What does a row get in which nothing takes part, when all its scores are -1e9?",
    ),
    Mutant(
        "softmax_mask_subtracts_1e9",
        FORWARD,
        {_MASK: "x = x - (1e9 * ~mask).astype(x.dtype)"},
        "Subtracting 1e9 is as good as minus infinity.",
        "What does a row get in which nothing takes part, when 1e9 is subtracted from all of it?",
    ),
    Mutant(
        "softmax_mask_after_softmax",
        FORWARD,
        {_MASK: "pass", _PROBS: f"{_PROBS} * (True if mask is None else mask)"},
        "Hiding a position means setting its probability to 0.",
        "What do the remaining probabilities of a row sum to?",
    ),
    Mutant(
        "masked_maximum_subtracted",
        FORWARD,
        {_MASK: "pass", _EXP: f"{_EXP} * (True if mask is None else mask)"},
        "The maximum may be taken before the mask is looked at.",
        "If the largest score is hidden, what is left of the others after subtracting it?",
    ),
    Mutant(
        "masked_rows_are_nan",
        FORWARD,
        {"np.where(total == 0.0, 1.0, total)": "total"},
        "A row always has something to attend to.",
        "In a padded batch it may not: 0 / 0 is NaN, and NaN spreads.",
    ),
    *(
        Mutant(
            f"softmax_total_plus_{eps}",
            FORWARD,
            {"np.where(total == 0.0, 1.0, total)": f"(total + {eps})"},
            "A small number added to the total keeps the division from failing at no cost.",
            "Rows then sum to a little less than 1. With the maximum subtracted, how small can a "
            "total be?",
        )
        for eps in ("1e-5", "1e-6", "1e-7", "1e-8")
    ),
)
