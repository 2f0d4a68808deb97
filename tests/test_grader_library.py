"""The library's own functions, handed in as a student would, score full marks."""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader.grading import grade
from minitransformer.exercises.grader.limits import Limits
from minitransformer.exercises.source import plain
from minitransformer.testing.mutants import Mutant, mutants_of

pytestmark = pytest.mark.classroom

USES_WHAT_IS_CLOSED = {
    "central_difference": "its module imports the proof, which an answer must not",
}

NAMED_OTHERWISE = {  # by the form of what comes out, or as what cannot be told from it
    "broadcast_axes_not_kept": "not_an_array",
    "causal_mask_of_scores": "wrong_dtype",
    "db_without_b": "gradient_of_absent",
    "dropout_scales_without_keep_backward": "constant_ratio",
    "kv_returns_nothing": "returns_nothing",
    "online_maximum_starts_at_zero": "divided_by_zero",
    "padding_mask_for_scores": "wrong_dtype",
    "rows_without_maximum": "divided_by_zero",
    "softmax_total_plus_1e-8": "softmax_total_plus_1e-7",
}
UNNAMED = {"blocks_rounded_down", "tile_read_transposed"}  # memory that nobody has written


def answer(exercise: Exercise, edits: Mapping[str, str] = MappingProxyType({})) -> str:
    """The module in which the function stands, without what makes it dispatchable."""
    function = plain(exercise.function)
    module, source = (inspect.getsource(x) for x in (sys.modules[function.__module__], function))
    mistaken = source
    for right, wrong in edits.items():
        mistaken = mistaken.replace(right, wrong)
    tree = ast.parse(module.replace(source, mistaken))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = [
                decorator
                for decorator in node.decorator_list
                if not ast.unparse(decorator).startswith("op(")
            ]
            node.returns = None
    return ast.unparse(tree)


@pytest.mark.parametrize("name", sorted(CATALOGUE.keys() - USES_WHAT_IS_CLOSED))
def test_the_library_scores_full_marks(tmp_path: Path, name: str) -> None:
    path = tmp_path / "answer.py"
    path.write_text(answer(CATALOGUE[name]), encoding="utf-8")
    verdict = grade(path, CATALOGUE.values(), CATALOGUE[name], Limits(seconds=60.0))
    assert verdict.accepted, (verdict.mistake, verdict.message)


def some_mutants() -> Iterator[tuple[Exercise, Mutant]]:
    """The first and the last mistake to repair in each function, if it needs no other's edit."""
    for name in sorted(CATALOGUE.keys() - USES_WHAT_IS_CLOSED):
        exercise = CATALOGUE[name]
        source = inspect.getsource(plain(exercise.function))
        alone = [
            mutant
            for mutant in mutants_of(exercise.function)
            if all(edit in source for edit in mutant.edits)
        ]
        for mutant in {id(m): m for m in (alone[:1] + alone[-1:])}.values():
            yield exercise, mutant


@pytest.mark.parametrize(
    ("exercise", "mutant"), list(some_mutants()), ids=lambda value: getattr(value, "name", "")
)
def test_a_mutant_is_called_by_its_name(tmp_path: Path, exercise: Exercise, mutant: Mutant) -> None:
    path = tmp_path / "answer.py"
    path.write_text(answer(exercise, mutant.edits), encoding="utf-8")
    verdict = grade(path, CATALOGUE.values(), exercise, Limits(seconds=60.0))
    assert verdict.status == "wrong"
    expected = "unknown" if mutant.name in UNNAMED else mutant.name
    assert verdict.mistake == NAMED_OTHERWISE.get(mutant.name, expected)
