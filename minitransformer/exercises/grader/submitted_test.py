"""Judge a test that a student wrote: it must accept the right version and find wrong ones."""

from collections.abc import Callable, Sequence
from typing import Any

from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader.process import AnswerError, StudentProcess
from minitransformer.exercises.grader.verdict import Verdict
from minitransformer.exercises.source import plain
from minitransformer.testing.mutants import Mutant, mutants_of

ENOUGH = 0.8
"""Share of the wrong versions that a test has to find."""


def judge_test(file: str, exercise: Exercise, process: StudentProcess) -> Verdict:
    """Run the test on the right functions, then on each wrong version of the last of them.

    The functions run here and the test there, so that it sees nothing but arguments and results.
    """
    right = [plain(function) for function in exercise.on_trial]
    refusal = _run(process, exercise, right)
    if refusal is not None:
        where = f" in line {refusal.line}, `{refusal.code}`" if refusal.line else ""
        return Verdict(
            file,
            exercise,
            "wrong",
            0.0,
            "right_version_refused",
            f"Your test refuses the right version: {refusal}{where}.",
            "Is the tolerance too small, or does the test ask for what nobody promised?",
            checks=1,
        )
    mutants = mutants_of(exercise.on_trial[-1])
    missed = [mutant for mutant in mutants if not _is_found(process, exercise, mutant)]
    found = len(mutants) - len(missed)
    points = round(exercise.points * found / max(1, len(mutants)), 2)
    checks = 1 + len(mutants)
    told = f"Your test finds {found} of {len(mutants)} wrong versions"
    if found >= ENOUGH * len(mutants):
        return Verdict(file, exercise, "accepted", points, message=f"{told}.", checks=checks)
    first = missed[0]
    return Verdict(
        file,
        exercise,
        "wrong",
        points,
        "wrong_version_accepted",
        f"{told}. It accepts, among others, the work of somebody who thinks: {first.misconception}",
        "For which input would that version give another result? Try it, and compare numbers.",
        checks=checks,
    )


def _is_found(process: StudentProcess, exercise: Exercise, mutant: Mutant) -> bool:
    right = [plain(function) for function in exercise.on_trial[:-1]]
    return _run(process, exercise, [*right, mutant.build()]) is not None


def _run(
    process: StudentProcess, exercise: Exercise, functions: Sequence[Callable[..., Any]]
) -> AnswerError | None:
    name = exercise.function.__name__
    try:
        process.request("call", name=name, args=list(functions), kwargs={}, keeps_cache="")
    except AnswerError as error:
        return error
    return None
