"""The judgement on a function that was written in a notebook."""

import linecache
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.grader.grading import grade
from minitransformer.exercises.source import plain


def check(function: Callable[..., Any]) -> None:
    """Judge a function, with all else that stands in its cell.

    Raises
    ------
    AssertionError
        If it is wrong; says how, and where to look.
    """
    text = "".join(linecache.getlines(plain(function).__code__.co_filename))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{plain(function).__name__}.py"
        path.write_text(text, encoding="utf-8", newline="\n")
        verdict = grade(path, CATALOGUE.values())
    if not verdict.accepted:
        parts = (verdict.message, verdict.hint, verdict.counterexample)
        raise AssertionError("\n\n".join(str(part) for part in parts if part))
    print(f"right: {verdict.points:g} points")
