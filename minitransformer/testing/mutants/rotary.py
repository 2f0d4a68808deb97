"""Mistakes in turning pairs of features by their position."""

from minitransformer import ops
from minitransformer.ops.rotary import rotate
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.rotary_forward, ops.rotary_backward

_TURNED = "rotate(x, cos, sin, interleaved)"
_TURNED_BACK = "(rotate(dy, cache.cos, -cache.sin, cache.interleaved),)"
_Y1 = "y[..., first] = x1 * cos - x2 * sin"
_Y2 = "y[..., second] = x2 * cos + x1 * sin"
_HALVES = "y[..., :half], y[..., half:] = x1 * cos - x2 * sin, x2 * cos + x1 * sin"
_PAIRS = "y[..., ::2], y[..., 1::2] = x1 * cos - x2 * sin, x2 * cos + x1 * sin"

MUTANTS = (
    Mutant(
        "rotary_always_halves",
        FORWARD,
        {_TURNED: "rotate(x, cos, sin, False)"},
        "Pairs are always (i, i + D/2).",
        "With interleaved=True they are neighbours, (2i, 2i + 1).",
    ),
    Mutant(
        "rotary_always_interleaved",
        FORWARD,
        {_TURNED: "rotate(x, cos, sin, True)"},
        "Pairs are always neighbours, (2i, 2i + 1).",
        "Only with interleaved=True; otherwise they are (i, i + D/2).",
    ),
    Mutant(
        "rotary_pairs_confused",
        FORWARD,
        {_TURNED: "rotate(x, cos, sin, not interleaved)"},
        "Interleaved means (i, i + D/2).",
        "Interleaved pairs are (2i, 2i + 1), the others (i, i + D/2).",
    ),
    Mutant(
        "rotary_turns_the_wrong_way",
        FORWARD,
        {_TURNED: "rotate(x, cos, -sin, interleaved)"},
        "The sign of the sine is a convention.",
        "It is, and checkpoints were trained with y1 = x1 cos - x2 sin.",
    ),
    Mutant(
        "rotary_sine_and_cosine_swapped",
        FORWARD,
        {_TURNED: "rotate(x, sin, cos, interleaved)"},
        "Sine and cosine differ by a quarter turn only.",
        "At angle 0 nothing moves: which of them is 1 there?",
    ),
    Mutant(
        "rotary_adds_the_angles",
        FORWARD,
        {
            _TURNED: "x + np.concatenate(np.broadcast_arrays("
            "cos + 0 * x[..., ::2], sin + 0 * x[..., ::2]), axis=-1)"
        },
        "Positions are added to the features.",
        "Sinusoidal ones are; rotary ones turn pairs of features.",
    ),
    Mutant(
        "rotary_first_half_turned_already",
        FORWARD,
        {_Y2: "y[..., second] = x2 * cos + y[..., first] * sin"},
        "y1 can stand in x1's place.",
        "The second line needs x1 as it was before the first.",
        (rotate,),
    ),
    Mutant(
        "rotary_reflects",
        FORWARD,
        {_Y2: "y[..., second] = x2 * cos - x1 * sin"},
        "Both lines have a minus.",
        "In a rotation one of the two sines has a plus: is the length of a pair kept?",
        (rotate,),
    ),
    Mutant(
        "rotary_both_sines_added",
        FORWARD,
        {_Y1: "y[..., first] = x1 * cos + x2 * sin"},
        "Both lines have a plus.",
        "In a rotation one of the two sines has a minus: is the length of a pair kept?",
        (rotate,),
    ),
    Mutant(
        "rotary_partner_forgotten",
        FORWARD,
        {_Y1: "y[..., first] = x1 * cos - x1 * sin", _Y2: "y[..., second] = x2 * cos + x2 * sin"},
        "Each feature is multiplied by cosine and sine.",
        "A rotation mixes the two features of a pair.",
        (rotate,),
    ),
    Mutant(
        "rotary_second_of_pair_not_turned",
        FORWARD,
        {_Y2: "y[..., second] = x2"},
        "Only the first of a pair is turned.",
        "A rotation moves both.",
        (rotate,),
    ),
    Mutant(
        "rotary_neighbours_written_as_halves",
        FORWARD,
        {_Y1: _HALVES, _Y2: "pass"},
        "The two results are concatenated.",
        "Interleaved pairs go back to where they came from: neighbours again.",
        (rotate,),
    ),
    Mutant(
        "rotary_halves_written_as_neighbours",
        FORWARD,
        {_Y1: _PAIRS, _Y2: "pass"},
        "The two results are interleaved.",
        "Pairs (i, i + D/2) go back to where they came from: halves again.",
        (rotate,),
    ),
    Mutant(
        "rotary_backward_passes_dy",
        BACKWARD,
        {_TURNED_BACK: "(dy.copy(),)"},
        "A rotation does not change lengths, so the gradient passes.",
        "It changes directions: dx is dy, turned.",
    ),
    Mutant(
        "rotary_backward_turns_forward",
        BACKWARD,
        {_TURNED_BACK: _TURNED_BACK.replace("-cache.sin", "cache.sin")},
        "A rotation is its own derivative, so dy is turned in the same way.",
        "Backward multiplies by the transposed matrix; what is the transpose of a rotation?",
    ),
    Mutant(
        "rotary_backward_both_sines_added",
        BACKWARD,
        {_Y2: _Y2.replace("+", "-")},
        "Both lines of backward have a plus.",
        "x2 reaches y1 with a minus: which sign has dy1 in dx2?",
        (rotate,),
    ),
    Mutant(
        "rotary_backward_both_sines_subtracted",
        BACKWARD,
        {_Y1: _Y1.replace("-", "+")},
        "Both lines of backward have a minus.",
        "x1 reaches y2 with a plus: which sign has dy2 in dx1?",
        (rotate,),
    ),
    Mutant(
        "rotary_backward_both_negative",
        BACKWARD,
        {_TURNED_BACK: _TURNED_BACK.replace("cache.cos", "-cache.cos")},
        "Backward turns by minus the rotation.",
        "By the negative angle: which of sine and cosine changes its sign then?",
    ),
    Mutant(
        "rotary_backward_cosine_only",
        BACKWARD,
        {_TURNED_BACK: _TURNED_BACK.replace("-cache.sin", "0 * cache.sin")},
        "dx is dy times the cosine.",
        "x1 reaches y2 as well, by the sine.",
    ),
    Mutant(
        "rotary_backward_sine_and_cosine_swapped",
        BACKWARD,
        {_TURNED_BACK: "(rotate(dy, cache.sin, cache.cos, cache.interleaved),)"},
        "The derivative of sine is cosine, so they change places.",
        "x is differentiated, not the angle: the matrix is transposed.",
    ),
    Mutant(
        "rotary_backward_always_halves",
        BACKWARD,
        {_TURNED_BACK: _TURNED_BACK.replace("cache.interleaved", "False")},
        "Pairs are always (i, i + D/2).",
        "The cache says how forward paired them.",
    ),
    Mutant(
        "rotary_backward_always_interleaved",
        BACKWARD,
        {_TURNED_BACK: _TURNED_BACK.replace("cache.interleaved", "True")},
        "Pairs are always neighbours, (2i, 2i + 1).",
        "The cache says how forward paired them.",
    ),
    Mutant(
        "rotary_backward_pairs_confused",
        BACKWARD,
        {_TURNED_BACK: _TURNED_BACK.replace("cache.inter", "not cache.inter")},
        "Interleaved means (i, i + D/2).",
        "Interleaved pairs are (2i, 2i + 1), the others (i, i + D/2).",
    ),
    Mutant(
        "rotary_backward_first_turned_already",
        BACKWARD,
        {_Y2: "y[..., second] = x2 * cos + y[..., first] * sin"},
        "dx1 can stand in dy1's place.",
        "The second line needs dy1 as it was before the first.",
        (rotate,),
    ),
)
