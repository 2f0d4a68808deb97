"""Mistakes in SwiGLU."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

SWIGLU, DSWIGLU = ops.swiglu_forward, ops.swiglu_backward

_SIGMOID = "np.exp(-np.logaddexp(0.0, -gate))"
_Y = "y = gate * sigmoid * up"
_DUP = "dup = dy * gate * sigmoid"
_DGATE = "dgate = dy * up * (sigmoid + gate * sigmoid * (1.0 - sigmoid))"

MUTANTS = (
    Mutant(
        "swiglu_arguments_swapped",
        SWIGLU,
        {_SIGMOID: "np.exp(-np.logaddexp(0.0, -up))"},
        "The activation is that of up.",
        "Which of the two opens and shuts, and which is let through?",
    ),
    Mutant(
        "swiglu_is_glu",
        SWIGLU,
        {_Y: "y = sigmoid * up"},
        "The gate is the sigmoid.",
        "That is the GLU of 2016; the SiLU is the sigmoid times its own argument.",
    ),
    Mutant(
        "swiglu_up_forgotten",
        SWIGLU,
        {_Y: "y = gate * sigmoid"},
        "SwiGLU is another name of SiLU.",
        "SiLU gates x by itself; here there are two arrays.",
    ),
    Mutant(
        "swiglu_is_bilinear",
        SWIGLU,
        {_Y: "y = gate * up"},
        "The gate needs no activation.",
        "Then the layer would be a polynomial of degree two: nothing ever shuts.",
    ),
    Mutant(
        "swiglu_adds",
        SWIGLU,
        {_Y: "y = gate * sigmoid + up"},
        "Both branches are added.",
        "A gate multiplies.",
    ),
    Mutant(
        "swiglu_gate_inverted",
        SWIGLU,
        {_SIGMOID: "np.exp(-np.logaddexp(0.0, gate))"},
        "The sigmoid is 1 / (1 + exp(x)).",
        "It grows with x: which sign does the exponent have?",
    ),
    Mutant(
        "swiglu_is_reglu",
        SWIGLU,
        {_Y: "y = np.maximum(gate, 0.0) * up"},
        "The gate is ReLU.",
        "ReGLU does that; the gate here has no corner.",
    ),
    Mutant(
        "swiglu_is_geglu",
        SWIGLU,
        {_SIGMOID: "np.exp(-np.logaddexp(0.0, -1.702 * gate))"},
        "The sigmoid is that of 1.702 x.",
        "That is an approximation of GELU: GEGLU.",
    ),
    Mutant(
        "swiglu_gradients_swapped",
        DSWIGLU,
        {"return dgate, dup": "return dup, dgate"},
        "The gradients come in any order.",
        "They come in the order of forward's arguments.",
    ),
    Mutant(
        "swiglu_up_gradient_without_gate",
        DSWIGLU,
        {_DUP: "dup = dy * sigmoid"},
        "The factor beside up is the sigmoid.",
        "It is the SiLU of the gate.",
    ),
    Mutant(
        "swiglu_up_gradient_times_up",
        DSWIGLU,
        {_DUP: "dup = dy * gate * sigmoid * up"},
        "The gradient of up is dy times y.",
        "y is linear in up: what is its slope?",
    ),
    Mutant(
        "swiglu_up_gets_what_came",
        DSWIGLU,
        {_DUP: "dup = dy.copy()"},
        "up is passed on as it is, and so is its gradient.",
        "Forward lets only part of it through.",
    ),
    Mutant(
        "swiglu_gate_gradient_without_up",
        DSWIGLU,
        {_DGATE: "dgate = dy * (sigmoid + gate * sigmoid * (1.0 - sigmoid))"},
        "The gradient of the gate is that of SiLU.",
        "What does SiLU of the gate stand beside in the product?",
    ),
    Mutant(
        "swiglu_gate_taken_for_a_constant",
        DSWIGLU,
        {_DGATE: "dgate = dy * up * sigmoid"},
        "The derivative of g s(g) is s(g).",
        "The product rule has two terms.",
    ),
    Mutant(
        "swiglu_gate_factor_forgotten",
        DSWIGLU,
        {_DGATE: "dgate = dy * up * (gate * sigmoid * (1.0 - sigmoid))"},
        "The derivative of g s(g) is g s'(g).",
        "The product rule has two terms.",
    ),
    Mutant(
        "swiglu_slope_of_sigmoid_alone",
        DSWIGLU,
        {_DGATE: "dgate = dy * up * sigmoid * (1.0 - sigmoid)"},
        "The derivative of the gate is s (1 - s).",
        "That is GLU's; here the sigmoid is multiplied by its own argument.",
    ),
    Mutant(
        "swiglu_slope_of_sigmoid_is_sigmoid",
        DSWIGLU,
        {_DGATE: "dgate = dy * up * (sigmoid + gate * sigmoid)"},
        "The derivative of the sigmoid is the sigmoid.",
        "Of exp it is; the sigmoid flattens where it comes near 1.",
    ),
    Mutant(
        "swiglu_product_rule_subtracts",
        DSWIGLU,
        {_DGATE: "dgate = dy * up * (sigmoid - gate * sigmoid * (1.0 - sigmoid))"},
        "The second term is subtracted.",
        "The product rule adds; the quotient rule subtracts.",
    ),
    Mutant(
        "swiglu_slopes_without_dy",
        DSWIGLU,
        {
            _DUP: "dup = gate * sigmoid",
            _DGATE: "dgate = up * (sigmoid + gate * sigmoid * (1.0 - sigmoid))",
        },
        "The gradients are the slopes.",
        "By the chain rule: the slopes times the gradient that arrives from above.",
    ),
)
