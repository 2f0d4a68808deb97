"""Mistakes in the mean squared error."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.mse_forward, ops.mse_backward

_MEAN = "(difference * difference).mean()"
_DPREDICTION = "dprediction = difference * (float(dy) * 2.0 / difference.size)"
_RETURN = "return dprediction, -dprediction"

MUTANTS = (
    Mutant(
        "mse_summed",
        FORWARD,
        {_MEAN: "(difference * difference).sum()"},
        "The loss is the sum of the squares.",
        "The first letter of MSE.",
    ),
    Mutant(
        "mse_mean_of_sums",
        FORWARD,
        {_MEAN: "(difference * difference).sum() / len(difference)"},
        "The squares are summed over the features and averaged over the batch.",
        "The mean runs over all elements.",
    ),
    Mutant(
        "mse_of_each_row",
        FORWARD,
        {_MEAN: "(difference * difference).mean(axis=-1)"},
        "There is a loss for each row.",
        "A loss is one number: the mean runs over all elements.",
    ),
    Mutant(
        "mse_halved",
        FORWARD,
        {_MEAN: "0.5 * (difference * difference).mean()"},
        "There is a factor 1/2, so that the derivative is simpler.",
        "In some books; in the name MSE there is a mean of squares and nothing else.",
    ),
    Mutant(
        "mse_root_taken",
        FORWARD,
        {_MEAN: "np.sqrt((difference * difference).mean())"},
        "The error has the unit of the target, so a root is taken.",
        "That is the RMSE.",
    ),
    Mutant(
        "mse_absolute",
        FORWARD,
        {_MEAN: "np.abs(difference).mean()"},
        "The error is the absolute difference.",
        "The second letter of MSE.",
    ),
    Mutant(
        "mse_not_squared",
        FORWARD,
        {_MEAN: "difference.mean()"},
        "The error is the mean difference.",
        "Positive and negative differences cancel: the second letter of MSE.",
    ),
    Mutant(
        "mse_square_of_the_mean",
        FORWARD,
        {_MEAN: "difference.mean() ** 2"},
        "First the mean, then the square.",
        "Positive and negative differences cancel in the mean: square first.",
    ),
    Mutant(
        "mse_two_forgotten",
        BACKWARD,
        {"float(dy) * 2.0": "float(dy)"},
        "The two is only a constant.",
        "What is the derivative of a square?",
    ),
    Mutant(
        "mse_not_averaged_backward",
        BACKWARD,
        {_DPREDICTION: "dprediction = difference * (float(dy) * 2.0)"},
        "The derivative of a square is twice its base.",
        "The loss is a mean of squares.",
    ),
    Mutant(
        "mse_averaged_over_batch_only",
        BACKWARD,
        {"difference.size": "len(difference)"},
        "A mean is a mean over the batch.",
        "Forward took the mean over all elements.",
    ),
    Mutant(
        "mse_averaged_over_features_only",
        BACKWARD,
        {"difference.size": "difference.shape[-1]"},
        "A mean is a mean over the features.",
        "Forward took the mean over all elements.",
    ),
    Mutant(
        "mse_takes_dy_for_one",
        BACKWARD,
        {"float(dy) * 2.0": "2.0"},
        "The loss is the end of the chain, so its dy is 1.",
        "The loss may be scaled, or one of several: multiply by dy.",
    ),
    Mutant(
        "mse_gradients_swapped",
        BACKWARD,
        {_RETURN: "return -dprediction, dprediction"},
        "The difference is target minus prediction.",
        "Forward subtracts the target from the prediction: which gradient has the minus?",
    ),
    Mutant(
        "mse_same_gradient_twice",
        BACKWARD,
        {_RETURN: "return dprediction, dprediction.copy()"},
        "Prediction and target are treated alike.",
        "One of them is subtracted.",
    ),
    Mutant(
        "mse_target_without_gradient",
        BACKWARD,
        {_RETURN: "return dprediction, np.zeros_like(dprediction)"},
        "The target is data and has no gradient.",
        "It may come from another network: its gradient is asked for.",
    ),
    Mutant(
        "mse_sign_of_the_difference",
        BACKWARD,
        {_DPREDICTION: _DPREDICTION.replace("= difference *", "= np.sign(difference) *")},
        "The derivative is the sign of the difference.",
        "Of the absolute error; this is the squared one.",
    ),
    Mutant(
        "mse_square_not_differentiated",
        BACKWARD,
        {_DPREDICTION: _DPREDICTION.replace("= difference *", "= difference * difference *")},
        "The gradient is made of the squared differences.",
        "What is the derivative of a square?",
    ),
)
