"""Grade a whole folder, in processes side by side, as a teacher's course file says."""

import multiprocessing
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from minitransformer.errors import InputError
from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader.grading import grade
from minitransformer.exercises.grader.limits import Limits
from minitransformer.exercises.grader.verdict import Verdict

AT_ONCE = 2
SUFFIXES = (".py", ".ipynb")


@dataclass(frozen=True)
class Course:
    """How a teacher grades.

    Attributes
    ----------
    seed : int
        Of all inputs that are drawn.
    points : mapping of str to float
        What an exercise earns, where it is not what the catalogue says.
    limits : Limits
        What an answer may use.
    """

    seed: int = 0
    points: Mapping[str, float] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def exercises(self) -> dict[str, Exercise]:
        """The catalogue with this course's points."""
        return {
            name: replace(exercise, points=self.points.get(name, exercise.points))
            for name, exercise in CATALOGUE.items()
        }


def load_course(path: Path) -> Course:
    """Read a course from TOML: ``seed = 7``, a table ``[points]``, a table ``[limits]``.

    Raises
    ------
    InputError
        If it cannot be read, or sets what does not exist.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    limits = {each.name for each in fields(Limits)}
    known = {"seed": None, "points": set(CATALOGUE), "limits": limits}
    _require_known(path, "", settings, known)
    for table in ("points", "limits"):
        _require_known(path, f"[{table}] ", settings.get(table, {}), known[table] or ())
        for name, value in settings.get(table, {}).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise InputError(f"{path}: {name} is {value!r}, expected a number, 0 or more")
    seed = settings.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise InputError(f"{path}: seed is {seed!r}, expected an integer, 0 or more")
    return Course(seed, settings.get("points", {}), Limits(**settings.get("limits", {})))


def _require_known(path: Path, where: str, settings: Any, known: Iterable[str]) -> None:
    unknown = [name for name in settings if name not in known]
    if unknown:
        expected = ", ".join(sorted(known))
        raise InputError(f"{path}: {where}{unknown[0]} is unknown, expected one of {expected}")


def answers_in(paths: Iterable[Path]) -> list[Path]:
    """All files to grade, in order: those that are named, and what lies in the folders.

    Raises
    ------
    InputError
        If one of the paths does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = (file for file in path.rglob("*") if file.suffix in SUFFIXES)
            found += sorted(file for file in files if not _is_hidden(file.relative_to(path)))
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"{path} does not exist")
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)


def grade_file(path: Path, course: Course, exercise: str | None = None) -> Verdict:
    """Judge one file; ``exercise`` overrides what its functions say.

    Raises
    ------
    InputError
        If there is no exercise of this name.
    """
    exercises = course.exercises()
    if exercise is not None and exercise not in exercises:
        raise InputError(f"there is no exercise {exercise!r}; see minitransformer exercises list")
    chosen = exercises[exercise] if exercise else None
    return grade(path, exercises.values(), chosen, course.limits, course.seed)


def grade_all(files: list[Path], course: Course) -> Iterator[Verdict]:
    """Judge many files, two at a time, in their order."""
    if len(files) < AT_ONCE:
        yield from (grade_file(file, course) for file in files)
        return
    context = multiprocessing.get_context("spawn")
    workers = min(AT_ONCE, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, context) as pool:
        yield from pool.map(grade_file, files, [course] * len(files))
