"""Mistakes in clipping the gradient."""

from minitransformer.optim import clip_grad_norm
from minitransformer.testing.mutants.base import Mutant

CLIP = clip_grad_norm

_NORM = "norm = math.sqrt(sum(sum_of_squares(grad) for grad in grads))"
_IF = "if max_norm < norm < math.inf:"
_SCALE = "scale_(grad, max_norm / (norm + 1e-6))"
_RETURN = "    return norm"

MUTANTS = (
    Mutant(
        "clip_not_in_place",
        CLIP,
        {_SCALE: "grad = grad * (max_norm / (norm + 1e-6))"},
        "grad = grad * ... changes the gradient.",
        "It gives the name grad to a new array: the caller's must change in place.",
    ),
    Mutant(
        "clip_each_array_alone",
        CLIP,
        {
            _IF: "if True:",
            _SCALE: "alone = math.sqrt(sum_of_squares(grad))\n"
            "            scale_(grad, min(1.0, max_norm / (alone + 1e-6)))",
        },
        "Every gradient is clipped.",
        "That would turn the whole gradient; one factor for all keeps its direction.",
    ),
    Mutant(
        "clip_each_entry",
        CLIP,
        {_SCALE: "np.clip(grad, -max_norm, max_norm, out=grad)", _IF: "if True:"},
        "Clipping bounds every entry.",
        "That is clipping by value; here the length is bounded, and the direction stays.",
    ),
    Mutant(
        "clip_lengthens",
        CLIP,
        {_IF: "if norm < math.inf:"},
        "The gradient is scaled to max_norm.",
        "Only if it is longer.",
    ),
    Mutant(
        "clip_the_wrong_way",
        CLIP,
        {_IF: "if norm < max_norm:"},
        "Gradients shorter than max_norm are scaled.",
        "Those that are longer.",
    ),
    Mutant(
        "clip_to_length_one",
        CLIP,
        {_SCALE: "scale_(grad, 1.0 / (norm + 1e-6))"},
        "A gradient that is too long is normalised.",
        "To the length max_norm.",
    ),
    Mutant(
        "clip_without_small_number",
        CLIP,
        {_SCALE: "scale_(grad, max_norm / norm)"},
        "The 1e-6 is too small to matter.",
        "For gradients of 1e-6 it matters; here, as in PyTorch, it is added to the norm.",
    ),
    Mutant(
        "clip_returns_norm_after",
        CLIP,
        {_RETURN: "    return min(norm, max_norm)"},
        "The norm of interest is the one that is used.",
        "The norm before clipping tells whether training is stable.",
    ),
    Mutant(
        "clip_returns_the_factor",
        CLIP,
        {_RETURN: "    return min(1.0, max_norm / (norm + 1e-6))"},
        "The factor is returned.",
        "The norm before clipping tells whether training is stable.",
    ),
    Mutant(
        "clip_root_forgotten",
        CLIP,
        {_NORM: "norm = sum(sum_of_squares(grad) for grad in grads)"},
        "The norm is the sum of the squares.",
        "Of a vector (3, 4), what is the length?",
    ),
    Mutant(
        "norms_added",
        CLIP,
        {_NORM: "norm = sum(math.sqrt(sum_of_squares(grad)) for grad in grads)"},
        "The norm of the whole is the sum of the norms of its parts.",
        "Pythagoras: squares add up, lengths do not.",
    ),
    Mutant(
        "norm_averaged",
        CLIP,
        {
            _NORM: "norm = math.sqrt(sum(sum_of_squares(grad) for grad in grads)\n"
            "        / sum(grad.size for grad in grads))"
        },
        "The norm is the root of the mean square.",
        "A length is the root of the sum of squares.",
    ),
    Mutant(
        "norm_of_absolute_values",
        CLIP,
        {_NORM: "norm = float(sum(abs(grad).sum() for grad in grads))"},
        "The norm is the sum of the absolute values.",
        "Of a vector (3, 4), what is the length?",
    ),
    Mutant(
        "norm_of_the_largest_entry",
        CLIP,
        {_NORM: "norm = float(max(abs(grad).max() for grad in grads))"},
        "The norm is the largest entry.",
        "Of a vector (3, 4), what is the length?",
    ),
    Mutant(
        "norm_of_the_longest_array",
        CLIP,
        {_NORM: "norm = max(math.sqrt(sum_of_squares(grad)) for grad in grads)"},
        "The norm is that of the longest array.",
        "All arrays are taken as one long vector.",
    ),
)
