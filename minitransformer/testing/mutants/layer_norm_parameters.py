"""Mistakes in the gradients of layer norm's parameters."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

BACKWARD = ops.layer_norm_backward

_DBETA = "dbeta = dy.reshape(rows).sum(axis=0)"
_DGAMMA = "dgamma = (dy * xhat).reshape(rows).sum(axis=0)"

MUTANTS = (
    Mutant(
        "dgamma_and_dbeta_swapped",
        BACKWARD,
        {"return dx, dgamma, dbeta": "return dx, dbeta, dgamma"},
        "The order of the gradients does not matter.",
        "They come in the order of forward's arguments: x, gamma, beta.",
    ),
    Mutant(
        "dgamma_and_dbeta_over_first_axis_only",
        BACKWARD,
        {_DBETA: "dbeta = dy.sum(axis=0)", _DGAMMA: "dgamma = (dy * xhat).sum(axis=0)"},
        "The parameters' gradients are sums over axis 0.",
        "Only if x is a matrix: gamma and beta serve every position, so sum over all leading axes.",
    ),
    Mutant(
        "dgamma_and_dbeta_not_summed",
        BACKWARD,
        {_DBETA: "dbeta = dy.copy()", _DGAMMA: "dgamma = dy * xhat"},
        "The parameters' gradients have the shape of y.",
        "gamma and beta are used at every position: gradients of copies add up.",
    ),
    Mutant(
        "dgamma_and_dbeta_over_features",
        BACKWARD,
        {_DBETA: "dbeta = dy.sum(axis=-1)", _DGAMMA: "dgamma = (dy * xhat).sum(axis=-1)"},
        "The parameters' gradients are sums over the last axis.",
        "gamma has one number for each feature: which axes are left to sum over?",
    ),
    Mutant(
        "dgamma_and_dbeta_averaged",
        BACKWARD,
        {_DBETA: _DBETA.replace("sum", "mean"), _DGAMMA: _DGAMMA.replace("sum", "mean")},
        "A parameter's gradient is the mean over the positions.",
        "Parameters are used at every position: gradients of copies add up.",
    ),
    Mutant(
        "dgamma_averaged",
        BACKWARD,
        {_DGAMMA: _DGAMMA.replace("sum", "mean")},
        "The gradient of gamma is the mean over the positions.",
        "gamma scaled every position: gradients of copies add up.",
    ),
    Mutant(
        "dbeta_averaged",
        BACKWARD,
        {_DBETA: _DBETA.replace("sum", "mean")},
        "The gradient of beta is the mean over the positions.",
        "beta was added at every position: gradients of copies add up.",
    ),
    Mutant(
        "dgamma_without_xhat",
        BACKWARD,
        {_DGAMMA: "dgamma = dy.reshape(rows).sum(axis=0)"},
        "gamma's gradient is the sum of dy, like beta's.",
        "y = xhat gamma + beta: what stands beside gamma?",
    ),
    Mutant(
        "dgamma_with_x",
        BACKWARD,
        {_DGAMMA: "dgamma = (dy * xhat / rstd).reshape(rows).sum(axis=0)"},
        "gamma multiplies x without its mean.",
        "It multiplies the normalised x, xhat, which has been divided by the deviation as well.",
    ),
    Mutant(
        "dgamma_with_gamma",
        BACKWARD,
        {_DGAMMA: "dgamma = (dy * gamma * xhat).reshape(rows).sum(axis=0)"},
        "The gradient at xhat serves for gamma too.",
        "y = xhat gamma: which factor is left when you differentiate by gamma?",
    ),
)
