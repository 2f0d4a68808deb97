"""Mistakes in optimizers, clipping and schedules."""

from minitransformer import ops
from minitransformer.optim import Optimizer, clip_grad_norm
from minitransformer.schedules import warmup_cosine, warmup_inverse_sqrt
from minitransformer.testing.mutants.base import Mutant

ADAM, SGD = ops.adamw_step, ops.sgd_step

_DENOMINATOR = "(np.sqrt(mean_square) / root_correction + eps)"
_VECTORS = "self._update(flat, slice(flat.decayed, None), 0.0)"

TRAINING = (
    Mutant(
        "adam_without_bias_correction",
        ADAM,
        {"lr / (1 - beta1**t)": "lr", "math.sqrt(1 - beta2**t)": "1.0"},
        "m and v are running means and can be used as they are.",
        "They start at 0: how much of the first gradient is in them after one step?",
    ),
    Mutant(
        "adam_corrects_the_mean_only",
        ADAM,
        {"math.sqrt(1 - beta2**t)": "1.0"},
        "Only the mean is biased.",
        "v starts at 0 as well.",
    ),
    Mutant(
        "adam_betas_swapped",
        ADAM,
        {"1 - beta1**t": "1 - beta2**t", "1 - beta2**t)\n": "1 - beta1**t)\n"},
        "Either beta will do for the correction.",
        "Each running mean is corrected by its own beta.",
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
        {"np.sqrt(mean_square) / root_correction": "mean_square / root_correction**2"},
        "The step is divided by v.",
        "v is a mean of squares: which power of it has the gradient's unit?",
    ),
    Mutant(
        "adam_second_moment_not_squared",
        ADAM,
        {"(1 - beta2) * g * g": "(1 - beta2) * np.abs(g)"},
        "v is the running size of the gradient.",
        "Of its square; the root comes later.",
    ),
    Mutant(
        "adam_momentum_accumulates",
        ADAM,
        {"mean += (1 - beta1) * g": "mean += g"},
        "Momentum adds the gradient.",
        "m is a mean: its weights sum to 1.",
    ),
    Mutant(
        "adam_decay_in_the_gradient",
        ADAM,
        {"p *= shrink": "g = g + weight_decay * p"},
        "Weight decay is the gradient of a penalty and belongs in the gradient.",
        "Adam would divide it by sqrt(v) as well; AdamW shrinks the parameter itself.",
    ),
    Mutant(
        "adam_decay_without_lr",
        ADAM,
        {"1 - lr * weight_decay": "1 - weight_decay"},
        "Decay does not depend on the learning rate.",
        "A schedule must slow both: p *= 1 - lr weight_decay.",
    ),
    Mutant(
        "adam_climbs",
        ADAM,
        {"p -= rate": "p += rate"},
        "Follow the gradient.",
        "The gradient points uphill.",
    ),
    Mutant(
        "adam_t_counts_parameters",
        Optimizer.step,
        {_VECTORS: f"self.t += 1\n    {_VECTORS}"},
        "t counts the updates.",
        "t counts steps: all parameters of one step have the same t.",
    ),
    Mutant(
        "decay_on_vectors",
        Optimizer.step,
        {"slice(flat.decayed, None), 0.0": "slice(flat.decayed, None), self.weight_decay"},
        "All parameters decay.",
        "Biases and gains of norms do not: only matrices.",
    ),
    Mutant(
        "vectors_not_updated",
        Optimizer.step,
        {_VECTORS: "pass"},
        "What does not decay need not be touched.",
        "It still has a gradient.",
    ),
    Mutant(
        "nesterov_forgotten",
        SGD,
        {"push + momentum * u if nesterov else u": "u"},
        "Nesterov is another name of momentum.",
        "It looks ahead: the push counts once more.",
    ),
    Mutant(
        "nesterov_always",
        SGD,
        {"push + momentum * u if nesterov else u": "push + momentum * u"},
        "Momentum always looks ahead.",
        "Only with nesterov=True.",
    ),
    Mutant(
        "sgd_dampened",
        SGD,
        {"u += push": "u += (1 - momentum) * push"},
        "The velocity is a running mean.",
        "In Adam it is; here it is a sum: u = momentum u + g.",
    ),
    Mutant(
        "sgd_lr_in_the_velocity",
        SGD,
        {"u += push": "u += rate * push", "p -= rate * (": "p -= ("},
        "The velocity is measured in steps.",
        "Then a change of lr leaves the old speed behind: lr multiplies the velocity at the end.",
    ),
    Mutant(
        "sgd_decay_forgotten",
        SGD,
        {"g + weight_decay * p": "g"},
        "Weight decay is Adam's affair.",
        "Here it is the gradient of a penalty on the squared length.",
    ),
    Mutant(
        "clip_each_array_alone",
        clip_grad_norm,
        {
            "scale_(grad, max_norm / (norm + 1e-6))": (
                "scale_(grad, max_norm / (math.sqrt(sum_of_squares(grad)) + 1e-6))"
            )
        },
        "Every gradient is clipped.",
        "That would turn the whole gradient; one factor for all keeps its direction.",
    ),
    Mutant(
        "clip_lengthens",
        clip_grad_norm,
        {"if max_norm < norm < math.inf:": "if norm < math.inf:"},
        "The gradient is scaled to max_norm.",
        "Only if it is longer.",
    ),
    Mutant(
        "clip_returns_norm_after",
        clip_grad_norm,
        {"return norm": "return min(norm, max_norm)"},
        "The norm of interest is the one that is used.",
        "The norm before clipping tells whether training is stable.",
    ),
    Mutant(
        "clip_root_forgotten",
        clip_grad_norm,
        {
            "math.sqrt(sum(sum_of_squares(grad) for grad in grads))": (
                "sum(sum_of_squares(grad) for grad in grads)"
            )
        },
        "The norm is the sum of the squares.",
        "Of a vector (3, 4), what is the length?",
    ),
    Mutant(
        "norms_added",
        clip_grad_norm,
        {
            "math.sqrt(sum(sum_of_squares(grad) for grad in grads))": (
                "sum(math.sqrt(sum_of_squares(grad)) for grad in grads)"
            )
        },
        "The norm of the whole is the sum of the norms of its parts.",
        "Pythagoras: squares add up, lengths do not.",
    ),
    Mutant(
        "cosine_from_step_zero",
        warmup_cosine,
        {"min((step - warmup) / (total - warmup), 1.0)": "min(step / total, 1.0)"},
        "The cosine runs over all steps.",
        "It begins where the warm-up ends, at the peak.",
    ),
    Mutant(
        "cosine_rises_again",
        warmup_cosine,
        {"min((step - warmup) / (total - warmup), 1.0)": "(step - warmup) / (total - warmup)"},
        "Nobody asks for steps after the last one.",
        "A cosine comes back: hold it at the floor.",
    ),
    Mutant(
        "cosine_not_halved",
        warmup_cosine,
        {"(1 + math.cos(math.pi * progress)) / 2": "math.cos(math.pi * progress / 2)"},
        "A quarter of a cosine goes from 1 to 0 as well.",
        "It is half a wave, flat at both ends, moved up and halved.",
    ),
    Mutant(
        "floor_added",
        warmup_cosine,
        {"height * peak + (1 - height) * floor": "height * peak + floor"},
        "The floor is added to the schedule.",
        "Then the peak is too high: what is the rate at step == warmup?",
    ),
    Mutant(
        "inverse_sqrt_without_width",
        warmup_inverse_sqrt,
        {"factor * width**-0.5 * step": "factor * step"},
        "The width does not matter to the learning rate.",
        "The paper divides by its root: wider models take smaller steps.",
    ),
    Mutant(
        "inverse_sqrt_larger_branch",
        warmup_inverse_sqrt,
        {"max(step, warmup) ** -1.5": "min(step + 1e-9, warmup) ** -1.5"},
        "The rate is the larger of the two branches.",
        "Both meet at step == warmup: on which side is which branch the smaller one?",
    ),
    Mutant(
        "accumulate_overwrites",
        ops.accumulate,
        {"np.add(total, part, out=total)": "np.copyto(total, part)"},
        "The newest gradient is the gradient.",
        "A tied weight, or a second micro-batch, has brought one already.",
    ),
    Mutant(
        "zero_by_multiplication",
        ops.zero_,
        {"x.fill(0.0)": "x *= 0.0"},
        "Anything times 0 is 0.",
        "NaN times 0 is NaN, and stays for ever.",
    ),
)
