"""Find failing inputs, and make them as small and simple as they can be, by Hypothesis."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, find, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from minitransformer.exercises.grader.limits import Deadline
from minitransformer.exercises.grader.process import Stopped
from minitransformer.exercises.grader.task import Case, Task
from minitransformer.testing.subject import TOLERANCES, with_arrays

LONGEST = 5
SEEDS = 100
TRIES = 300
DIGITS = (0, 1, 17)
"""Decimal places of simple numbers, and of numbers as they were drawn."""


def smaller(
    task: Task,
    case: Case,
    fails: Callable[[Case], bool],
    kinds: Sequence[tuple[str, str]],
    deadline: Deadline,
) -> Case:
    """Shrink a failing input, as far as there is time.

    Parameters
    ----------
    task
        Draws the inputs.
    case
        A failing input.
    fails
        Whether an answer fails on an input.
    kinds
        Labels and precisions of the inputs on which it is known to fail.
    deadline
        When to be content with what was found.
    """

    def fails_in_time(tried: Case) -> bool:
        return not deadline.is_over and fails(tried)

    return _search(task, fails_in_time, kinds, examples=40, seed=0) or case


def hunt(task: Task, fails: Callable[[Case], bool], examples: int, seed: int) -> Case | None:
    """Look for a failing input, at any axis lengths; None if there seems to be none."""
    kinds = [(label, dtype) for dtype in TOLERANCES for label in task.cases(seed)]
    return _search(task, fails, kinds, examples, seed)


def _search(
    task: Task,
    fails: Callable[[Case], bool],
    kinds: Sequence[tuple[str, str]],
    examples: int,
    seed: int,
) -> Case | None:
    known: dict[str, bool] = {}
    best: list[Case] = []

    def is_failing(case: Case) -> bool:
        key = repr(case)
        if key not in known:
            if len(known) >= TRIES:
                return False  # no more time for shrinking
            known[key] = fails(case)
            if known[key]:
                best[:] = [case]
        return known[key]

    quietly = settings(
        database=None,
        deadline=None,
        derandomize=False,
        max_examples=examples,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    try:
        return find(_inputs(task, kinds), is_failing, settings=quietly, random=random.Random(seed))
    except (HypothesisException, Stopped):
        return best[0] if best else None


@st.composite
def _inputs(draw: st.DrawFn, task: Task, kinds: Sequence[tuple[str, str]]) -> Case:
    """Draw axis lengths, a kind of input, and numbers of few digits or many."""
    dims = {letter: draw(st.integers(1, LONGEST)) for letter in task.dims}
    label, dtype = draw(st.sampled_from(list(kinds)))
    digits = draw(st.sampled_from(DIGITS))
    arguments = task.cases(draw(st.integers(0, SEEDS)), dims or None)[label]
    return Case(label, with_arrays(lambda array: _rounded(array, digits), arguments), dtype)


def _rounded(array: Any, digits: int) -> Any:
    if array.dtype.kind != "f" or digits == DIGITS[-1]:
        return array
    rounded = np.array(array)
    rounded[...] = np.round(array, digits) + 0.0  # and no -0.0
    return rounded
