"""Mistakes in cross-entropy."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD = ops.cross_entropy_forward

_KEPT = "kept = np.asarray(targets != ignore_index)"
_TOP = "rows.max(axis=-1, keepdims=True, initial=-np.inf)"
_LOG_PROBS = "log_probs = shifted - np.log(total)"
_SURPRISE = (
    "surprise = -np.take_along_axis(log_probs, kept_targets[:, None].astype(np.intp), axis=-1)"
)
_LOSS = "loss = surprise.sum() / max(1, len(rows))"
_ZEROED = "np.where(targets == ignore_index, np.asarray(0, targets.dtype), targets)"

MUTANTS = (
    Mutant(
        "logits_taken_for_probabilities",
        FORWARD,
        {_LOG_PROBS: "log_probs = np.log(rows)"},
        "The logits are probabilities.",
        "They may be negative: softmax makes probabilities of them.",
    ),
    Mutant(
        "softmax_twice",
        FORWARD,
        {
            _LOG_PROBS: "log_probs = shifted - np.log(total)\n"
            "    again = np.exp(log_probs)\n"
            "    log_probs = again - np.log(np.exp(again).sum(axis=-1, keepdims=True))"
        },
        "Softmax is applied before cross-entropy, and cross-entropy applies it.",
        "Your probabilities pass softmax once more: are the arguments logits or probabilities?",
    ),
    Mutant(
        "log_forgotten",
        FORWARD,
        {_LOG_PROBS: "log_probs = weights / total"},
        "The loss is minus the probability of the target.",
        "Its surprise is minus the logarithm.",
    ),
    Mutant(
        "total_forgotten",
        FORWARD,
        {_LOG_PROBS: "log_probs = rows"},
        "The loss is minus the target's logit.",
        "Logits are compared: what is subtracted so that the probabilities of a row sum to 1?",
    ),
    Mutant(
        "maximum_not_added_again",
        FORWARD,
        {_LOG_PROBS: "log_probs = rows - np.log(total)"},
        "The shift by the maximum concerns the exponentials only.",
        "What was subtracted under the logarithm of the sum must be subtracted from the logit too.",
    ),
    Mutant(
        "loss_over_the_batch_axis",
        FORWARD,
        {"weights.sum(axis=-1, keepdims=True)": "weights.sum(axis=0, keepdims=True)"},
        "The exponentials are summed along axis 0.",
        "Which positions compete for probability: those of the batch, or the classes?",
    ),
    Mutant(
        "loss_over_all_classes_of_all_rows",
        FORWARD,
        {"weights.sum(axis=-1, keepdims=True)": "weights.sum()"},
        "The exponentials are summed over the whole batch.",
        "Each row is a distribution of its own.",
    ),
    Mutant(
        "cross_entropy_overflows",
        FORWARD,
        {_TOP: "np.zeros((len(rows), 1), rows.dtype)"},
        "Subtracting the maximum changes nothing, so it can be left out.",
        "It changes nothing on paper; what is exp(1000)?",
    ),
    Mutant(
        "cross_entropy_one_maximum_for_all",
        FORWARD,
        {_TOP: "rows.max(initial=-np.inf)"},
        "The largest of all logits keeps every exp from overflowing.",
        "What becomes of a row whose logits all lie 2000 below it?",
    ),
    Mutant(
        "log_of_softmax",
        FORWARD,
        {_LOG_PROBS: "log_probs = np.log(weights / total)"},
        "Cross-entropy is the logarithm of softmax, in this order.",
        "A probability of exp(-800) is 0 in float64, and its logarithm minus infinity.",
    ),
    *(
        Mutant(
            f"log_of_softmax_plus_{eps}",
            FORWARD,
            {_LOG_PROBS: f"log_probs = np.log(weights / total + {eps})"},
            "A small number added to the probabilities keeps the logarithm finite at no cost.",
            "It hides a sure mistake: the loss is never more than minus the number's logarithm. "
            "Take the logarithm of softmax on paper, not in the computer.",
        )
        for eps in ("1e-5", "1e-6", "1e-7", "1e-8", "1e-9", "1e-10", "1e-12", "1e-15")
    ),
    *(
        Mutant(
            f"log_of_softmax_clipped_at_{eps}",
            FORWARD,
            {_LOG_PROBS: f"log_probs = np.log(np.maximum(weights / total, {eps}))"},
            "Probabilities are clipped away from 0 to keep the logarithm finite.",
            "It hides a sure mistake: the loss is never more than minus the bound's logarithm. "
            "Take the logarithm of softmax on paper, not in the computer.",
        )
        for eps in ("1e-7", "1e-8", "1e-9", "1e-10", "1e-12", "1e-15")
    ),
    Mutant(
        "loss_in_bits",
        FORWARD,
        {_LOSS: f"{_LOSS} / float(np.log(2.0))"},
        "The logarithm is that of base 2.",
        "Surprise is measured in nats here, by the natural logarithm.",
    ),
    Mutant(
        "loss_sign_forgotten",
        FORWARD,
        {"surprise = -np.take": "surprise = np.take", "even = -log": "even = log"},
        "The loss is the log-probability of the target.",
        "A loss falls as the model gets better: log-probabilities rise.",
    ),
    Mutant(
        "every_row_meets_every_target",
        FORWARD,
        {
            _SURPRISE: "surprise = -log_probs[:, kept_targets].sum(axis=-1, keepdims=True)"
            " / max(1, len(rows))"
        },
        "log_probs[:, targets] picks each row's target.",
        "It picks all targets from each row: NumPy needs the number of the row as well.",
    ),
    Mutant(
        "every_target_of_the_first_row",
        FORWARD,
        {
            _SURPRISE: "surprise = -log_probs[:1][:, kept_targets].T if len(rows)"
            " else -log_probs[:, :1]"
        },
        "The targets are looked up in the first row.",
        "Each row has a target of its own.",
    ),
    Mutant(
        "ignore_index_not_handled",
        FORWARD,
        {_KEPT: "kept = np.ones(targets.shape, bool)"},
        "Every target is a class.",
        "Targets equal to ignore_index are to be left out before anything is looked up.",
    ),
    Mutant(
        "ignored_taken_for_class_zero",
        FORWARD,
        {_KEPT: f"targets = {_ZEROED}\n    kept = np.ones(targets.shape, bool)"},
        "Ignored targets are replaced by class 0.",
        "Then they count: they must add nothing to the sum, nor to the number that divides it.",
    ),
    Mutant(
        "only_minus_100_is_ignored",
        FORWARD,
        {_KEPT: "kept = np.asarray(targets != -100)"},
        "Ignored targets are -100.",
        "By default: ignore_index is an argument.",
    ),
    Mutant(
        "negative_targets_are_ignored",
        FORWARD,
        {_KEPT: "kept = np.asarray(targets >= 0)"},
        "Ignored targets are the negative ones.",
        "ignore_index is an argument, and may be any number, even a class.",
    ),
    Mutant(
        "mean_over_all_targets",
        FORWARD,
        {_LOSS: "loss = surprise.sum() / max(1, kept.size)"},
        "The loss is the mean over all positions.",
        "Ignored positions count neither in the sum nor in the number that divides it.",
    ),
    Mutant(
        "nan_when_all_is_ignored",
        FORWARD,
        {_LOSS: "loss = surprise.sum() / np.asarray(len(rows), rows.dtype)"},
        "A batch always has a target that counts.",
        "If it has none, the loss is 0, and not 0 / 0.",
    ),
    Mutant(
        "sum_for_mean",
        FORWARD,
        {_LOSS: "loss = surprise.sum()"},
        "The loss of a batch is the sum of its losses.",
        "Then the loss grows with the batch; it is the mean over the kept targets.",
    ),
    Mutant(
        "loss_divided_by_batch_size",
        FORWARD,
        {_LOSS: "loss = surprise.sum() / len(kept)"},
        "The loss is divided by the batch size.",
        "By the number of kept targets: a sequence has many.",
    ),
    Mutant(
        "loss_averaged_over_classes",
        FORWARD,
        {_LOSS: f"{_LOSS} / rows.shape[-1]"},
        "The mean runs over the classes as well.",
        "A row's loss is one number; the mean is over kept rows.",
    ),
    Mutant(
        "mean_of_means",
        FORWARD,
        {
            _LOSS: "each = np.zeros(kept.shape, rows.dtype)\n"
            "    each[kept] = surprise[:, 0]\n"
            "    loss = (each.sum(-1) / np.maximum(1, kept.sum(-1, dtype=rows.dtype))).mean()"
        },
        "First the mean of each sequence, then the mean over the batch.",
        "Sequences with fewer kept targets would weigh more: it is one mean over all of them.",
    ),
)
