"""Stubs and hints: they run, they teach, and the solution is not in them."""

import ast
import functools
import inspect
import re
from typing import Any

import pytest

from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.source import named_tuples, plain, solution
from minitransformer.exercises.stubs import docstring, shapes, stub

LONG = 20
"""Characters of a calculation that nobody writes twice by chance."""

each_exercise = pytest.mark.parametrize("exercise", CATALOGUE.values(), ids=CATALOGUE)


def names_of(exercise: Exercise) -> dict[str, Any]:
    """What a stub defines."""
    namespace: dict[str, Any] = {"__name__": exercise.id}
    exec(stub(exercise, "    what to do\n"), namespace)
    return namespace


@each_exercise
def test_a_stub_fails_with_the_name_of_its_task(exercise: Exercise) -> None:
    task = plain(names_of(exercise)[exercise.id])
    arguments = dict.fromkeys(inspect.signature(task).parameters)
    with pytest.raises(NotImplementedError, match=f"^{exercise.id}: your turn$"):
        task(**arguments)


@each_exercise
def test_a_stub_has_the_parameters_and_defaults_of_the_library(exercise: Exercise) -> None:
    task, original = plain(names_of(exercise)[exercise.id]), plain(exercise.function)
    ours, theirs = (inspect.signature(each).parameters for each in (original, task))
    assert [(p.name, p.default, p.kind) for p in ours.values()] == [
        (p.name, p.default, p.kind) for p in theirs.values()
    ]


@each_exercise
def test_a_stub_imports_nothing_of_ours_and_is_not_long(exercise: Exercise) -> None:
    text = stub(exercise, "    what to do\n")
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= {"numpy", "typing", "numba"}
    assert len(text.splitlines()) <= 100
    assert max(map(len, text.splitlines())) <= 100


@each_exercise
def test_a_backward_is_given_its_cache_field_by_field(exercise: Exercise) -> None:
    defined = names_of(exercise)
    kinds: list[Any] = named_tuples(exercise.function)
    is_half = exercise.id.endswith(("_forward", "_backward")) and exercise.kind != "test"
    assert len(kinds) == (is_half or exercise.id in ("beam_search", "mask_tokens"))
    for kind in kinds:
        assert defined[kind.__name__]._fields == kind._fields


@each_exercise
def test_shapes_are_told(exercise: Exercise) -> None:
    told = shapes(exercise)
    parameters = inspect.signature(plain(exercise.function)).parameters
    entries = {
        name
        for line in told["Parameters"].splitlines()
        if not line.startswith(" ")
        for name in line.split(" : ")[0].split(", ")
    }
    assert set(parameters) <= entries
    updates_in_place = exercise.id.endswith("_step") or exercise.kind == "test"
    assert ("Returns" in told) != updates_in_place
    assert all(f"{section}\n---" in docstring(exercise) for section in ("Formula", "Example"))
    assert ":func:" not in docstring(exercise)


@each_exercise
def test_three_hints_and_none_is_the_solution(exercise: Exercise) -> None:
    assert len(exercise.hints) == 3
    assert quoted(exercise, " ".join(exercise.hints)) == []


@each_exercise
def test_no_solution_is_left_in_a_stub(exercise: Exercise) -> None:
    assert quoted(exercise, stub(exercise)) == []
    task = ast.parse(stub(exercise)).body[-1]
    assert isinstance(task, ast.FunctionDef)
    assert [type(statement) for statement in task.body] == [ast.Expr, ast.Raise]


@each_exercise
def test_no_exercise_gives_another_away(exercise: Exercise) -> None:
    text = stub(exercise) + " ".join(exercise.hints)
    given_away = {
        other.id: long
        for other in CATALOGUE.values()
        if other.id != exercise.id and other.kind != "test"
        if (long := [line for line in quoted(other, text) if len(line) >= LONG])
    }
    assert given_away == {}


def quoted(exercise: Exercise, text: str) -> list[str]:
    """What a solution computes, line by line, as far as it stands in a text."""
    return [each for each in computed(source_of(exercise.id)) if stands_in(each, text)]


@functools.cache
def source_of(id: str) -> str:
    return solution(CATALOGUE[id])


@functools.cache
def computed(source: str) -> list[str]:
    """Every value that a program assigns or returns, unless nothing is computed for it."""
    steps = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Return)
    )
    return [ast.unparse(step.value) for step in steps if step.value and computes(step.value)]


def computes(value: ast.expr) -> bool:
    """Whether there is a calculation in it, and not only names, numbers and shapes."""
    kinds = ast.BinOp | ast.Call | ast.Compare | ast.ListComp
    return any(isinstance(node, kinds) for node in ast.walk(value))


def stands_in(expression: str, text: str) -> bool:
    """Whether a text has the expression, whatever the white space, and not as part of a name."""
    tokens = map(re.escape, re.findall(r"\w+|[^\w\s]", expression))
    return re.search(r"(?<!\w)" + r"\s*".join(tokens) + r"(?!\w)", text) is not None


def test_a_quoted_solution_is_found() -> None:
    exercise = CATALOGUE["softmax_backward"]
    assert quoted(exercise, "try  probs*(dy - expected)") == ["probs * (dy - expected)"]
