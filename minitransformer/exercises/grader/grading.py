"""From a file to a verdict."""

import contextlib
import inspect
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader.answer import (
    Answer,
    NotGradableError,
    read_answer,
    which_exercise,
)
from minitransformer.exercises.grader.child.guard import FRAMEWORKS
from minitransformer.exercises.grader.diagnosis import Diagnosis, as_sentence, diagnose
from minitransformer.exercises.grader.function_task import FunctionTask
from minitransformer.exercises.grader.limits import Deadline, Limits
from minitransformer.exercises.grader.loading import load
from minitransformer.exercises.grader.observation import observe_case
from minitransformer.exercises.grader.pair_task import PairTask
from minitransformer.exercises.grader.process import (
    AnswerError,
    Stopped,
    StudentProcess,
)
from minitransformer.exercises.grader.shrinking import hunt, smaller
from minitransformer.exercises.grader.submitted_test import judge_test
from minitransformer.exercises.grader.task import Case, Task, Trial
from minitransformer.exercises.grader.verdict import Counterexample, Verdict, counterexample
from minitransformer.exercises.source import plain
from minitransformer.testing import SPECS
from minitransformer.testing.functions import function_spec

HUNTED = 15
_FOR_NAMING = 0.8
"""Of an answer's time; what is then begun must end in the rest."""
_CALM = "The other exercises are not affected. Take it out and try again."
_OWN = ("transposed", "dtype")
"""Options that functions of the library have beyond what an exercise asks for."""
_SETTINGS = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_BOUNDSCHECK": "1"}
"""Kernels run without a GPU, and may not go beyond the end of an array without a word."""


def grade(
    path: Path,
    exercises: Iterable[Exercise],
    exercise: Exercise | None = None,
    limits: Limits | None = None,
    seed: int = 0,
) -> Verdict:
    """Judge one file.

    Parameters
    ----------
    path
        The student's file.
    exercises
        All exercises; the file's functions tell which one it answers.
    exercise
        Which one it answers, if that is known.
    limits
        What the answer may use.
    seed
        Of all that is drawn.
    """
    try:
        answer = read_answer(path)
        exercise = exercise or which_exercise(answer, exercises)
        if exercise.function.__name__ not in answer.calls:
            raise NotGradableError(f"{path.name} does not define {exercise.function.__name__}")
    except NotGradableError as error:
        return Verdict(path.name, exercise, "not gradable", message=str(error))
    if exercise.function.__name__ in answer.untouched:
        return _not_done(path.name, exercise)
    try:
        _refuse_frameworks(answer)
        return _judge(answer, exercise, limits or Limits(), seed)
    except Stopped as stop:
        message = as_sentence(str(stop))
        return Verdict(path.name, exercise, "stopped", 0.0, stop.name, message, hint=_CALM)


def _refuse_frameworks(answer: Answer) -> None:
    roots = {name.partition(".")[0] for name in answer.imports}
    for root in sorted(roots & set(FRAMEWORKS)):
        raise Stopped("calls_a_framework", f"imports {root}, but is to be your own work")


def _judge(answer: Answer, exercise: Exercise, limits: Limits, seed: int) -> Verdict:
    deadline = Deadline(_FOR_NAMING * limits.seconds)
    with np.errstate(all="ignore"), StudentProcess(limits, _SETTINGS) as process:
        return _judge_in(process, answer, exercise, limits, seed, deadline)


def _judge_in(
    process: StudentProcess,
    answer: Answer,
    exercise: Exercise,
    limits: Limits,
    seed: int,
    deadline: Deadline,
) -> Verdict:
    name = answer.path.name
    try:
        load(answer, exercise, process, limits)
    except AnswerError as failure:
        where = f"line {failure.line}: " if failure.line else ""
        message = f"{name} cannot be run: {where}{failure}"
        return Verdict(name, exercise, "not gradable", message=message)
    if exercise.kind == "test":
        return judge_test(name, exercise, process)
    task = _task_of(exercise, process, frozenset(answer.calls))
    task.left_out = frozenset(option for option in _OWN if not _knows(answer, exercise, option))
    if (missing := _missing(answer, task)) is not None:
        return Verdict(name, exercise, "wrong", 0.0, "parameter_missing", *missing)
    with task.in_place():
        checks, broken = _try_all(task, seed)
        if broken is None:
            process.request("finish")
            return Verdict(
                name, exercise, "accepted", exercise.points, message="All laws hold.", checks=checks
            )
        trial, error = broken
        if isinstance(error, AnswerError) and error.type == "NotImplementedError":
            return _not_done(name, exercise)
        diagnosis, example = _explain(task, trial, error, seed, deadline)
    return Verdict(
        name,
        exercise,
        "wrong",
        0.0,
        diagnosis.mistake,
        diagnosis.message,
        diagnosis.hint,
        example,
        checks,
    )


