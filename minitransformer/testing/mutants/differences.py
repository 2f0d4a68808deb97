"""Mistakes in numerical gradients."""

from minitransformer.testing.differences import central_difference
from minitransformer.testing.mutants.base import Mutant

_ABOVE = "moved[i] = center + h"
_BELOW = "moved[i] = center - h"
_SLOPE = "gradient[i] = (above - below) / (2 * h)"

MUTANTS = (
    Mutant(
        "one_sided_difference",
        central_difference,
        {
            "moved[i] = center - h": "moved[i] = center",
            "(above - below) / (2 * h)": "(above - below) / h",
        },
        "A step to one side shows the slope.",
        "It is wrong in proportion to h; with steps to both sides, in proportion to what?",
    ),
    Mutant(
        "difference_in_single_precision",
        central_difference,
        {"moved = x.astype(np.float64)": "moved = x.copy()"},
        "The step is taken in the precision of x.",
        "How many digits of a float32 are left when h is 1e-5? The function takes float64.",
    ),
    Mutant(
        "divided_by_h",
        central_difference,
        {"(above - below) / (2 * h)": "(above - below) / h"},
        "The difference is divided by the step.",
        "How far apart are x + h and x - h?",
    ),
    Mutant(
        "entry_not_put_back",
        central_difference,
        {"moved[i] = center\n": "pass\n"},
        "When its turn is over, an entry does not matter.",
        "The function sees all entries: the next one is measured with this one moved.",
    ),
    Mutant(
        "all_entries_moved_at_once",
        central_difference,
        {"moved[i] = center + h": "moved += h", "moved[i] = center - h": "moved -= 2 * h"},
        "Moving x tells how the function changes with x.",
        "It tells of one direction: a gradient has an entry for each entry of x.",
    ),
    Mutant(
        "difference_to_the_other_side",
        central_difference,
        {_ABOVE: "moved[i] = center", _SLOPE: "gradient[i] = (above - below) / h"},
        "The slope is (f(x) - f(x - h)) / h.",
        "That is wrong by h f'' / 2: go to both sides.",
    ),
    Mutant(
        "difference_not_divided",
        central_difference,
        {_SLOPE: "gradient[i] = above - below"},
        "The difference is the slope.",
        "How far apart are the two points?",
    ),
    Mutant(
        "difference_upside_down",
        central_difference,
        {_SLOPE: "gradient[i] = (below - above) / (2 * h)"},
        "The lower value comes first.",
        "f(x + h) - f(x - h): a growing f has a positive slope.",
    ),
    Mutant(
        "difference_of_all_entries_at_once",
        central_difference,
        {
            "center = moved[i]": "center = x.astype(np.float64)",
            _ABOVE: "moved = center + h",
            _BELOW: "moved = center - h",
            "        moved[i] = center\n": "",
        },
        "x + h moves x.",
        "It moves all entries: the slope of each alone is asked for.",
    ),
    Mutant(
        "difference_moves_x",
        central_difference,
        {"moved = x.astype(np.float64)": "moved = x", "        moved[i] = center\n": ""},
        "x itself is moved.",
        "It is the caller's: move a copy, and put each entry back.",
    ),
    Mutant(
        "difference_with_its_own_step",
        central_difference,
        {"gradient = np.empty_like(x)": "h = 1e-5\n    gradient = np.empty_like(x)"},
        "The step is 1e-5.",
        "By default: h is an argument.",
    ),
)
