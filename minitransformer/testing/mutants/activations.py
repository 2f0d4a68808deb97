"""Mistakes in ReLU, tanh and SiLU."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

RELU, DRELU = ops.relu_forward, ops.relu_backward
TANH, DTANH = ops.tanh_forward, ops.tanh_backward
SILU, DSILU = ops.silu_forward, ops.silu_backward

_RELU = "np.maximum(x, 0.0)"
_RELU_DX = "dx = np.where(cache.x > 0.0, dy, 0.0)"
_TANH_DX = "dx = dy * (1.0 - y * y)"
_SIGMOID = "np.exp(-np.logaddexp(0.0, -x))"
_SILU_DX = "dx = dy * (sigmoid + x * sigmoid * (1.0 - sigmoid))"

MUTANTS = (
    Mutant(
        "relu_leaks",
        RELU,
        {_RELU: "np.where(x > 0.0, x, 0.01 * x)"},
        "A little slope below 0 cannot hurt.",
        "That is another function, the leaky ReLU.",
    ),
    Mutant(
        "relu_keeps_the_negative",
        RELU,
        {_RELU: "np.minimum(x, 0.0)"},
        "ReLU is the minimum of x and 0.",
        "What is positive stays.",
    ),
    Mutant(
        "relu_is_the_absolute_value",
        RELU,
        {_RELU: "np.abs(x)"},
        "ReLU makes every number positive.",
        "What is negative becomes 0.",
    ),
    Mutant(
        "relu_is_a_step",
        RELU,
        {_RELU: "(x > 0.0).astype(x.dtype)"},
        "ReLU tells what is positive.",
        "That is its slope: what is positive stays as it is.",
    ),
    Mutant(
        "relu_ends_at_six",
        RELU,
        {_RELU: "np.clip(x, 0.0, 6.0)"},
        "ReLU is bounded.",
        "ReLU6 is; ReLU lets large numbers through.",
    ),
    Mutant(
        "relu_slope_one_at_zero",
        DRELU,
        {_RELU_DX: "dx = np.where(cache.x >= 0.0, dy, 0.0)"},
        "At 0 any slope is as good.",
        "It is, but one was agreed on: 0.",
    ),
    Mutant(
        "relu_of_the_gradient",
        DRELU,
        {_RELU_DX: "dx = np.where(dy > 0.0, dy, 0.0)"},
        "The backward of relu is relu of the gradient.",
        "Which elements did forward let through: those with x > 0, or those with dy > 0?",
    ),
    Mutant(
        "relu_gradient_where_both_are_positive",
        DRELU,
        {_RELU_DX: "dx = np.where((cache.x > 0.0) & (dy > 0.0), dy, 0.0)"},
        "Only a positive gradient passes.",
        "The slope is 1 wherever x > 0: negative gradients pass as well.",
    ),
    Mutant(
        "relu_gradient_passes_everywhere",
        DRELU,
        {_RELU_DX: "dx = dy.copy()"},
        "The slope of ReLU is 1.",
        "Where x is negative y does not move.",
    ),
    Mutant(
        "relu_gradient_inverted",
        DRELU,
        {_RELU_DX: "dx = np.where(cache.x > 0.0, 0.0, dy)"},
        "The gradient is 0 where x is positive.",
        "Where does y move with x?",
    ),
    Mutant(
        "relu_slope_without_dy",
        DRELU,
        {_RELU_DX: "dx = (cache.x > 0.0).astype(dy.dtype)"},
        "The gradient is the slope.",
        "By the chain rule: the slope times the gradient that arrives from above.",
    ),
    Mutant(
        "relu_gradient_times_x",
        DRELU,
        {_RELU_DX: "dx = dy * np.maximum(cache.x, 0.0)"},
        "The gradient is dy times y.",
        "dy times the slope of y: where x is positive that is 1.",
    ),
    Mutant(
        "tanh_is_the_sigmoid",
        TANH,
        {"np.tanh(x)": "0.5 * (1.0 + np.tanh(0.5 * x))"},
        "tanh and the sigmoid are the same curve.",
        "The same form, but tanh goes from -1 to 1 and is 0 at 0.",
    ),
    Mutant(
        "tanh_is_the_tangent",
        TANH,
        {"np.tanh(x)": "np.tan(x)"},
        "tanh is the tangent.",
        "It is the hyperbolic one, which is bounded.",
    ),
    Mutant(
        "tanh_of_half_of_x",
        TANH,
        {"np.tanh(x)": "np.tanh(0.5 * x)"},
        "tanh(x) is (1 - exp(-x)) / (1 + exp(-x)).",
        "Divide numerator and denominator of the definition by exp(x): what is in the exponent?",
    ),
    Mutant(
        "tanh_cut_at_one",
        TANH,
        {"np.tanh(x)": "np.clip(x, -1.0, 1.0)"},
        "tanh is x, cut off at -1 and 1.",
        "That is the hard tanh, which has corners.",
    ),
    Mutant(
        "tanh_slope_of_the_sigmoid",
        DTANH,
        {_TANH_DX: "dx = dy * y * (1.0 - y)"},
        "The derivative is y (1 - y).",
        "That is the sigmoid's.",
    ),
    Mutant(
        "tanh_slope_without_the_square",
        DTANH,
        {_TANH_DX: "dx = dy * (1.0 - y)"},
        "The derivative is 1 - y.",
        "The slope is the same at x and -x.",
    ),
    Mutant(
        "tanh_slope_adds_the_square",
        DTANH,
        {_TANH_DX: "dx = dy * (1.0 + y * y)"},
        "The derivative is 1 + y^2.",
        "That is the tangent's; where does tanh flatten?",
    ),
    Mutant(
        "tanh_taken_twice",
        DTANH,
        {_TANH_DX: "dx = dy * (1.0 - np.tanh(y) ** 2)"},
        "The cache holds x.",
        "It holds y, which is tanh(x) already.",
    ),
    Mutant(
        "tanh_slope_without_dy",
        DTANH,
        {_TANH_DX: "dx = 1.0 - y * y"},
        "The gradient is the slope.",
        "By the chain rule: the slope times the gradient that arrives from above.",
    ),
    Mutant(
        "silu_is_the_sigmoid",
        SILU,
        {"y = x * sigmoid": "y = 1.0 * sigmoid"},
        "SiLU is another name of the sigmoid.",
        "The sigmoid is the gate; what does it gate?",
    ),
    Mutant(
        "silu_gate_inverted",
        SILU,
        {_SIGMOID: "np.exp(-np.logaddexp(0.0, x))"},
        "The sigmoid is 1 / (1 + exp(x)).",
        "It grows with x: which sign does the exponent have?",
    ),
    Mutant(
        "silu_gate_is_tanh",
        SILU,
        {_SIGMOID: "np.tanh(x)"},
        "The gate is tanh.",
        "The gate lies between 0 and 1: the sigmoid.",
    ),
    Mutant(
        "silu_is_gelu",
        SILU,
        {_SIGMOID: "np.exp(-np.logaddexp(0.0, -1.702 * x))"},
        "The sigmoid is that of 1.702 x.",
        "That is an approximation of GELU.",
    ),
    Mutant(
        "silu_gate_forgotten",
        DSILU,
        {_SILU_DX: "dx = dy * (x * sigmoid * (1.0 - sigmoid))"},
        "The derivative of x s(x) is x s'(x).",
        "The product rule has two terms.",
    ),
    Mutant(
        "silu_gate_taken_for_a_constant",
        DSILU,
        {_SILU_DX: "dx = dy * sigmoid"},
        "The derivative of x s(x) is s(x).",
        "The product rule has two terms.",
    ),
    Mutant(
        "silu_backward_of_the_sigmoid",
        DSILU,
        {_SILU_DX: "dx = dy * sigmoid * (1.0 - sigmoid)"},
        "The derivative is s (1 - s).",
        "That is the sigmoid's own; SiLU is x times it.",
    ),
    Mutant(
        "silu_x_forgotten",
        DSILU,
        {_SILU_DX: "dx = dy * (sigmoid + sigmoid * (1.0 - sigmoid))"},
        "The two terms are s and s'.",
        "The product rule: s is one factor's slope times the other; what stands beside s'?",
    ),
    Mutant(
        "silu_slope_of_sigmoid_is_sigmoid",
        DSILU,
        {_SILU_DX: "dx = dy * (sigmoid + x * sigmoid)"},
        "The derivative of the sigmoid is the sigmoid.",
        "Of exp it is; the sigmoid flattens where it comes near 1.",
    ),
    Mutant(
        "silu_product_rule_subtracts",
        DSILU,
        {_SILU_DX: "dx = dy * (sigmoid - x * sigmoid * (1.0 - sigmoid))"},
        "The second term is subtracted.",
        "The product rule adds; the quotient rule subtracts.",
    ),
    Mutant(
        "silu_slope_without_dy",
        DSILU,
        {_SILU_DX: "dx = sigmoid + x * sigmoid * (1.0 - sigmoid)"},
        "The gradient is the slope.",
        "By the chain rule: the slope times the gradient that arrives from above.",
    ),
)
