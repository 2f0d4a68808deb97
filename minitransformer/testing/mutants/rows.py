"""Mistakes in softmax and the norms."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

_SOFTMAX_DX = "dx = probs * (dy - expected)"
_LAYER_DX = "dx = rstd * (dxhat - along_one - xhat * along_xhat)"
_RMS_DX = "dx = rrms * (dxhat - xhat * along_xhat)"

ROWS = (
    Mutant(
        "softmax_without_maximum",
        ops.softmax_forward,
        {"np.exp(x - np.where(top == -np.inf, 0.0, top))": "np.exp(x)"},
        "Subtracting the maximum changes nothing, so it can be left out.",
        "It changes nothing on paper; what is exp(1000)?",
    ),
    Mutant(
        "one_maximum_for_all_rows",
        ops.softmax_forward,
        {"x.max(axis=-1, keepdims": "x.max(keepdims"},
        "The largest of all scores keeps every exp from overflowing.",
        "What becomes of a row whose scores all lie 2000 below it?",
    ),
    Mutant(
        "softmax_over_everything",
        ops.softmax_forward,
        {"weights.sum(axis=-1, keepdims=True)": "weights.sum()"},
        "Probabilities are weights divided by their sum.",
        "By the sum of their own row: keep that axis.",
    ),
    Mutant(
        "masked_rows_are_nan",
        ops.softmax_forward,
        {"np.where(total == 0.0, 1.0, total)": "total"},
        "A row always has something to attend to.",
        "In a padded batch it may not: 0 / 0 is NaN, and NaN spreads.",
    ),
    Mutant(
        "softmax_mask_inverted",
        ops.softmax_forward,
        {"np.where(mask, x, -np.inf)": "np.where(mask, -np.inf, x)"},
        "True in a mask means masked out.",
        "Here True means: takes part.",
    ),
    Mutant(
        "softmax_mask_by_zero",
        ops.softmax_forward,
        {"np.where(mask, x, -np.inf)": "np.where(mask, x, 0.0).astype(x.dtype)"},
        "A score of 0 means no attention.",
        "exp(0) is 1; which score has the weight 0?",
    ),
    Mutant(
        "softmax_row_sum_missing",
        ops.softmax_backward,
        {_SOFTMAX_DX: "dx = probs * dy"},
        "The derivative of softmax is softmax itself.",
        "Raising one score lowers the probabilities of all others in its row.",
    ),
    Mutant(
        "softmax_diagonal_only",
        ops.softmax_backward,
        {_SOFTMAX_DX: "dx = probs * (1.0 - probs) * dy"},
        "The derivative is y (1 - y), as for the sigmoid.",
        "That is how a probability depends on its own score; what about the other scores?",
    ),
    Mutant(
        "softmax_backward_over_batch",
        ops.softmax_backward,
        {_SOFTMAX_DX: "dx = probs * (dy - expected) / dy.shape[0]"},
        "Gradients are averaged over the batch.",
        "Only the loss averages, and its backward has done so already.",
    ),
    Mutant(
        "softmax_expectation_over_everything",
        ops.softmax_backward,
        {"(dy * probs).sum(axis=-1, keepdims=True)": "(dy * probs).sum()"},
        "The sum in the formula runs over all probabilities.",
        "Rows do not know of each other: along which axis did forward sum?",
    ),
    Mutant(
        "gamma_outside_the_means",
        ops.layer_norm_backward,
        {"dxhat = dy * gamma": "dxhat = dy", "dx = rstd * (": "dx = gamma * rstd * ("},
        "gamma is a factor of y, so it is a factor of dx.",
        "gamma differs from feature to feature: does it commute with a mean over features?",
    ),
    Mutant(
        "mean_taken_for_a_constant",
        ops.layer_norm_backward,
        {_LAYER_DX: "dx = rstd * (dxhat - xhat * along_xhat)"},
        "The mean is a number that is subtracted; its derivative is 0.",
        "Every x enters the mean: how much does the mean move with it?",
    ),
    Mutant(
        "variance_taken_for_a_constant",
        ops.layer_norm_backward,
        {_LAYER_DX: "dx = rstd * (dxhat - along_one)"},
        "The standard deviation is a number that is divided by; its derivative is 0.",
        "Every x enters the variance: what happens to rstd when an x far from the mean moves?",
    ),
    Mutant(
        "statistics_taken_for_constants",
        ops.layer_norm_backward,
        {_LAYER_DX: "dx = rstd * dxhat"},
        "Layer norm is x times rstd, so dx is dy times rstd.",
        "Mean and variance are functions of x; dx has three terms.",
    ),
    Mutant(
        "layer_norm_sums_for_means",
        ops.layer_norm_backward,
        {"(dxhat * xhat).mean(": "(dxhat * xhat).sum("},
        "The chain rule sums over features.",
        "It does; and the variance has a factor of 1 / C of its own.",
    ),
    Mutant(
        "dbeta_averaged",
        ops.layer_norm_backward,
        {"dbeta = dy.reshape(rows).sum(axis=0)": "dbeta = dy.reshape(rows).mean(axis=0)"},
        "A parameter's gradient is the mean over the positions.",
        "beta was added at every position: gradients of copies add up.",
    ),
    Mutant(
        "dgamma_with_gamma",
        ops.layer_norm_backward,
        {"dgamma = (dy * xhat)": "dgamma = (dy * gamma * xhat)"},
        "The gradient at xhat serves for gamma too.",
        "y = xhat gamma: which factor is left when you differentiate by gamma?",
    ),
    Mutant(
        "eps_outside_the_root",
        ops.layer_norm_forward,
        {"np.sqrt(variance + float(eps))": "(np.sqrt(variance) + float(eps))"},
        "eps only keeps the division from failing, so its place does not matter.",
        "With eps = 0.3 the place shows: rstd = 1 / sqrt(variance + eps).",
    ),
    Mutant(
        "eps_built_in",
        ops.layer_norm_forward,
        {"variance + float(eps)": "variance + 1e-5"},
        "eps is always 1e-5.",
        "It is an argument: models differ in it.",
    ),
    Mutant(
        "variance_of_a_sample",
        ops.layer_norm_forward,
        {
            "(centred * centred).mean(axis=-1, keepdims=True)": (
                "(centred * centred).sum(axis=-1, keepdims=True) / max(1, x.shape[-1] - 1)"
            )
        },
        "A variance divides by n - 1.",
        "That estimates the variance of a population; here it is the features' own: divide by C.",
    ),
    Mutant(
        "variance_in_one_pass",
        ops.layer_norm_forward,
        {
            "variance = (centred * centred).mean(axis=-1, keepdims=True)": (
                "variance = (x * x).mean(axis=-1, keepdims=True)"
                " - x.mean(axis=-1, keepdims=True) ** 2"
            )
        },
        "E[x^2] - E[x]^2 is the variance, and faster.",
        "Far from zero it is the small difference of two large numbers: try float32 and x + 300.",
    ),
    Mutant(
        "normalised_over_all_positions",
        ops.layer_norm_forward,
        {"x - x.mean(axis=-1, keepdims=True)": "x - x.mean()"},
        "The mean of x is the mean of all of x.",
        "Each position is normalised alone, over its features.",
    ),
    Mutant(
        "beta_forgotten",
        ops.layer_norm_forward,
        {"y = xhat * gamma + beta": "y = xhat * gamma"},
        "beta starts at 0 and can be left out.",
        "It is trained: it does not stay 0.",
    ),
    Mutant(
        "rms_norm_subtracts_the_mean",
        ops.rms_norm_forward,
        {"xhat = x * rrms": "xhat = (x - x.mean(axis=-1, keepdims=True)) * rrms"},
        "A norm gives mean 0 and variance 1.",
        "Layer norm does; RMS norm saves itself the mean.",
    ),
    Mutant(
        "rms_norm_eps_outside_the_root",
        ops.rms_norm_forward,
        {
            "np.sqrt((x * x).mean(axis=-1, keepdims=True) + float(eps))": (
                "(np.sqrt((x * x).mean(axis=-1, keepdims=True)) + float(eps))"
            )
        },
        "eps only keeps the division from failing, so its place does not matter.",
        "With eps = 0.3 the place shows.",
    ),
    Mutant(
        "rms_taken_for_a_constant",
        ops.rms_norm_backward,
        {_RMS_DX: "dx = rrms * dxhat"},
        "The root mean square is a number that is divided by; its derivative is 0.",
        "Every x enters it: what happens to rrms when x grows?",
    ),
    Mutant(
        "rms_norm_backward_of_layer_norm",
        ops.rms_norm_backward,
        {_RMS_DX: "dx = rrms * (dxhat - dxhat.mean(-1, keepdims=True) - xhat * along_xhat)"},
        "Both norms have the same backward.",
        "Which term of layer norm's backward comes from subtracting the mean?",
    ),
)
