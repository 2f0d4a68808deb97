"""Mistakes in learning-rate schedules."""

from minitransformer.schedules import warmup_cosine, warmup_inverse_sqrt
from minitransformer.testing.mutants.base import Mutant

COSINE, INVERSE_SQRT = warmup_cosine, warmup_inverse_sqrt

_IF = "if step < warmup:"
_CLIMB = "return peak * step / warmup"
_PROGRESS = "progress = min((step - warmup) / (total - warmup), 1.0)"
_HEIGHT = "height = (1 + math.cos(math.pi * progress)) / 2"
_RATE = "return height * peak + (1 - height) * floor"
_INVERSE = "factor * width**-0.5 * step * max(step, warmup) ** -1.5"

MUTANTS = (
    Mutant(
        "warmup_forgotten",
        COSINE,
        {_IF: "if False:", _PROGRESS: "progress = min(step / total, 1.0)"},
        "The schedule is a cosine from the start.",
        "First it climbs in a straight line to the peak, for `warmup` steps.",
    ),
    Mutant(
        "warmup_at_the_peak",
        COSINE,
        {_CLIMB: "return peak"},
        "During the warm-up the rate is at its peak.",
        "It climbs there in a straight line.",
    ),
    Mutant(
        "cosine_of_a_whole_wave_down_to_the_floor",
        COSINE,
        {_HEIGHT: f"{_HEIGHT.replace('math.pi *', '2 * math.pi *')} if progress < 1 else 0.0"},
        "The descent is a wave of the cosine.",
        "Of half a wave: where is a whole one at its end?",
    ),
    Mutant(
        "warmup_one_step_early",
        COSINE,
        {_CLIMB: "return peak * (step + 1) / warmup"},
        "Steps count from 1, so 1 is added.",
        "The peak is at step == warmup: where is it with your formula?",
    ),
    Mutant(
        "warmup_one_step_late",
        COSINE,
        {_CLIMB: "return peak * step / (warmup + 1)"},
        "The climb takes warmup + 1 steps.",
        "The peak is at step == warmup: where would your line reach it?",
    ),
    Mutant(
        "warmup_one_step_short",
        COSINE,
        {_CLIMB: "return peak * step / max(warmup - 1, 1)"},
        "The climb takes warmup - 1 steps, from the first to the last of them.",
        "The peak is at step == warmup: what is the rate one step before?",
    ),
    Mutant(
        "warmup_from_the_floor",
        COSINE,
        {_CLIMB: "return floor + (peak - floor) * step / warmup"},
        "The climb begins at the floor.",
        "At 0: the floor is where the descent ends.",
    ),
    Mutant(
        "warmup_peak_forgotten",
        COSINE,
        {_CLIMB: "return step / warmup"},
        "The climb is step / warmup.",
        "That is a share: of what?",
    ),
    Mutant(
        "warmup_by_zero",
        COSINE,
        {_IF: "if step <= warmup:"},
        "The warm-up includes its last step.",
        "Then a warm-up of 0 steps divides by 0.",
    ),
    Mutant(
        "cosine_from_step_zero",
        COSINE,
        {_PROGRESS: "progress = min(step / total, 1.0)"},
        "The cosine runs over all steps.",
        "It begins where the warm-up ends, at the peak.",
    ),
    Mutant(
        "cosine_ends_late",
        COSINE,
        {_PROGRESS: "progress = min((step - warmup) / total, 1.0)"},
        "The descent takes `total` steps.",
        "The floor is reached at step == total, warm-up included.",
    ),
    Mutant(
        "cosine_one_step_short",
        COSINE,
        {_PROGRESS: "progress = min((step - warmup) / max(total - warmup - 1, 1), 1.0)"},
        "The last step is total - 1, and there the floor is reached.",
        "At step == total.",
    ),
    Mutant(
        "cosine_rises_again",
        COSINE,
        {_PROGRESS: "progress = (step - warmup) / (total - warmup)"},
        "Nobody asks for steps after the last one.",
        "A cosine comes back: hold it at the floor.",
    ),
    Mutant(
        "zero_after_the_end",
        COSINE,
        {_PROGRESS: f"{_PROGRESS}\n    if step > total:\n        return 0.0"},
        "After the last step the rate is 0.",
        "It stays at the floor ever after.",
    ),
    Mutant(
        "cosine_is_a_line",
        COSINE,
        {_HEIGHT: "height = 1 - progress"},
        "The descent is a straight line.",
        "It is half a cosine wave, flat at both ends.",
    ),
    Mutant(
        "cosine_not_halved",
        COSINE,
        {_HEIGHT: "height = math.cos(math.pi * progress / 2)"},
        "A quarter of a cosine goes from 1 to 0 as well.",
        "It is half a wave, flat at both ends, moved up and halved.",
    ),
    Mutant(
        "cosine_half_forgotten",
        COSINE,
        {_HEIGHT: "height = 1 + math.cos(math.pi * progress)"},
        "The height is 1 + cos.",
        "That is 2 at the peak.",
    ),
    Mutant(
        "cosine_not_moved_up",
        COSINE,
        {_HEIGHT: "height = math.cos(math.pi * progress)"},
        "The height is cos(pi x).",
        "That ends at -1: a learning rate is never negative.",
    ),
    Mutant(
        "cosine_without_pi",
        COSINE,
        {_HEIGHT: "height = (1 + math.cos(progress)) / 2"},
        "The cosine of the progress goes from 1 to -1.",
        "For which angle is the cosine -1?",
    ),
    Mutant(
        "cosine_of_a_whole_wave",
        COSINE,
        {_HEIGHT: "height = (1 + math.cos(2 * math.pi * progress)) / 2"},
        "A wave is 2 pi.",
        "A whole one ends where it began: the descent is half a wave.",
    ),
    Mutant(
        "cosine_upside_down",
        COSINE,
        {_HEIGHT: "height = (1 - math.cos(math.pi * progress)) / 2"},
        "The height is (1 - cos) / 2.",
        "That climbs: what is it at progress 0?",
    ),
    Mutant(
        "floor_forgotten",
        COSINE,
        {_RATE: "return height * peak"},
        "The descent ends at 0.",
        "At the floor.",
    ),
    Mutant(
        "floor_added",
        COSINE,
        {_RATE: "return height * peak + floor"},
        "The floor is added to the schedule.",
        "Then the peak is too high: what is the rate at step == warmup?",
    ),
    Mutant(
        "floor_cuts_off",
        COSINE,
        {_RATE: "return max(height * peak, floor)"},
        "The rate is never below the floor.",
        "It glides down to it: the wave lies between peak and floor.",
    ),
    Mutant(
        "floor_is_a_share_of_the_peak",
        COSINE,
        {_RATE: "return peak * (height + (1 - height) * floor)"},
        "The floor is a share of the peak.",
        "It is a learning rate.",
    ),
    Mutant(
        "inverse_sqrt_without_width",
        INVERSE_SQRT,
        {_INVERSE: _INVERSE.replace("width**-0.5 * ", "")},
        "The width does not matter to the learning rate.",
        "The paper divides by its root: wider models take smaller steps.",
    ),
    Mutant(
        "inverse_sqrt_times_width",
        INVERSE_SQRT,
        {_INVERSE: _INVERSE.replace("width**-0.5", "width**0.5")},
        "Wider models take larger steps.",
        "The paper's exponent is -0.5.",
    ),
    Mutant(
        "inverse_sqrt_by_width",
        INVERSE_SQRT,
        {_INVERSE: _INVERSE.replace("width**-0.5", "width**-1")},
        "The rate is divided by the width.",
        "By its root.",
    ),
    Mutant(
        "inverse_sqrt_larger_branch",
        INVERSE_SQRT,
        {_INVERSE: _INVERSE.replace("max(step, warmup)", "min(step + 1e-9, warmup)")},
        "The rate is the larger of the two branches.",
        "Both meet at step == warmup: on which side is which branch the smaller one?",
    ),
    Mutant(
        "inverse_sqrt_without_warmup",
        INVERSE_SQRT,
        {_INVERSE: _INVERSE.replace("max(step, warmup)", "max(step, 1)")},
        "The rate is one over the root of the step.",
        "First it climbs in a straight line, for `warmup` steps.",
    ),
    Mutant(
        "inverse_sqrt_never_descends",
        INVERSE_SQRT,
        {_INVERSE: _INVERSE.replace("step * max(step, warmup)", "min(step, warmup) * warmup")},
        "After the warm-up the rate stays.",
        "It falls with one over the root of the step.",
    ),
    Mutant(
        "inverse_sqrt_exponent_of_warmup",
        INVERSE_SQRT,
        {_INVERSE: "factor * width**-0.5 * min(max(step, 1e-9) ** -0.5, step * warmup**-0.5)"},
        "The climb is step warmup^-0.5.",
        "Both branches must meet at step == warmup: which exponent makes them?",
    ),
    Mutant(
        "inverse_sqrt_counts_from_one",
        INVERSE_SQRT,
        {_INVERSE: "factor * width**-0.5 * (step + 1) * max(step + 1, warmup) ** -1.5"},
        "Steps count from 1, so 1 is added.",
        "At step 0 the rate is 0.",
    ),
    Mutant(
        "inverse_sqrt_factor_forgotten",
        INVERSE_SQRT,
        {_INVERSE: _INVERSE.replace("factor * ", "")},
        "The paper has no factor.",
        "Here there is one: it multiplies the whole schedule.",
    ),
)
