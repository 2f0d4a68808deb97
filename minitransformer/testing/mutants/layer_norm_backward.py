"""Mistakes in the gradient of x in layer norm."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

BACKWARD = ops.layer_norm_backward

_ALONG_ONE = "along_one = dxhat.mean(axis=-1, keepdims=True)"
_ALONG_XHAT = "along_xhat = (dxhat * xhat).mean(axis=-1, keepdims=True)"
_DX = "dx = rstd * (dxhat - along_one - xhat * along_xhat)"

MUTANTS = (
    Mutant(
        "layer_norm_backward_keepdims_forgotten",
        BACKWARD,
        {_ALONG_ONE: _ALONG_ONE.replace(", keepdims=True", "")},
        "A mean over the last axis can be subtracted as it is.",
        "The mean lost its axis, so it is lined up with the wrong one: keepdims.",
    ),
    Mutant(
        "gamma_forgotten_backward",
        BACKWARD,
        {"dxhat = dy * gamma": "dxhat = dy"},
        "gamma is trained by dgamma and has no part in dx.",
        "y = xhat gamma: what is dy worth at xhat?",
    ),
    Mutant(
        "gamma_outside_the_means",
        BACKWARD,
        {"dxhat = dy * gamma": "dxhat = dy", "dx = rstd * (": "dx = gamma * rstd * ("},
        "gamma is a factor of y, so it is a factor of dx.",
        "gamma differs from feature to feature: does it commute with a mean over features?",
    ),
    Mutant(
        "gamma_outside_as_well",
        BACKWARD,
        {"dx = rstd * (": "dx = gamma * rstd * ("},
        "gamma is a factor of dxhat and of dx.",
        "It came into forward once.",
    ),
    Mutant(
        "gamma_not_in_the_means",
        BACKWARD,
        {
            _ALONG_ONE: "along_one = dy.mean(axis=-1, keepdims=True)",
            _ALONG_XHAT: "along_xhat = (dy * xhat).mean(axis=-1, keepdims=True)",
        },
        "The means are means of dy.",
        "They are means of the gradient at xhat, which has gamma in it.",
    ),
    Mutant(
        "statistics_taken_for_constants",
        BACKWARD,
        {_DX: "dx = rstd * dxhat"},
        "Layer norm is x times rstd, so dx is dy times rstd.",
        "Mean and variance are functions of x; dx has three terms.",
    ),
    Mutant(
        "mean_taken_for_a_constant",
        BACKWARD,
        {_DX: "dx = rstd * (dxhat - xhat * along_xhat)"},
        "The mean is a number that is subtracted; its derivative is 0.",
        "Every x enters the mean: how much does the mean move with it?",
    ),
    Mutant(
        "variance_taken_for_a_constant",
        BACKWARD,
        {_DX: "dx = rstd * (dxhat - along_one)"},
        "The standard deviation is a number that is divided by; its derivative is 0.",
        "Every x enters the variance: what happens to rstd when an x far from the mean moves?",
    ),
    Mutant(
        "rstd_forgotten",
        BACKWARD,
        {_DX: "dx = dxhat - along_one - xhat * along_xhat"},
        "The bracket is the gradient.",
        "xhat is x divided by the deviation: moving x by 1 moves xhat by how much?",
    ),
    Mutant(
        "rstd_squared",
        BACKWARD,
        {_DX: "dx = rstd * rstd * (dxhat - along_one - xhat * along_xhat)"},
        "x is divided by the variance.",
        "By its root, once.",
    ),
    Mutant(
        "multiplied_by_the_deviation",
        BACKWARD,
        {_DX: "dx = (dxhat - along_one - xhat * along_xhat) / rstd"},
        "Forward divided by the deviation, so backward multiplies by it.",
        "Backward multiplies by the slope: what is the slope of x / deviation?",
    ),
    Mutant(
        "layer_norm_sums_for_means",
        BACKWARD,
        {_ALONG_XHAT: _ALONG_XHAT.replace("mean", "sum")},
        "The chain rule sums over features.",
        "It does; and the variance has a factor of 1 / C of its own.",
    ),
    Mutant(
        "layer_norm_sum_for_mean_of_dxhat",
        BACKWARD,
        {_ALONG_ONE: _ALONG_ONE.replace("mean", "sum")},
        "The chain rule sums the gradients that reach the mean.",
        "It does; and the mean has a factor of 1 / C of its own.",
    ),
    Mutant(
        "layer_norm_both_sums_for_means",
        BACKWARD,
        {
            _ALONG_ONE: _ALONG_ONE.replace("mean", "sum"),
            _ALONG_XHAT: _ALONG_XHAT.replace("mean", "sum"),
        },
        "Both terms are sums over features.",
        "Mean and variance divide by C: so do the two terms.",
    ),
    Mutant(
        "layer_norm_means_over_batch",
        BACKWARD,
        {
            _ALONG_ONE: _ALONG_ONE.replace("-1", "0"),
            _ALONG_XHAT: _ALONG_XHAT.replace("-1", "0"),
        },
        "The means are taken over axis 0.",
        "Along which axis did forward take mean and variance?",
    ),
    Mutant(
        "layer_norm_means_over_everything",
        BACKWARD,
        {_ALONG_ONE: "along_one = dxhat.mean()", _ALONG_XHAT: "along_xhat = (dxhat * xhat).mean()"},
        "The means are taken over the whole array.",
        "Each position was normalised alone, over its features.",
    ),
    Mutant(
        "xhat_forgotten_in_the_third_term",
        BACKWARD,
        {_DX: "dx = rstd * (dxhat - along_one - along_xhat)"},
        "Both means are subtracted.",
        "The second is how far dxhat points along xhat: subtract that much of xhat.",
    ),
    Mutant(
        "xhat_forgotten_in_the_projection",
        BACKWARD,
        {_ALONG_XHAT: "along_xhat = dxhat.mean(axis=-1, keepdims=True)"},
        "The third term is xhat times the mean of dxhat.",
        "How far does dxhat point along xhat? That is a mean of products.",
    ),
    Mutant(
        "third_term_halved",
        BACKWARD,
        {_DX: "dx = rstd * (dxhat - along_one - 0.5 * xhat * along_xhat)"},
        "The root brings a factor 1/2.",
        "It does, and the square brings a factor 2.",
    ),
    Mutant(
        "third_term_doubled",
        BACKWARD,
        {_DX: "dx = rstd * (dxhat - along_one - 2.0 * xhat * along_xhat)"},
        "The square brings a factor 2.",
        "It does, and the root brings a factor 1/2.",
    ),
    Mutant(
        "third_term_with_rstd_twice",
        BACKWARD,
        {_DX: "dx = rstd * (dxhat - along_one - rstd * xhat * along_xhat)"},
        "The derivative of rstd has rstd in it, besides the factor in front.",
        "Count the powers of rstd: x - mean is xhat / rstd, which takes one away.",
    ),
    Mutant(
        "third_term_without_rstd",
        BACKWARD,
        {_DX: "dx = rstd * (dxhat - along_one) - xhat * along_xhat"},
        "The derivative of 1 / deviation is -1/2 deviation^-2.",
        "The derivative of var^(-1/2) is -1/2 var^(-3/2): which power of the deviation is that?",
    ),
    Mutant(
        "third_term_of_a_sample",
        BACKWARD,
        {
            _ALONG_XHAT: "along_xhat = (dxhat * xhat).sum(axis=-1, keepdims=True)"
            " / max(1, dy.shape[-1] - 1)"
        },
        "The variance divides by C - 1.",
        "Forward divided by C.",
    ),
    Mutant(
        "third_term_added",
        BACKWARD,
        {_DX: "dx = rstd * (dxhat - along_one + xhat * along_xhat)"},
        "The contribution of the variance is added.",
        "When an x far from the mean moves out, does its rstd rise or fall?",
    ),
    Mutant(
        "second_term_added",
        BACKWARD,
        {_DX: "dx = rstd * (dxhat + along_one - xhat * along_xhat)"},
        "The contribution of the mean is added.",
        "The mean is subtracted in forward.",
    ),
)
