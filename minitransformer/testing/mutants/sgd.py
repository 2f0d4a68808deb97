"""Mistakes in stochastic gradient descent."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

SGD = ops.sgd_step

_PUSH = "push = g + weight_decay * p"
_KEEP = "u *= momentum"
_ADD = "u += push"
_MOVE = "(push + momentum * u if nesterov else u)"
_STEP = f"p -= rate * {_MOVE}"

MUTANTS = (
    Mutant(
        "sgd_parameter_not_updated",
        SGD,
        {_STEP: f"p = p - rate * {_MOVE}"},
        "p = p - ... changes the parameter.",
        "It gives the name p to a new array: the one that the model holds must change in place.",
    ),
    Mutant(
        "sgd_velocity_not_kept",
        SGD,
        {_KEEP: "u = momentum * u"},
        "u = momentum u + g changes the velocity.",
        "It gives the name u to a new array: the next step must find the velocity in place.",
    ),
    Mutant(
        "sgd_climbs",
        SGD,
        {_STEP: _STEP.replace("-=", "+=")},
        "Follow the gradient.",
        "The gradient points uphill.",
    ),
    Mutant(
        "sgd_lr_forgotten",
        SGD,
        {_STEP: _STEP.replace("rate * ", "")},
        "The velocity is the step.",
        "Times the learning rate.",
    ),
    Mutant(
        "momentum_forgotten",
        SGD,
        {_KEEP: "u *= 0"},
        "The velocity is the gradient.",
        "A share of the old velocity survives: momentum.",
    ),
    Mutant(
        "momentum_never_ends",
        SGD,
        {_KEEP: "pass"},
        "The velocity is the sum of all gradients.",
        "Only a share of it survives each step: momentum.",
    ),
    Mutant(
        "sgd_moves_by_the_old_velocity",
        SGD,
        {_PUSH: f"old = u.copy()\n        {_PUSH}", _STEP: _STEP.replace("else u", "else old")},
        "First the step, then the velocity.",
        "The velocity has this gradient's push before the step is taken.",
    ),
    Mutant(
        "sgd_dampened",
        SGD,
        {_ADD: "u += (1 - momentum) * push"},
        "The velocity is a running mean.",
        "In Adam it is; here it is a sum: u = momentum u + g.",
    ),
    Mutant(
        "sgd_lr_in_the_velocity",
        SGD,
        {_ADD: "u += rate * push", _STEP: f"p -= {_MOVE.replace('push', 'rate * push')}"},
        "The velocity is measured in steps.",
        "Then a change of lr leaves the old speed behind: lr multiplies the velocity at the end.",
    ),
    Mutant(
        "sgd_lr_twice",
        SGD,
        {_ADD: "u += rate * push"},
        "The push and the step are both multiplied by lr.",
        "Once: at the end.",
    ),
    Mutant(
        "nesterov_forgotten",
        SGD,
        {_MOVE: "u"},
        "Nesterov is another name of momentum.",
        "It looks ahead: the push counts once more.",
    ),
    Mutant(
        "nesterov_always",
        SGD,
        {_MOVE: "(push + momentum * u)"},
        "Momentum always looks ahead.",
        "Only with nesterov=True.",
    ),
    Mutant(
        "nesterov_without_the_push",
        SGD,
        {_MOVE: "(momentum * u if nesterov else u)"},
        "Nesterov moves by momentum times the velocity.",
        "And by the push: p - lr (g + momentum u).",
    ),
    Mutant(
        "nesterov_adds_the_velocity",
        SGD,
        {_MOVE: "(push + u if nesterov else u)"},
        "Nesterov moves by the push and the velocity.",
        "The velocity has lost a share by then: p - lr (g + momentum u).",
    ),
    Mutant(
        "nesterov_by_the_velocity_twice",
        SGD,
        {_MOVE: "(u + momentum * u if nesterov else u)"},
        "Nesterov moves by the velocity, and once more by momentum times it.",
        "By the push, not the velocity: p - lr (g + momentum u).",
    ),
    Mutant(
        "sgd_decay_forgotten",
        SGD,
        {_PUSH: "push = g"},
        "Weight decay is Adam's affair.",
        "Here it is the gradient of a penalty on the squared length.",
    ),
    Mutant(
        "sgd_decay_decoupled",
        SGD,
        {_PUSH: "push = g\n        p *= 1 - rate * weight_decay"},
        "Weight decay shrinks the parameter itself, as in AdamW.",
        "In SGD it is part of the gradient, and so of the velocity.",
    ),
    Mutant(
        "sgd_decay_subtracted",
        SGD,
        {_PUSH: "push = g - weight_decay * p"},
        "The decay is subtracted from the gradient.",
        "The gradient is subtracted from the parameter later: the parameter would grow.",
    ),
    Mutant(
        "sgd_decay_doubled",
        SGD,
        {_PUSH: "push = g + 2.0 * weight_decay * p"},
        "The derivative of the penalty is 2 weight_decay p.",
        "The penalty is weight_decay |p|^2 / 2.",
    ),
)
