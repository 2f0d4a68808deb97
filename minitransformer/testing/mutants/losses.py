"""Mistakes in the losses."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.cross_entropy_forward, ops.cross_entropy_backward

LOSSES = (
    Mutant(
        "mean_over_all_targets",
        FORWARD,
        {"max(1, len(rows))": "max(1, kept.size)"},
        "The loss is the mean over all positions.",
        "Ignored positions count neither in the sum nor in the number that divides it.",
    ),
    Mutant(
        "sum_for_mean",
        FORWARD,
        {"surprise.sum() / max(1, len(rows))": "surprise.sum()"},
        "The loss of a batch is the sum of its losses.",
        "Then the loss grows with the batch; it is the mean over the kept targets.",
    ),
    Mutant(
        "nan_when_all_is_ignored",
        FORWARD,
        {"max(1, len(rows))": "np.asarray(len(rows), rows.dtype)"},
        "A batch always has a target that counts.",
        "If it has none, the loss is 0, and not 0 / 0.",
    ),
    Mutant(
        "log_of_softmax",
        FORWARD,
        {"log_probs = shifted - np.log(total)": "log_probs = np.log(weights / total)"},
        "Cross-entropy is the logarithm of softmax, in this order.",
        "A probability of exp(-800) is 0 in float64, and its logarithm minus infinity.",
    ),
    Mutant(
        "only_minus_100_is_ignored",
        FORWARD,
        {"targets != ignore_index": "targets != -100"},
        "Ignored targets are -100.",
        "By default: ignore_index is an argument.",
    ),
    Mutant(
        "smoothing_leaves_out_the_target",
        FORWARD,
        {
            "even = -log_probs.mean(axis=-1, keepdims=True)": (
                "even = -(log_probs.sum(axis=-1, keepdims=True) + surprise)"
                " / max(1, log_probs.shape[-1] - 1)"
            )
        },
        "Smoothing gives the other V - 1 classes a share.",
        "The share is spread over all V classes, and the target is one of them.",
    ),
    Mutant(
        "smoothing_keeps_the_whole_target",
        FORWARD,
        {"(1.0 - label_smoothing) * surprise": "surprise"},
        "Smoothing is a term added to the loss.",
        "The target distribution must still sum to 1.",
    ),
    Mutant(
        "gradient_of_all_targets",
        BACKWARD,
        {"float(dy) / max(1, N)": "float(dy) / max(1, kept.size)"},
        "The gradient is divided by the number of positions.",
        "Divide by what forward divided by.",
    ),
    Mutant(
        "loss_gradient_not_averaged",
        BACKWARD,
        {"float(dy) / max(1, N)": "float(dy)"},
        "The gradient is softmax minus one-hot.",
        "Of one row's loss; the loss is the mean over rows.",
    ),
    Mutant(
        "loss_takes_dy_for_one",
        BACKWARD,
        {"rows *= float(dy) / max(1, N)": "rows /= max(1, N)"},
        "The loss is the end of the chain, so its dy is 1.",
        "The loss may be scaled, or one of several: multiply by dy.",
    ),
    Mutant(
        "one_hot_forgotten",
        BACKWARD,
        {"rows[np.arange(N), targets] -= 1.0 - label_smoothing": "pass"},
        "The gradient is softmax.",
        "That would push all logits down; what pulls the target's up?",
    ),
    Mutant(
        "one_hot_added",
        BACKWARD,
        {"rows[np.arange(N), targets] -= 1.0": "rows[np.arange(N), targets] += 1.0"},
        "The gradient points to the target.",
        "Descent goes against the gradient: is it p - q or q - p?",
    ),
    Mutant(
        "smoothing_forgotten_backward",
        BACKWARD,
        {"probs - label_smoothing / V": "probs - 0.0", "-= 1.0 - label_smoothing": "-= 1.0"},
        "The gradient is softmax minus one-hot.",
        "With smoothing the target distribution is no longer one-hot.",
    ),
    Mutant(
        "mse_two_forgotten",
        ops.mse_backward,
        {"float(dy) * 2.0": "float(dy)"},
        "The two is only a constant.",
        "What is the derivative of a square?",
    ),
    Mutant(
        "mse_averaged_over_batch_only",
        ops.mse_backward,
        {"difference.size": "len(difference)"},
        "A mean is a mean over the batch.",
        "Forward took the mean over all elements.",
    ),
    Mutant(
        "mse_takes_dy_for_one",
        ops.mse_backward,
        {"float(dy) * 2.0": "2.0"},
        "The loss is the end of the chain, so its dy is 1.",
        "The loss may be scaled, or one of several: multiply by dy.",
    ),
    Mutant(
        "mse_same_gradient_twice",
        ops.mse_backward,
        {"return dprediction, -dprediction": "return dprediction, dprediction.copy()"},
        "Prediction and target are treated alike.",
        "One of them is subtracted.",
    ),
    Mutant(
        "mse_summed",
        ops.mse_forward,
        {"(difference * difference).mean()": "(difference * difference).sum()"},
        "The loss is the sum of the squares.",
        "The first letter of MSE.",
    ),
)
