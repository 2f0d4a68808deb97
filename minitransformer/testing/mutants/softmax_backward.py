"""Mistakes in the backward of softmax."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

BACKWARD = ops.softmax_backward

_EXPECTED = "(dy * probs).sum(axis=-1, keepdims=True)"
_DX = "dx = probs * (dy - expected)"

MUTANTS = (
    Mutant(
        "softmax_backward_keepdims_forgotten",
        BACKWARD,
        {_EXPECTED: "(dy * probs).sum(axis=-1)"},
        "A sum over the last axis can be subtracted as it is.",
        "The sum lost its axis, so it is lined up with the wrong one: keepdims.",
    ),
    Mutant(
        "softmax_backward_passes_dy",
        BACKWARD,
        {_DX: "dx = dy.copy()"},
        "Softmax only rescales, so the gradient passes through.",
        "Each probability depends on every score of its row: write down dy[j]/dx[i].",
    ),
    Mutant(
        "softmax_backward_ignores_dy",
        BACKWARD,
        {_DX: "dx = probs * (1.0 - probs)"},
        "The derivative is y (1 - y), and that is what backward returns.",
        "By the chain rule the gradient that arrives from above enters everything.",
    ),
    Mutant(
        "softmax_backward_of_cross_entropy",
        BACKWARD,
        {_DX: "dx = probs - dy"},
        "The gradient of softmax is probabilities minus target.",
        "That is softmax together with cross-entropy; here dy is any gradient, not a target.",
    ),
    Mutant(
        "softmax_probs_subtracted",
        BACKWARD,
        {_DX: "dx = probs * (dy - probs)"},
        "What is subtracted from dy are the probabilities.",
        "What is subtracted is one number for each row: the mean of dy under the probabilities.",
    ),
    Mutant(
        "softmax_row_sum_missing",
        BACKWARD,
        {_DX: "dx = probs * dy"},
        "The derivative of softmax is softmax itself.",
        "Raising one score lowers the probabilities of all others in its row.",
    ),
    Mutant(
        "softmax_diagonal_only",
        BACKWARD,
        {_DX: "dx = probs * (1.0 - probs) * dy"},
        "The derivative is y (1 - y), as for the sigmoid.",
        "That is how a probability depends on its own score; what about the other scores?",
    ),
    Mutant(
        "softmax_diagonal_forgotten",
        BACKWARD,
        {_DX: "dx = -probs * expected"},
        "The Jacobian is minus the outer product of the probabilities.",
        "On its diagonal something is added: how does a probability depend on its own score?",
    ),
    Mutant(
        "softmax_diagonal_without_the_product",
        BACKWARD,
        {_DX: "dx = probs * (dy - expected) + probs * probs * dy"},
        "The Jacobian has the probabilities on its diagonal and -y[i] y[j] elsewhere.",
        "The product y[i] y[j] is subtracted on the diagonal too, where i = j.",
    ),
    Mutant(
        "softmax_jacobian_of_sigmoids",
        BACKWARD,
        {_DX: "dx = probs * (dy * (1.0 - probs)).sum(axis=-1, keepdims=True)"},
        "The Jacobian is y[i] (1 - y[j]) everywhere.",
        "The 1 stands on the diagonal only: y[i] ((i = j) - y[j]).",
    ),
    Mutant(
        "softmax_row_sum_added",
        BACKWARD,
        {_DX: "dx = probs * (dy + expected)"},
        "The two contributions of a score add up.",
        "Its own probability rises and the others fall: with which sign does the sum come?",
    ),
    Mutant(
        "softmax_backward_sign",
        BACKWARD,
        {_DX: "dx = probs * (expected - dy)"},
        "The row's mean comes first in the difference.",
        "Does a score's own probability rise or fall with it?",
    ),
    Mutant(
        "softmax_outer_probs_forgotten",
        BACKWARD,
        {_DX: "dx = dy - expected"},
        "The gradient is dy without its mean.",
        "The whole bracket has a factor: where a probability is 0, dx is 0.",
    ),
    Mutant(
        "softmax_row_sum_not_weighted",
        BACKWARD,
        {_DX: "dx = probs * dy - expected"},
        "The row's sum is subtracted at the end.",
        "Raising a score lowers each other probability in proportion to itself.",
    ),
    Mutant(
        "softmax_expectation_of_dy_alone",
        BACKWARD,
        {_EXPECTED: "dy.sum(axis=-1, keepdims=True)"},
        "The sum in the formula runs over dy.",
        "It is a mean of dy under the probabilities: each dy[j] is weighted by y[j].",
    ),
    Mutant(
        "softmax_plain_mean_of_dy",
        BACKWARD,
        {_EXPECTED: "dy.mean(axis=-1, keepdims=True)"},
        "What is subtracted is the mean of dy.",
        "The mean under the probabilities: each dy[j] is weighted by y[j], not by 1/S.",
    ),
    Mutant(
        "softmax_expectation_averaged",
        BACKWARD,
        {_EXPECTED: _EXPECTED.replace("sum", "mean")},
        "The expectation is the mean of dy y.",
        "The probabilities are weights that sum to 1 already: nothing is left to divide by.",
    ),
    Mutant(
        "softmax_expectation_of_squares",
        BACKWARD,
        {_EXPECTED: "(probs * probs).sum(axis=-1, keepdims=True)"},
        "The sum in the formula runs over the squared probabilities.",
        "Each of its terms has a dy[j].",
    ),
    Mutant(
        "softmax_expectation_over_batch",
        BACKWARD,
        {_EXPECTED: _EXPECTED.replace("-1", "0")},
        "Sums run along axis 0.",
        "Along which axis did forward normalise?",
    ),
    Mutant(
        "softmax_expectation_over_columns",
        BACKWARD,
        {_EXPECTED: _EXPECTED.replace("-1", "-2")},
        "The sum runs over the rows of the matrix.",
        "Along which axis did forward normalise?",
    ),
    Mutant(
        "softmax_expectation_over_everything",
        BACKWARD,
        {_EXPECTED: "(dy * probs).sum()"},
        "The sum in the formula runs over all probabilities.",
        "Rows do not know of each other: along which axis did forward sum?",
    ),
    Mutant(
        "softmax_backward_over_batch",
        BACKWARD,
        {_DX: "dx = probs * (dy - expected) / dy.shape[0]"},
        "Gradients are averaged over the batch.",
        "Only the loss averages, and its backward has done so already.",
    ),
    Mutant(
        "softmax_backward_over_row",
        BACKWARD,
        {_DX: "dx = probs * (dy - expected) / dy.shape[-1]"},
        "Gradients are averaged over the row.",
        "Nothing was averaged in forward.",
    ),
    Mutant(
        "softmax_probs_twice",
        BACKWARD,
        {_DX: "dx = probs * probs * (dy - expected)"},
        "Both the mean and the outside are multiplied by the probabilities, so twice.",
        "Outside the bracket the probabilities stand once.",
    ),
    Mutant(
        "softmax_backward_of_log_softmax",
        BACKWARD,
        {_DX: "dx = dy - probs * dy.sum(axis=-1, keepdims=True)"},
        "Softmax and log-softmax have the same backward.",
        "Your gradient is that of log-softmax: which factor does the logarithm take away?",
    ),
)
