"""Mistakes in GELU, both forms."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.gelu_forward, ops.gelu_backward

_TANH = 'if approximate == "tanh":'
_INNER = "_SQRT_2_OVER_PI * x * (1.0 + _TANH_CUBIC * x * x)"
_Y = "y = 0.5 * x * (1.0 + inner)"
_SLOPE = "(1.0 - inner * inner) * (_SQRT_2_OVER_PI * (1.0 + 3.0 * _TANH_CUBIC * x * x))"
_DENSITY = "slope = _SQRT_2_OVER_PI * np.exp(-0.5 * x * x)"
_DX = "dx = dy * 0.5 * (1.0 + inner + x * slope)"

MUTANTS = (
    Mutant(
        "gelu_forms_swapped",
        FORWARD,
        {_TANH: 'if approximate != "tanh":'},
        "The approximation is the exact form.",
        'Which form does approximate="none" ask for?',
    ),
    Mutant(
        "gelu_always_exact",
        FORWARD,
        {_TANH: "if False:"},
        "The exact form is always the better one.",
        'GPT-2 was trained with the other: approximate="tanh" is the default.',
    ),
    Mutant(
        "gelu_always_tanh",
        FORWARD,
        {_TANH: "if True:"},
        "The approximation will do.",
        'BERT was trained with the exact form: approximate="none" asks for erf.',
    ),
    Mutant(
        "gelu_by_the_sigmoid",
        FORWARD,
        {f"np.tanh({_INNER})": "np.tanh(0.851 * x)"},
        "x sigmoid(1.702 x) is GELU.",
        "It is a coarser approximation than the one that is asked for, with tanh.",
    ),
    Mutant(
        "gelu_erf_without_root",
        FORWARD,
        {"x * math.sqrt(0.5)": "x"},
        "GELU is x (1 + erf(x)) / 2.",
        "The normal distribution function is (1 + erf(x / sqrt(2))) / 2.",
    ),
    Mutant(
        "gelu_root_of_two_over_pi_forgotten",
        FORWARD,
        {_INNER: _INNER.replace("_SQRT_2_OVER_PI * ", "")},
        "The argument of tanh is the polynomial.",
        "Near 0, tanh must have the slope of erf(x / sqrt(2)).",
    ),
    Mutant(
        "gelu_two_over_pi_without_root",
        FORWARD,
        {_INNER: _INNER.replace("_SQRT_2_OVER_PI", "(2.0 / math.pi)")},
        "The constant is 2 / pi.",
        "Its square root.",
    ),
    Mutant(
        "gelu_two_times_pi",
        FORWARD,
        {_INNER: _INNER.replace("_SQRT_2_OVER_PI", "math.sqrt(2.0 * math.pi)")},
        "The constant is sqrt(2 pi), as in the normal density.",
        "2 is divided by pi, under the root.",
    ),
    Mutant(
        "gelu_root_of_two_alone",
        FORWARD,
        {_INNER: _INNER.replace("_SQRT_2_OVER_PI", "(math.sqrt(2.0) / math.pi)")},
        "The constant is sqrt(2) / pi.",
        "pi is under the root too.",
    ),
    Mutant(
        "gelu_pi_over_two",
        FORWARD,
        {_INNER: _INNER.replace("_SQRT_2_OVER_PI", "math.sqrt(math.pi / 2.0)")},
        "The constant is sqrt(pi / 2).",
        "The other way round.",
    ),
    Mutant(
        "gelu_cubic_by_ten",
        FORWARD,
        {_INNER: _INNER.replace("_TANH_CUBIC", "0.44715")},
        "The coefficient of the cube is 0.44715.",
        "A zero is missing: 0.044715.",
    ),
    Mutant(
        "gelu_square_for_cube",
        FORWARD,
        {_INNER: _INNER.replace("_TANH_CUBIC * x * x", "_TANH_CUBIC * x")},
        "The polynomial is x + 0.044715 x^2.",
        "An odd function has odd powers: x^3.",
    ),
    Mutant(
        "gelu_cube_forgotten",
        FORWARD,
        {_INNER: "_SQRT_2_OVER_PI * x"},
        "The argument of tanh is sqrt(2/pi) x.",
        "There is a cubic term as well, 0.044715 x^3.",
    ),
    Mutant(
        "gelu_cube_outside_the_root",
        FORWARD,
        {_INNER: "(_SQRT_2_OVER_PI * x + _TANH_CUBIC * x * x * x)"},
        "The root multiplies x.",
        "It multiplies the whole polynomial.",
    ),
    Mutant(
        "gelu_half_forgotten",
        FORWARD,
        {_Y: "y = x * (1.0 + inner)"},
        "GELU is x (1 + tanh(...)).",
        "The bracket goes from 0 to 2; a probability goes from 0 to 1.",
    ),
    Mutant(
        "gelu_one_forgotten",
        FORWARD,
        {_Y: "y = 0.5 * x * inner"},
        "GELU is x tanh(...) / 2.",
        "tanh goes from -1 to 1; a probability goes from 0 to 1.",
    ),
    Mutant(
        "gelu_is_the_probability",
        FORWARD,
        {_Y: "y = 0.5 * (1.0 + inner)"},
        "GELU is the normal distribution function.",
        "That is the gate; what does it gate?",
    ),
    Mutant(
        "gelu_tanh_forward_erf_backward",
        BACKWARD,
        {_TANH: "if False:"},
        "The two forms of GELU are nearly equal, so erf's derivative serves both.",
        "Nearly: differentiate what forward computed.",
    ),
    Mutant(
        "gelu_erf_forward_tanh_backward",
        BACKWARD,
        {_TANH: "if True:"},
        "The two forms of GELU are nearly equal, so tanh's derivative serves both.",
        "Nearly: differentiate what forward computed.",
    ),
    Mutant(
        "gelu_product_rule_forgotten",
        BACKWARD,
        {_DX: "dx = dy * 0.5 * (1.0 + inner)"},
        "The bracket weights x, so the derivative is the bracket.",
        "x stands in the bracket too.",
    ),
    Mutant(
        "gelu_gate_forgotten",
        BACKWARD,
        {_DX: "dx = dy * 0.5 * x * slope"},
        "The derivative of x Phi(x) is x Phi'(x).",
        "The product rule has two terms.",
    ),
    Mutant(
        "gelu_x_forgotten_in_the_second_term",
        BACKWARD,
        {_DX: "dx = dy * 0.5 * (1.0 + inner + slope)"},
        "The two terms are Phi and its slope.",
        "The product rule: what stands beside the slope?",
    ),
    Mutant(
        "gelu_half_forgotten_backward",
        BACKWARD,
        {_DX: "dx = dy * (1.0 + inner + x * slope)"},
        "The factor 1/2 belongs to forward.",
        "A constant factor stays in the derivative.",
    ),
    Mutant(
        "gelu_half_of_the_first_term_only",
        BACKWARD,
        {_DX: "dx = dy * (0.5 * (1.0 + inner) + x * slope)"},
        "The factor 1/2 belongs to the first term.",
        "Forward halves the product, so both terms are halved.",
    ),
    Mutant(
        "gelu_slope_of_tanh_forgotten",
        BACKWARD,
        {_SLOPE: _SLOPE.replace("(1.0 - inner * inner) * ", "")},
        "The derivative of tanh(u) is u'.",
        "The chain rule: the slope of tanh at u, times u'.",
    ),
    Mutant(
        "gelu_slope_of_tanh_not_squared",
        BACKWARD,
        {_SLOPE: _SLOPE.replace("inner * inner", "inner")},
        "The derivative of tanh is 1 - tanh.",
        "1 - tanh^2: it is the same on either side of 0.",
    ),
    Mutant(
        "gelu_inner_derivative_forgotten",
        BACKWARD,
        {_SLOPE: "1.0 - inner * inner"},
        "The derivative of tanh(u) is 1 - tanh(u)^2.",
        "By u; the chain rule multiplies by u'.",
    ),
    Mutant(
        "gelu_inner_slope_forgotten",
        BACKWARD,
        {_SLOPE: _SLOPE.replace("3.0 * ", "")},
        "The polynomial keeps its coefficients.",
        "What is the derivative of x^3?",
    ),
    Mutant(
        "gelu_inner_constant_forgotten",
        BACKWARD,
        {_SLOPE: _SLOPE.replace("_SQRT_2_OVER_PI * ", "")},
        "The constant in front of the polynomial has derivative 0.",
        "A factor stays.",
    ),
    Mutant(
        "gelu_density_of_half_the_variance",
        BACKWARD,
        {_DENSITY: _DENSITY.replace("-0.5 * ", "-")},
        "The density is exp(-x^2).",
        "erf has x / sqrt(2): the density is exp(-x^2 / 2).",
    ),
    Mutant(
        "gelu_density_not_normalised",
        BACKWARD,
        {_DENSITY: "slope = np.exp(-0.5 * x * x)"},
        "The density is exp(-x^2 / 2).",
        "A density has the area 1: divide by sqrt(2 pi).",
    ),
    Mutant(
        "gelu_slope_without_dy",
        BACKWARD,
        {_DX: "dx = 0.5 * (1.0 + inner + x * slope)"},
        "The gradient is the slope.",
        "By the chain rule: the slope times the gradient that arrives from above.",
    ),
)
