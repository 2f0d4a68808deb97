"""Mistakes in Adam and AdamW."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

ADAM = ops.adamw_step

_RATE = "rate = float(lr / (1 - beta1**t))"
_ROOT = "root_correction = math.sqrt(1 - beta2**t)"
_DECAY = "p *= shrink"
_MEAN = "mean += (1 - beta1) * g"
_SQUARE = "mean_square += (1 - beta2) * g * g"
_DENOMINATOR = "(np.sqrt(mean_square) / root_correction + eps)"
_STEP = f"p -= rate * mean / {_DENOMINATOR}"
_CHUNKS = "for p, g, mean, mean_square in _chunks(parameter, grad, m, v):"

MUTANTS = (
    Mutant(
        "adam_parameter_not_updated",
        ADAM,
        {_STEP: f"p = {_STEP.removeprefix('p -= ')}", _DECAY: "p = p * shrink"},
        "p = p - ... changes the parameter.",
        "It gives the name p to a new array: the one that the model holds must change in place.",
    ),
    Mutant(
        "adam_moments_not_kept",
        ADAM,
        {
            "mean *= beta1": "mean = beta1 * mean",
            "mean_square *= beta2": "mean_square = beta2 * mean_square",
        },
        "m = beta1 m + ... changes m.",
        "It gives the name m to a new array: the next step must find the moments in place.",
    ),
    Mutant(
        "adam_is_sgd",
        ADAM,
        {_STEP: "p -= float(lr) * g"},
        "The gradient is subtracted.",
        "Which of the two moments tells the direction, and which the unit?",
    ),
    Mutant(
        "adam_uses_the_gradient_for_the_mean",
        ADAM,
        {_STEP: _STEP.replace("rate * mean", "float(lr) * g")},
        "The step goes against the gradient, divided by its size.",
        "That is RMSprop: Adam goes against the running mean.",
    ),
    Mutant(
        "adam_without_bias_correction",
        ADAM,
        {_RATE: "rate = float(lr)", _ROOT: "root_correction = 1.0"},
        "m and v are running means and can be used as they are.",
        "They start at 0: how much of the first gradient is in them after one step?",
    ),
    Mutant(
        "adam_corrects_the_mean_only",
        ADAM,
        {_ROOT: "root_correction = 1.0"},
        "Only the mean is biased.",
        "v starts at 0 as well.",
    ),
    Mutant(
        "adam_corrects_the_square_only",
        ADAM,
        {_RATE: "rate = float(lr)"},
        "Only the mean square is biased.",
        "m starts at 0 as well.",
    ),
    Mutant(
        "adam_t_from_zero",
        ADAM,
        {_RATE: "t = t - 1\n    rate = float(lr / (1 - beta1**t))"},
        "The correction is that of the steps done before.",
        "At the first step it would divide by 0: t counts this step.",
    ),
    Mutant(
        "adam_t_one_ahead",
        ADAM,
        {_RATE: "t = t + 1\n    rate = float(lr / (1 - beta1**t))"},
        "t counts from 0, so 1 is added.",
        "Here t counts from 1.",
    ),
    Mutant(
        "adam_correction_not_a_power",
        ADAM,
        {_RATE: "rate = float(lr / (1 - beta1))", _ROOT: "root_correction = math.sqrt(1 - beta2)"},
        "The moments are divided by 1 - beta.",
        "Only at the first step: afterwards there is more in them, 1 - beta^t.",
    ),
    Mutant(
        "adam_correction_by_multiples",
        ADAM,
        {
            _RATE: "rate = lr / np.float64(1 - beta1 * t)",
            _ROOT: "root_correction = np.sqrt(1 - beta2 * t)",
        },
        "After t steps the correction is 1 - beta t.",
        "Each step multiplies what is remembered by beta: what is left of it after t steps?",
    ),
    Mutant(
        "adam_betas_swapped_in_the_correction",
        ADAM,
        {
            _RATE: "rate = float(lr / (1 - beta2**t))",
            _ROOT: "root_correction = math.sqrt(1 - beta1**t)",
        },
        "Either beta will do for the correction.",
        "Each running mean is corrected by its own beta.",
    ),
    Mutant(
        "adam_one_beta_in_both_corrections",
        ADAM,
        {_ROOT: "root_correction = math.sqrt(1 - beta1**t)"},
        "Both moments are corrected by 1 - beta1^t.",
        "v was built with another beta than m: how much of the first square is in it?",
    ),
    Mutant(
        "adam_betas_swapped",
        ADAM,
        {_RATE: f"beta1, beta2 = beta2, beta1\n    {_RATE}"},
        "beta2 belongs to the mean and beta1 to the square.",
        "The other way round: the mean forgets faster.",
    ),
    Mutant(
        "adam_one_beta_for_both",
        ADAM,
        {
            _SQUARE: _SQUARE.replace("beta2", "beta1"),
            "mean_square *= beta2": "mean_square *= beta1",
        },
        "Both moments forget equally fast.",
        "The mean square has a beta of its own.",
    ),
    Mutant(
        "adam_betas_upside_down",
        ADAM,
        {
            "mean *= beta1": "mean *= 1 - beta1",
            _MEAN: "mean += beta1 * g",
            "mean_square *= beta2": "mean_square *= 1 - beta2",
            _SQUARE: "mean_square += beta2 * g * g",
        },
        "beta is the share of the newest gradient.",
        "It is the share of what was remembered before: 0.9 and 0.999.",
    ),
    Mutant(
        "adam_mean_weights_exchanged",
        ADAM,
        {"mean *= beta1": "mean *= 1 - beta1", _MEAN: "mean += beta1 * g"},
        "beta1 is the share of the newest gradient in m.",
        "beta1 is 0.9: is it the new gradient or the memory that has the greater weight?",
    ),
    Mutant(
        "adam_square_weights_exchanged",
        ADAM,
        {
            "mean_square *= beta2": "mean_square *= 1 - beta2",
            _SQUARE: "mean_square += beta2 * g * g",
        },
        "beta2 is the share of the newest gradient squared in v.",
        "beta2 is 0.999: is it the new square or the memory that has the greater weight?",
    ),
    Mutant(
        "adam_corrected_moments_kept",
        ADAM,
        {
            _STEP: "mean /= 1 - beta1**t\n"
            "        mean_square /= 1 - beta2**t\n"
            "        p -= lr * mean / (np.sqrt(mean_square) + eps)"
        },
        "The corrected moments take the place of the moments.",
        "The next step would correct them again: keep m and v as they are.",
    ),
    Mutant(
        "adam_moments_of_the_step_before",
        ADAM,
        {_STEP: "pass", _DECAY: f"{_STEP}\n        {_DECAY}"},
        "First the step, then the moments.",
        "The moments know this gradient before the step is taken.",
    ),
    Mutant(
        "adam_eps_forgotten",
        ADAM,
        {_DENOMINATOR: "(np.sqrt(mean_square) / root_correction)"},
        "eps is too small to matter.",
        "What is 0 / 0, for a parameter that has never had a gradient?",
    ),
    Mutant(
        "adam_eps_inside_the_root",
        ADAM,
        {_DENOMINATOR: "np.sqrt(mean_square / root_correction**2 + eps)"},
        "eps stands under the root, as in layer norm.",
        "In Adam it is added to the root; sqrt(1e-8) would be 1e-4.",
    ),
    Mutant(
        "adam_eps_before_correction",
        ADAM,
        {_DENOMINATOR: "((np.sqrt(mean_square) + eps) / root_correction)"},
        "eps can be added at any time.",
        "First correct, then take the root, then add eps.",
    ),
    Mutant(
        "adam_root_forgotten",
        ADAM,
        {_DENOMINATOR: "(mean_square / root_correction**2 + eps)"},
        "The step is divided by v.",
        "v is a mean of squares: which power of it has the gradient's unit?",
    ),
    Mutant(
        "adam_second_moment_not_squared",
        ADAM,
        {_SQUARE: "mean_square += (1 - beta2) * np.abs(g)"},
        "v is the running size of the gradient.",
        "Of its square; the root comes later.",
    ),
    Mutant(
        "adam_square_of_the_mean",
        ADAM,
        {_SQUARE: "mean_square += (1 - beta2) * mean * mean"},
        "v is the running mean of m squared.",
        "Of the gradient squared: m has lost its size where gradients change their sign.",
    ),
    Mutant(
        "adam_momentum_accumulates",
        ADAM,
        {_MEAN: "mean += g"},
        "Momentum adds the gradient.",
        "m is a mean: its weights sum to 1.",
    ),
    Mutant(
        "adam_decay_ignored",
        ADAM,
        {_DECAY: "pass"},
        "Weight decay is another optimizer's affair.",
        "It is the W in AdamW.",
    ),
    Mutant(
        "adam_decay_in_the_gradient",
        ADAM,
        {_DECAY: "g = g + weight_decay * p"},
        "Weight decay is the gradient of a penalty and belongs in the gradient.",
        "Adam would divide it by sqrt(v) as well; AdamW shrinks the parameter itself.",
    ),
    Mutant(
        "adam_decay_without_lr",
        ADAM,
        {"1 - lr * weight_decay)\n": "1 - weight_decay)\n"},
        "Decay does not depend on the learning rate.",
        "A schedule must slow both: p *= 1 - lr weight_decay.",
    ),
    Mutant(
        "adam_decay_after_the_step",
        ADAM,
        {_DECAY: "pass", _STEP: f"{_STEP}\n        {_DECAY}"},
        "First the step, then the decay.",
        "The decay comes first: it shrinks the parameter as it was before the step.",
    ),
    Mutant(
        "adam_decay_grows",
        ADAM,
        {"1 - lr * weight_decay)\n": "1 + lr * weight_decay)\n"},
        "The decay is added.",
        "Decay shrinks.",
    ),
    Mutant(
        "adam_climbs",
        ADAM,
        {_STEP: _STEP.replace("-=", "+=")},
        "Follow the gradient.",
        "The gradient points uphill.",
    ),
)
