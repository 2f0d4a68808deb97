"""An exercise as a Jupyter notebook, with the cell metadata that nbgrader reads."""

import json
from typing import Any

from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.stubs import stub

INTRODUCTION = """\
# {title}

Write `{name}` in the next cell, helpers included, and run the cells below it.
One more hint: `minitransformer exercises hint {id}`
"""
EXAMPLE = """\
import doctest

doctest.run_docstring_examples({name}, globals())  # silent if the example comes out right
"""
CHECK = """\
from minitransformer.exercises.cell import check

check({name})
"""


def notebook_text(exercise: Exercise) -> str:
    """The notebook of an exercise, as JSON in the format 4.5."""
    names = {"title": exercise.title, "name": exercise.function.__name__, "id": exercise.id}
    cells = [
        _cell("markdown", f"{exercise.id}_task", INTRODUCTION.format(**names), locked=True),
        _cell("code", exercise.id, stub(exercise), solution=True),
        _cell("code", f"{exercise.id}_example", EXAMPLE.format(**names), locked=True),
        _cell(
            "code",
            f"{exercise.id}_check",
            CHECK.format(**names),
            locked=True,
            grade=True,
            points=exercise.points,
        ),
    ]
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": cells,
        "metadata": {"kernelspec": python, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, id: str, source: str, points: float = 0, **flags: bool) -> dict[str, Any]:
    nbgrader: dict[str, Any] = {
        **dict.fromkeys(("grade", "locked", "solution", "task"), False),
        **flags,
        "grade_id": id,
        "schema_version": 3,
    }
    if points:
        nbgrader["points"] = points
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": id,
        "metadata": {"nbgrader": nbgrader},
        "source": source.rstrip("\n").splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
