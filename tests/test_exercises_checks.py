"""How many checks each exercise has: a committed number, so that none gets lost unseen.

After a change that was meant, ``python tests/test_exercises_checks.py`` writes the numbers anew.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader.grading import _task_of
from minitransformer.testing.mutants import mutants_of

FILE = Path(__file__).with_name("exercise_checks.json")
NO_PROCESS: Any = None  # the checks are only counted


def number_of_checks(exercise: Exercise) -> int:
    """Laws on inputs; for a test to be written, versions that it is tried on."""
    if exercise.kind == "test":
        return 1 + len(mutants_of(exercise.on_trial[-1]))
    task = _task_of(exercise, NO_PROCESS, frozenset({exercise.function.__name__}))
    return sum(1 for _ in task.trials(seed=0))


def test_every_exercise_has_its_number() -> None:
    assert list(json.loads(FILE.read_text(encoding="utf-8"))) == list(CATALOGUE)


@pytest.mark.parametrize("id", CATALOGUE)
def test_the_number_of_checks_is_the_committed_one(id: str) -> None:
    assert number_of_checks(CATALOGUE[id]) == json.loads(FILE.read_text(encoding="utf-8"))[id]


if __name__ == "__main__":
    numbers = {id: number_of_checks(exercise) for id, exercise in CATALOGUE.items()}
    FILE.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8", newline="\n")
