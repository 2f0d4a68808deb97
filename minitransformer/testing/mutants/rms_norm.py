"""Mistakes in RMS norm, forward and backward."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.rms_norm_forward, ops.rms_norm_backward

_MEAN_SQUARE = "(x * x).mean(axis=-1, keepdims=True)"
_ROOT = f"np.sqrt({_MEAN_SQUARE} + float(eps))"
_DGAMMA = "dgamma = (dy * xhat).reshape(-1, dy.shape[-1]).sum(axis=0)"
_ALONG_XHAT = "along_xhat = (dxhat * xhat).mean(axis=-1, keepdims=True)"
_DX = "dx = rrms * (dxhat - xhat * along_xhat)"

MUTANTS = (
    Mutant(
        "rms_norm_keepdims_forgotten",
        FORWARD,
        {_MEAN_SQUARE: "(x * x).mean(axis=-1)"},
        "A mean over the last axis can be divided by as it is.",
        "The mean lost its axis, so it is lined up with the wrong one: keepdims.",
    ),
    Mutant(
        "rms_norm_over_batch",
        FORWARD,
        {_MEAN_SQUARE: "(x * x).mean(axis=0, keepdims=True)"},
        "The mean square is taken over axis 0.",
        "Each position is normalised alone, over its features.",
    ),
    Mutant(
        "rms_norm_over_everything",
        FORWARD,
        {_MEAN_SQUARE: "(x * x).mean()"},
        "The mean square of x is that of all of x.",
        "Each position is normalised alone, over its features.",
    ),
    Mutant(
        "rms_norm_subtracts_the_mean",
        FORWARD,
        {"xhat = x * rrms": "xhat = (x - x.mean(axis=-1, keepdims=True)) * rrms"},
        "A norm gives mean 0 and variance 1.",
        "Layer norm does; RMS norm saves itself the mean.",
    ),
    Mutant(
        "rms_norm_is_layer_norm",
        FORWARD,
        {"rrms = 1.0": "x = x - x.mean(axis=-1, keepdims=True)\n    rrms = 1.0"},
        "RMS norm is layer norm without beta.",
        "It is without the mean as well.",
    ),
    Mutant(
        "rms_norm_divided_by_deviation",
        FORWARD,
        {_MEAN_SQUARE: "x.var(axis=-1, keepdims=True)"},
        "The root mean square is the standard deviation.",
        "Only if the mean is 0: a mean square subtracts nothing.",
    ),
    Mutant(
        "rms_norm_root_forgotten",
        FORWARD,
        {_ROOT: f"({_MEAN_SQUARE} + float(eps))"},
        "x is divided by its mean square.",
        "The first letter of RMS.",
    ),
    Mutant(
        "rms_norm_sum_for_mean",
        FORWARD,
        {_MEAN_SQUARE: _MEAN_SQUARE.replace("mean", "sum")},
        "x is divided by its length.",
        "The second letter of RMS: divide by C.",
    ),
    Mutant(
        "rms_norm_mean_of_sizes",
        FORWARD,
        {_MEAN_SQUARE: "np.abs(x).mean(axis=-1, keepdims=True) ** 2"},
        "The size of a row is the mean of its absolute values.",
        "The last letter of RMS: square first, then the mean, then the root.",
    ),
    Mutant(
        "rms_norm_eps_forgotten",
        FORWARD,
        {" + float(eps))": ")"},
        "eps is too small to matter.",
        "It is an argument, and it matters where x is small.",
    ),
    Mutant(
        "rms_norm_eps_built_in",
        FORWARD,
        {"float(eps)": "1e-6"},
        "eps is always 1e-6.",
        "It is an argument: models differ in it.",
    ),
    Mutant(
        "rms_norm_eps_outside_the_root",
        FORWARD,
        {_ROOT: f"(np.sqrt({_MEAN_SQUARE}) + float(eps))"},
        "eps only keeps the division from failing, so its place does not matter.",
        "With eps = 0.3 the place shows.",
    ),
    Mutant(
        "rms_norm_gamma_forgotten",
        FORWARD,
        {"y = xhat * gamma": "y = xhat.copy()"},
        "gamma starts at 1 and can be left out.",
        "It is trained: it does not stay 1.",
    ),
    Mutant(
        "rms_norm_gamma_counted_from_one",
        FORWARD,
        {"y = xhat * gamma": "y = xhat * (1.0 + gamma)"},
        "gamma is a deviation from 1.",
        "Some models store it so; here gamma itself is the factor.",
    ),
    Mutant(
        "rms_norm_backward_keepdims_forgotten",
        BACKWARD,
        {_ALONG_XHAT: _ALONG_XHAT.replace(", keepdims=True", "")},
        "A mean over the last axis can be subtracted as it is.",
        "The mean lost its axis, so it is lined up with the wrong one: keepdims.",
    ),
    Mutant(
        "rms_dgamma_over_first_axis_only",
        BACKWARD,
        {_DGAMMA: "dgamma = (dy * xhat).sum(axis=0)"},
        "The gradient of gamma is a sum over axis 0.",
        "Only if x is a matrix: gamma serves every position, so sum over all leading axes.",
    ),
    Mutant(
        "rms_dgamma_averaged",
        BACKWARD,
        {_DGAMMA: _DGAMMA.replace("sum", "mean")},
        "The gradient of gamma is the mean over the positions.",
        "gamma scaled every position: gradients of copies add up.",
    ),
    Mutant(
        "rms_dgamma_without_xhat",
        BACKWARD,
        {_DGAMMA: _DGAMMA.replace("(dy * xhat)", "dy")},
        "gamma's gradient is the sum of dy.",
        "y = xhat gamma: what stands beside gamma?",
    ),
    Mutant(
        "rms_dgamma_with_x",
        BACKWARD,
        {_DGAMMA: _DGAMMA.replace("xhat", "xhat / rrms")},
        "gamma multiplies x.",
        "It multiplies the normalised x, xhat.",
    ),
    Mutant(
        "rms_gamma_forgotten_backward",
        BACKWARD,
        {"dxhat = dy * gamma": "dxhat = dy"},
        "gamma is trained by dgamma and has no part in dx.",
        "y = xhat gamma: what is dy worth at xhat?",
    ),
    Mutant(
        "rms_gamma_outside_the_mean",
        BACKWARD,
        {"dxhat = dy * gamma": "dxhat = dy", "dx = rrms * (": "dx = gamma * rrms * ("},
        "gamma is a factor of y, so it is a factor of dx.",
        "gamma differs from feature to feature: does it commute with a mean over features?",
    ),
    Mutant(
        "rms_taken_for_a_constant",
        BACKWARD,
        {_DX: "dx = rrms * dxhat"},
        "The root mean square is a number that is divided by; its derivative is 0.",
        "Every x enters it: what happens to rrms when x grows?",
    ),
    Mutant(
        "rms_norm_backward_of_layer_norm",
        BACKWARD,
        {_DX: "dx = rrms * (dxhat - dxhat.mean(-1, keepdims=True) - xhat * along_xhat)"},
        "Both norms have the same backward.",
        "Which term of layer norm's backward comes from subtracting the mean?",
    ),
    Mutant(
        "rrms_forgotten",
        BACKWARD,
        {_DX: "dx = dxhat - xhat * along_xhat"},
        "The bracket is the gradient.",
        "xhat is x divided by its size: moving x by 1 moves xhat by how much?",
    ),
    Mutant(
        "rms_sum_for_mean",
        BACKWARD,
        {_ALONG_XHAT: _ALONG_XHAT.replace("mean", "sum")},
        "The chain rule sums over features.",
        "It does; and the mean square has a factor of 1 / C of its own.",
    ),
    Mutant(
        "rms_mean_over_batch",
        BACKWARD,
        {_ALONG_XHAT: _ALONG_XHAT.replace("-1", "0")},
        "The mean is taken over axis 0.",
        "Along which axis did forward take the mean square?",
    ),
    Mutant(
        "rms_xhat_forgotten_outside",
        BACKWARD,
        {_DX: "dx = rrms * (dxhat - along_xhat)"},
        "The mean is subtracted.",
        "It is how far dxhat points along xhat: subtract that much of xhat.",
    ),
    Mutant(
        "rms_term_halved",
        BACKWARD,
        {_DX: "dx = rrms * (dxhat - 0.5 * xhat * along_xhat)"},
        "The root brings a factor 1/2.",
        "It does, and the square brings a factor 2.",
    ),
    Mutant(
        "rms_term_doubled",
        BACKWARD,
        {_DX: "dx = rrms * (dxhat - 2.0 * xhat * along_xhat)"},
        "The square brings a factor 2.",
        "It does, and the root brings a factor 1/2.",
    ),
    Mutant(
        "rms_term_added",
        BACKWARD,
        {_DX: "dx = rrms * (dxhat + xhat * along_xhat)"},
        "The contribution of the root mean square is added.",
        "When an x grows, does rrms rise or fall?",
    ),
    Mutant(
        "rms_term_with_rrms_twice",
        BACKWARD,
        {_DX: "dx = rrms * (dxhat - rrms * xhat * along_xhat)"},
        "The derivative of rrms has rrms in it, besides the factor in front.",
        "Count the powers of rrms: x is xhat / rrms, which takes one away.",
    ),
)