def _knows(answer: Answer, exercise: Exercise, option: str) -> bool:
    """Whether an answer heeds an option that the library has beyond what is asked for."""
    parameters = answer.parameters[exercise.function.__name__]
    takes_cache = exercise.function.__name__.endswith("_backward")
    return not parameters or option in parameters or (takes_cache and option in answer.text)


def _missing(answer: Answer, task: Task) -> tuple[str, str] | None:
    """Say which parameter a function lacks, and where to look."""
    for target in task.targets:
        wanted = [p for p in inspect.signature(plain(target)).parameters if p not in task.left_out]
        given = answer.parameters.get(target.__name__, ())
        if given and len(given) < len(wanted):
            told = f"{target.__name__} takes ({', '.join(given)}), expected ({', '.join(wanted)})."
            return told, "Copy the def line of the stub, with the defaults."
    return None


def _task_of(exercise: Exercise, process: StudentProcess, defined: frozenset[str]) -> Task:
    """Find the specification of an exercise's function, and what of it the answer defines."""
    spec = function_spec(exercise.function)
    if spec is not None:
        return FunctionTask(spec, process, exercise.kind in ("numba", "cuda"))
    name = exercise.function.__name__.rpartition("_")[0]
    return PairTask(SPECS[name], process, defined)


def _not_done(name: str, exercise: Exercise) -> Verdict:
    return Verdict(name, exercise, "not done", message=f"{exercise.id} is still to be written.")


def _try_all(task: Task, seed: int) -> tuple[int, tuple[Trial, Exception] | None]:
    """Try all laws on all inputs, then look for others on which one is broken."""
    checks = 0
    for trial in task.trials(seed):
        checks += 1
        error = _broken(trial)
        if error is not None:
            return checks, (trial, error)
    if task.is_slow:
        return checks, None
    found = hunt(task, lambda case: _fails(task, case, "reference"), HUNTED, seed)
    broken = [] if found is None else _trials(task, found, "reference")
    return checks, next(((t, e) for t in broken if (e := _broken(t)) is not None), None)


def _broken(trial: Trial) -> Exception | None:
    try:
        trial.run()
    except Exception as error:  # whatever a wrong result provokes in the laws
        return error
    return None


def _trials(task: Task, case: Case, law: str) -> list[Trial]:
    return [Trial(name, case, run) for name, run in task.laws(case) if name == law]


def _fails(task: Task, case: Case, law: str) -> bool:
    return any(_broken(trial) is not None for trial in _trials(task, case, law))


def _explain(
    task: Task, trial: Trial, error: Exception, seed: int, deadline: Deadline
) -> tuple[Diagnosis, Counterexample | None]:
    """Name the mistake and shrink the input; a process that ends meanwhile loses only details."""
    case = trial.case
    diagnosis = Diagnosis("unknown", as_sentence(str(error)), "")
    example: Counterexample | None = None
    try:
        with contextlib.suppress(Exception):  # what cannot be named is still wrong
            diagnosis = diagnose(task, trial, error, seed, deadline)
        example = _show(task, case)
        label = case.label.partition(", ")[0]
        label = case.label if case.label in task.cases(seed) else label
        kinds = [(label, case.dtype)]
        small = smaller(task, case, lambda each: _fails(task, each, trial.law), kinds, deadline)
        example = _show(task, small)
    except Stopped:
        pass
    return diagnosis, example


def _show(task: Task, case: Case) -> Counterexample:
    return counterexample(observe_case(task, case), task.shown(case))
