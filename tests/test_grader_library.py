"""The library's own functions score full marks, and each of its mutants is called by its name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader import grading
from minitransformer.exercises.grader.limits import Limits
from minitransformer.testing.mutants import Mutant, mutants_of
from tests.classroom import InProcess, library_as_answer

pytestmark = pytest.mark.classroom

ROOMY = Limits(seconds=3600.0)
MUTANTS = [
    (exercise, mutant)
    for exercise in CATALOGUE.values()
    if exercise.kind != "test"
    for mutant in mutants_of(exercise.function)
]
PLAIN = [(exercise, mutant) for exercise, mutant in MUTANTS if exercise.kind == "function"]
KERNELS = [(exercise, mutant) for exercise, mutant in MUTANTS if exercise.kind != "function"]


def grade(folder: Path, exercise: Exercise, mutant: Mutant | None = None) -> grading.Verdict:
    path = folder / "answer.py"
    path.write_text(library_as_answer(exercise, mutant), encoding="utf-8")
    return grading.grade(path, CATALOGUE.values(), exercise, ROOMY)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_library_scores_full_marks(tmp_path: Path, name: str) -> None:
    verdict = grade(tmp_path, CATALOGUE[name])
    assert verdict.accepted, (verdict.mistake, verdict.message)


@pytest.mark.parametrize(("exercise", "mutant"), PLAIN, ids=[f"{e.id}-{m.name}" for e, m in PLAIN])
def test_a_mutant_is_called_by_its_name(
    tmp_path: Path, exercise: Exercise, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grading, "StudentProcess", InProcess)
    monkeypatch.setattr(grading, "smaller", lambda task, case, *rest: case)  # after the diagnosis
    verdict = grade(tmp_path, exercise, mutant)
    assert (verdict.status, verdict.mistake) == ("wrong", mutant.name), verdict.message


def test_mutants_of_kernels_are_called_by_their_names(tmp_path: Path) -> None:
    """All at once at the command line, which starts the simulator of a GPU."""
    for exercise, mutant in KERNELS:
        path = tmp_path / mutant.name / f"{exercise.id}.py"
        path.parent.mkdir()
        path.write_text(library_as_answer(exercise, mutant), encoding="utf-8")
    (tmp_path / "course.toml").write_text("[limits]\nseconds = 3600\n", encoding="utf-8")
    command = [sys.executable, "-m", "minitransformer", "exercises", "check", str(tmp_path)]
    options = ["--config", str(tmp_path / "course.toml"), "--json"]
    run = subprocess.run([*command, *options], env=os.environ, capture_output=True, text=True)
    named = [verdict["mistake"] for verdict in json.loads(run.stdout)["answers"]]
    assert named == sorted(mutant.name for _, mutant in KERNELS), run.stderr


@pytest.mark.parametrize("name", ["attention_backward", "kv_append", "bpe_encode"])
def test_a_process_of_its_own_changes_no_verdict(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = mutants_of(CATALOGUE[name].function)[-1]
    apart = grade(tmp_path, CATALOGUE[name], mutant)
    monkeypatch.setattr(grading, "StudentProcess", InProcess)
    here = grade(tmp_path, CATALOGUE[name], mutant)
    assert apart.as_json() == here.as_json()
