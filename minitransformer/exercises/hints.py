"""Hints that open one by one, and a folder that remembers how many were opened."""

import json
from pathlib import Path

from minitransformer.errors import InputError
from minitransformer.exercises.exercise import Exercise
from minitransformer.files import atomic_write

FILE = "hints.json"
"""Beside the exercises: how many hints of each were opened."""


def hint(exercise: Exercise, folder: Path) -> list[str]:
    """Open one more hint.

    Parameters
    ----------
    exercise
        Where the student is stuck.
    folder
        Where the exercises are.

    Returns
    -------
    list of str
        All hints opened so far, the newest last.

    Raises
    ------
    InputError
        If the folder has no such exercise, or its record of hints is damaged.
    """
    if not any(folder.glob(f"*{exercise.id}.*")):
        raise InputError(
            f"{folder} has no file for {exercise.id}: name the folder of your exercises, or make "
            f"one with: minitransformer exercises start my-exercises"
        )
    opened = opened_hints(folder)
    opened[exercise.id] = min(opened.get(exercise.id, 0) + 1, len(exercise.hints))
    with atomic_write(folder / FILE) as file:
        file.write((json.dumps(opened, indent=2, sort_keys=True) + "\n").encode())
    return list(exercise.hints[: opened[exercise.id]])


def opened_hints(folder: Path) -> dict[str, int]:
    """How many hints of each exercise were opened in a folder.

    Raises
    ------
    InputError
        If the record is damaged.
    """
    path = folder / FILE
    try:
        opened = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        opened = None
    if not isinstance(opened, dict) or not all(isinstance(n, int) for n in opened.values()):
        raise InputError(f"{path} is damaged: delete it, and hints begin anew")
    return opened
