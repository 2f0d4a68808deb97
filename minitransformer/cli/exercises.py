"""``minitransformer exercises``."""

import difflib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from minitransformer.cli.flags import parse
from minitransformer.errors import InputError

if TYPE_CHECKING:
    from minitransformer.exercises.exercise import Exercise
    from minitransformer.exercises.grader.course import Course

os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")  # the exercises on CUDA run without a GPU

USAGE = """\
usage: minitransformer exercises COMMAND [OPTION ...]

commands:
  list             all exercises, unit by unit
  start FOLDER     write the files in which you work
  check PATH ...   grade a file or a folder, and say what is wrong
  hint ID          open the next hint of an exercise
  solution ID      for teachers: the library's own source

examples:
  minitransformer exercises start my-answers
  minitransformer exercises check my-answers/layer_norm_backward.py
  minitransformer exercises check my-answers
"""


@dataclass(frozen=True)
class ListConfig:
    """Print all exercises, unit by unit; units can be done in any order."""


@dataclass(frozen=True)
class StartConfig:
    """Write the files in which you work: one for each exercise, without the solution."""

    folder: Positional[Path]
    """Where to; files that are there already stay as they are."""
    notebook: bool = False
    """Write notebooks, which nbgrader understands too."""


@dataclass(frozen=True)
class CheckConfig:
    """Grade answers: accept them, or name the mistake and show the smallest failing input.

    Exit status 0 if all is right, 1 if something is wrong, 2 if there is nothing to grade.
    """

    paths: Positional[tuple[Path, ...]]
    """Files, or folders with many of them."""
    exercise: str | None = None
    """Which exercise a file answers; by default what its functions say."""
    json: bool = False
    """Print JSON instead of a report."""
    junit: Path | None = None
    """Write the verdicts as JUnit XML too."""
    gradescope: Path | None = None
    """Write the verdicts as Gradescope's results.json too."""
    config: Path | None = None
    """A teacher's course file: seed, [points] of exercises, [limits] in seconds and bytes."""
    seed: int | None = None
    """Of the inputs; by default the course's, or else 0."""


@dataclass(frozen=True)
class HintConfig:
    """Open the next hint of an exercise."""

    id: Positional[str]
    """Name of the exercise."""
    folder: Path = Path()
    """Where your answers are, and what was opened is remembered."""


@dataclass(frozen=True)
class SolutionConfig:
    """Print the library's own source, which is the solution."""

    id: Positional[str]
    """Name of the exercise."""


def main(arguments: list[str]) -> int:
    """Run one of the commands on exercises."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(f"error: there is no command {name!r}{hint}\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    return COMMANDS[name](rest)


def list_(arguments: list[str]) -> int:
    """Print the catalogue."""
    parse(ListConfig, "exercises list", arguments)
    from minitransformer.exercises.catalogue import units

    table = Table("unit", "exercise", "points", "what it is about")
    for unit, exercises in units().items():
        for number, exercise in enumerate(exercises):
            first = unit if number == 0 else ""
            table.add_row(first, exercise.id, f"{exercise.points:g}", exercise.title)
    _console().print(table)
    return 0


def start(arguments: list[str]) -> int:
    """Write the stubs."""
    config = parse(StartConfig, "exercises start", arguments)
    from minitransformer.exercises import folder

    started = folder.start(config.folder, config.notebook)
    kept = f", {len(started.kept)} were there already and stay as they are" if started.kept else ""
    print(f"{len(started.written)} files written to {started.folder}{kept}")
    print(f"next: open one, write the body, then: minitransformer exercises check {started.folder}")
    return 0


def check(arguments: list[str]) -> int:
    """Grade, print, and write what was asked for."""
    config = parse(CheckConfig, "exercises check", arguments)
    from minitransformer.exercises.grader.course import Course, answers_in, load_course

    course = load_course(config.config) if config.config else Course()
    if config.seed is not None:
        course = replace(course, seed=config.seed)
    files = answers_in(config.paths)
    if not files:
        raise InputError(f"there is no answer in {config.paths[0]}, expected files *.py")
    is_single = len(config.paths) == 1 and config.paths[0].is_file()
    if config.exercise and not is_single:
        raise InputError("--exercise says what one file answers; name one file")
    return _check(config, course, files, is_single)


def _check(config: CheckConfig, course: "Course", files: list[Path], is_single: bool) -> int:
    from minitransformer.exercises import report
    from minitransformer.exercises.grader.course import grade_all, grade_file

    console = _console(stderr=config.json)
    if is_single:
        verdicts = [grade_file(files[0], course, config.exercise)]
    else:
        verdicts = []
        with console.status("grading") as status:
            for verdict in grade_all(files, course):
                verdicts.append(verdict)
                status.update(f"graded {verdict.file} ({len(verdicts)} of {len(files)})")
    if config.junit:
        report.write_junit(verdicts, config.junit)
    if config.gradescope:
        report.write_gradescope(verdicts, config.gradescope)
    if config.json:
        result = verdicts[0].as_json() if is_single else report.as_json(verdicts)
        print(json.dumps(result, indent=2))
    elif is_single:
        report.show(console, verdicts[0])
    else:
        console.print(report.summary(verdicts))
        points, highest = report.total(verdicts)
        console.print(f"{points:g} of {highest:g} points")
        console.print(report.REWARD)
    return _exit_code([verdict.exit_code for verdict in verdicts])


def _exit_code(codes: Sequence[int]) -> int:
    """0 if all are right, 1 if something is wrong, 2 if the rest cannot be graded."""
    return 1 if 1 in codes else max(codes)


def hint(arguments: list[str]) -> int:
    """Open the next hint."""
    config = parse(HintConfig, "exercises hint", arguments)
    from minitransformer.exercises import hints

    exercise = _exercise(config.id)
    opened = hints.hint(exercise, config.folder)
    for number, text in enumerate(opened, start=1):
        print(f"{number}. {text}")
    left = len(exercise.hints) - len(opened)
    print(f"{left} more to open" if left else "That was the last one.")
    return 0


def solution(arguments: list[str]) -> int:
    """Print the library's source."""
    config = parse(SolutionConfig, "exercises solution", arguments)
    from minitransformer.exercises import source

    print(source.solution(_exercise(config.id)))
    return 0


def _exercise(name: str) -> "Exercise":
    from minitransformer.exercises.catalogue import CATALOGUE

    if name not in CATALOGUE:
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {close[0]}?" if close else "see minitransformer exercises list"
        raise InputError(f"there is no exercise {name!r}; {hint}")
    return CATALOGUE[name]


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "list": list_,
    "start": start,
    "check": check,
    "hint": hint,
    "solution": solution,
}


def _console(stderr: bool = False) -> Console:
    width = None if Console(stderr=stderr).is_terminal else 120
    return Console(width=width, highlight=False, stderr=stderr)
