"""The model tests, as a grader judges tests: they kill every mutant, and no right version."""

import pytest

from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.source import plain
from minitransformer.testing.mutants import Mutant, mutants_of

TESTS = [exercise for exercise in CATALOGUE.values() if exercise.kind == "test"]
CASES = [(exercise, mutant) for exercise in TESTS for mutant in mutants_of(exercise.on_trial[-1])]


@pytest.mark.parametrize("exercise", TESTS, ids=lambda exercise: exercise.id)
def test_the_right_version_is_accepted(exercise: Exercise) -> None:
    exercise.function(*exercise.on_trial)
    assert sum(each is exercise for each, _ in CASES) >= 3


@pytest.mark.parametrize(
    ("exercise", "mutant"), CASES, ids=[f"{e.id}-{mutant.name}" for e, mutant in CASES]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_mutant_is_killed(exercise: Exercise, mutant: Mutant) -> None:
    on_trial = [*map(plain, exercise.on_trial[:-1]), mutant.build()]
    with pytest.raises(
        (AssertionError, ArithmeticError, LookupError, ValueError)
    ):  # or it breaks down by itself
        exercise.function(*on_trial)
