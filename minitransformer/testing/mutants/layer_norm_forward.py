"""Mistakes in layer norm."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD = ops.layer_norm_forward

_CENTRED = "centred = x - x.mean(axis=-1, keepdims=True)"
_VARIANCE = "(centred * centred).mean(axis=-1, keepdims=True)"
_RSTD = "1.0 / np.sqrt(variance + float(eps))"
_Y = "y = xhat * gamma + beta"

MUTANTS = (
    Mutant(
        "layer_norm_keepdims_forgotten",
        FORWARD,
        {_CENTRED: "centred = x - x.mean(axis=-1)"},
        "A mean over the last axis can be subtracted as it is.",
        "The mean lost its axis, so it is lined up with the wrong one: keepdims.",
    ),
    Mutant(
        "layer_norm_is_batch_norm",
        FORWARD,
        {_CENTRED: "centred = x - x.mean(axis=0)", _VARIANCE: "(centred * centred).mean(axis=0)"},
        "Mean and variance are taken over the batch.",
        "That is batch norm: here each position is normalised alone, over its features.",
    ),
    Mutant(
        "layer_norm_over_positions",
        FORWARD,
        {
            _CENTRED: "centred = x - x.mean(axis=min(1, x.ndim - 1), keepdims=True)",
            _VARIANCE: "(centred * centred).mean(axis=min(1, x.ndim - 1), keepdims=True)",
        },
        "Mean and variance are taken over axis 1.",
        "That is the sequence: a position must not know of the others; use the last axis.",
    ),
    Mutant(
        "layer_norm_over_each_sample",
        FORWARD,
        {
            _CENTRED: "own = tuple(range(min(1, x.ndim - 1), x.ndim))\n"
            "    centred = x - x.mean(axis=own, keepdims=True)",
            _VARIANCE: "(centred * centred).mean(axis=own, keepdims=True)",
        },
        "Mean and variance are taken over all positions of a sample.",
        "Each position is normalised alone, over its features.",
    ),
    Mutant(
        "normalised_over_all_positions",
        FORWARD,
        {_CENTRED: "centred = x - x.mean()", _VARIANCE: "(centred * centred).mean()"},
        "The mean of x is the mean of all of x.",
        "Each position is normalised alone, over its features.",
    ),
    Mutant(
        "mean_over_all_positions",
        FORWARD,
        {_CENTRED: "centred = x - x.mean()"},
        "The mean of x is the mean of all of x, and only the variance is each position's own.",
        "Each position has its own mean, over its features.",
    ),
    Mutant(
        "variance_over_all_positions",
        FORWARD,
        {_VARIANCE: "(centred * centred).mean()"},
        "Each position has its own mean, but the variance is that of all of x.",
        "Each position has its own variance, over its features.",
    ),
    Mutant(
        "mean_not_subtracted",
        FORWARD,
        {"xhat = centred * rstd": "xhat = x * rstd"},
        "Normalising is dividing by the standard deviation.",
        "What is the mean of every position supposed to be?",
    ),
    Mutant(
        "layer_norm_is_rms_norm",
        FORWARD,
        {_CENTRED: "centred = x"},
        "Layer norm divides by the root mean square.",
        "RMS norm does; layer norm subtracts the mean first.",
    ),
    Mutant(
        "layer_norm_not_divided",
        FORWARD,
        {"xhat = centred * rstd": "xhat = centred"},
        "Normalising is subtracting the mean.",
        "What is the variance of every position supposed to be?",
    ),
    Mutant(
        "layer_norm_divided_by_variance",
        FORWARD,
        {_RSTD: "1.0 / (variance + float(eps))"},
        "Normalising is dividing by the variance.",
        "Multiply x by 10: by how much does the variance grow, and is y still the same?",
    ),
    Mutant(
        "variance_summed",
        FORWARD,
        {_VARIANCE: _VARIANCE.replace("mean", "sum")},
        "The variance is the sum of the squared deviations.",
        "Their mean: divide by C.",
    ),
    Mutant(
        "variance_of_a_sample",
        FORWARD,
        {_VARIANCE: "(centred * centred).sum(axis=-1, keepdims=True) / max(1, x.shape[-1] - 1)"},
        "A variance divides by n - 1.",
        "That estimates the variance of a population; here it is the features' own: divide by C.",
    ),
    Mutant(
        "variance_not_centred",
        FORWARD,
        {_VARIANCE: "(x * x).mean(axis=-1, keepdims=True)"},
        "The variance is the mean of the squares.",
        "Of the squared deviations from the mean.",
    ),
    Mutant(
        "variance_in_one_pass",
        FORWARD,
        {_VARIANCE: "((x * x).mean(axis=-1, keepdims=True) - x.mean(axis=-1, keepdims=True) ** 2)"},
        "E[x^2] - E[x]^2 is the variance, and faster.",
        "Far from zero it is the small difference of two large numbers: try float32 and x + 300.",
    ),
    Mutant(
        "eps_forgotten",
        FORWARD,
        {"variance + float(eps)": "variance"},
        "eps is too small to matter.",
        "It is an argument, and it matters where the variance is small.",
    ),
    Mutant(
        "eps_built_in",
        FORWARD,
        {"variance + float(eps)": "variance + 1e-5"},
        "eps is always 1e-5.",
        "It is an argument: models differ in it.",
    ),
    Mutant(
        "eps_outside_the_root",
        FORWARD,
        {"np.sqrt(variance + float(eps))": "(np.sqrt(variance) + float(eps))"},
        "eps only keeps the division from failing, so its place does not matter.",
        "With eps = 0.3 the place shows: rstd = 1 / sqrt(variance + eps).",
    ),
    Mutant(
        "eps_squared",
        FORWARD,
        {"variance + float(eps)": "variance + float(eps) ** 2"},
        "eps has the unit of x, so it is squared beside a variance.",
        "With eps = 0.3 it shows: rstd = 1 / sqrt(variance + eps).",
    ),
    Mutant(
        "gamma_forgotten",
        FORWARD,
        {_Y: "y = xhat + beta"},
        "gamma starts at 1 and can be left out.",
        "It is trained: it does not stay 1.",
    ),
    Mutant(
        "beta_forgotten",
        FORWARD,
        {_Y: "y = xhat * gamma"},
        "beta starts at 0 and can be left out.",
        "It is trained: it does not stay 0.",
    ),
    Mutant(
        "gamma_and_beta_forgotten",
        FORWARD,
        {_Y: "y = xhat.copy()"},
        "Normalising is all that a norm does.",
        "The last step scales and shifts by trained parameters.",
    ),
    Mutant(
        "gamma_and_beta_swapped",
        FORWARD,
        {_Y: "y = xhat * beta + gamma"},
        "Which of the parameters scales and which shifts is a matter of names.",
        "gamma scales (it starts at 1), beta shifts (it starts at 0).",
    ),
    Mutant(
        "beta_scaled_by_gamma",
        FORWARD,
        {_Y: "y = (xhat + beta) * gamma"},
        "Shift first, then scale.",
        "The other way round: y = gamma xhat + beta.",
    ),
    Mutant(
        "gamma_counted_from_one",
        FORWARD,
        {_Y: "y = xhat * (1.0 + gamma) + beta"},
        "gamma is a deviation from 1.",
        "Some models store it so; here gamma itself is the factor.",
    ),
)
