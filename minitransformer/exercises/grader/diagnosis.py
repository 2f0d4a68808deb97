"""Name the mistake: the one sentence and the hint that a teacher would give first."""

from dataclasses import dataclass
from typing import Any

from minitransformer.exercises.grader.conditions import explain_when
from minitransformer.exercises.grader.faults import FORM_HINTS, name_exception
from minitransformer.exercises.grader.likeness import recognise, recognise_fault
from minitransformer.exercises.grader.limits import Deadline
from minitransformer.exercises.grader.observation import Observation, Observations, observe
from minitransformer.exercises.grader.pair_task import PairTask
from minitransformer.exercises.grader.process import AnswerError
from minitransformer.exercises.grader.proxies import FormError
from minitransformer.exercises.grader.relations import relate
from minitransformer.exercises.grader.task import STUDENT, Task, Trial
from minitransformer.testing.diagnosis import Explanation

_NOTHING_SAID = ("unknown", "right_only_when", "nearly_right", "not_linear_in_dy")


@dataclass(frozen=True)
class Diagnosis:
    """Which mistake it is.

    Attributes
    ----------
    mistake : str
        Its name.
    message : str
        One or two sentences in a teacher's words.
    hint : str
        Where to look.
    """

    mistake: str
    message: str
    hint: str


def diagnose(
    task: Task, trial: Trial, error: Exception, seed: int, deadline: Deadline
) -> Diagnosis:
    """Name the mistake behind the first broken law.

    Parameters
    ----------
    task
        What was judged; its answer is in place.
    trial
        The law and the input.
    error
        How the law was broken.
    seed
        Of the inputs that are tried for comparison.
    deadline
        Until when wrong versions are compared with the answer.
    """
    cause = _innermost(error)
    observed = observe(task, seed)
    is_of_form = trial.law in ("form", "purity") and not isinstance(cause, AnswerError)
    if isinstance(cause, FormError):
        return _of_form(Explanation(cause.name, str(cause)), trial, observed, deadline)
    if is_of_form and isinstance(task, PairTask):
        found = task.fault_of(STUDENT, trial.case)
        if found is not None:
            return _of_form(found, trial, observed, deadline)
    if not observed.wrong_names or (is_of_form and _name_of_form(str(error)) == "not_a_tuple"):
        return _of_law(trial, error)
    first = observed.wrong_names[0]
    wrong, _ = observed.split(first)
    likeness = recognise(observed, first, deadline)
    if likeness is not None and (likeness.share == 1.0 or not _raises(first, wrong)):
        mutant = likeness.mutants[0]
        return Diagnosis(mutant.name, _of_mutant(first, likeness), mutant.hint)
    if _raises(first, wrong):
        return _of_exception(observed, wrong)
    return _of_values(task, observed, first, wrong)


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _of_form(
    found: Explanation, trial: Trial, observed: Observations, deadline: Deadline
) -> Diagnosis:
    told = as_sentence(found.sentence)
    mutant = recognise_fault(observed, trial.case, found.name, deadline)
    if mutant is None:
        return Diagnosis(found.name, told, FORM_HINTS.get(found.name, ""))
    return Diagnosis(
        mutant.name, f"{told} So it is who thinks: {mutant.misconception}", mutant.hint
    )


def _of_mutant(name: str, likeness: Any) -> str:
    whole = f"your {name} is what one gets who thinks: {likeness.mutants[0].misconception}"
    if len(likeness.mutants) > 1:
        whole += " It is not the only mistake; repair this one first."
    elif likeness.share < 1.0:
        whole += " On some inputs there is another mistake besides; repair this one first."
    return as_sentence(whole)


def _raises(name: str, wrong: list[Observation]) -> bool:
    error = wrong[0].error
    return error is not None and name not in wrong[0].got and _is_of_answer(error)


def _is_of_answer(error: Exception) -> bool:
    return isinstance(_innermost(error), AnswerError)


def _of_exception(observed: Observations, wrong: list[Observation]) -> Diagnosis:
    error = _innermost(wrong[0].error)  # type: ignore[arg-type]
    assert isinstance(error, AnswerError)
    failing = [each for each in wrong if each.error is not None]
    explanation, hint = name_exception(error)
    condition = explain_when(observed, failing)
    sentence = explanation.sentence
    if condition is not None:
        sentence = f"{sentence}; {condition.sentence.replace('it is wrong', 'this happens')}"
    return Diagnosis(explanation.name, as_sentence(sentence), hint)


def _of_values(
    task: Task, observed: Observations, first: str, wrong: list[Observation]
) -> Diagnosis:
    condition = explain_when(observed, wrong)
    if first.startswith("d") and isinstance(task, PairTask):
        relation = _gradient(task, first, wrong)
    else:
        relation = relate(first, wrong)
    if relation is not None and relation.name not in _NOTHING_SAID:
        when = f"; {condition.sentence}" if condition else ""
        return Diagnosis(relation.name, as_sentence(relation.sentence + when), _hint(relation))
    if condition is not None:
        sentence = f"{first} is right for other inputs; {condition.sentence}"
        return Diagnosis(
            condition.name, as_sentence(sentence), "Work out the smallest failing input by hand."
        )
    told = relation.sentence if relation else f"{first} is wrong"
    return Diagnosis("unknown", as_sentence(told), "Work out the smallest failing input by hand.")


def _hint(relation: Explanation) -> str:
    return FORM_HINTS.get(
        relation.name, "Work out the smallest failing input by hand, line by line."
    )


def _gradient(task: PairTask, first: str, wrong: list[Observation]) -> Explanation | None:
    """Ask finite differences, on the simplest input on which this gradient is wrong."""
    exact = [each for each in wrong if each.case.dtype == "float64"]
    labels = [each for each in exact if each.case.label not in task.spec.kinks]
    for each in labels[:1]:
        report = task.gradcheck(STUDENT, each.case)
        for failure in report.failures:
            if failure.argument == first.removeprefix("d"):
                found: Explanation = failure.explanation
                return found
    return relate(first, wrong)


def _of_law(trial: Trial, error: Exception) -> Diagnosis:
    """What only one law can see."""
    text = str(error)
    if trial.law == "layout":
        name = "input_overwritten" if "read-only" in text else "memory_layout_assumed"
        told = f"the same numbers, laid out in memory in another way, give another result ({text})"
        return Diagnosis(name, as_sentence(told), FORM_HINTS[name])
    names = {
        "purity": "input_overwritten" if "overwritten" in text else "not_repeatable",
        "linearity": "not_linear_in_dy",
        "form": _name_of_form(text),
    }
    name = names.get(trial.law, "wrong_for_some_shapes")
    when = f" (for the input: {trial.case.label}, {trial.case.dtype})"
    return Diagnosis(
        name, as_sentence(text + when), FORM_HINTS.get(name, "Try this input by hand.")
    )


def _name_of_form(text: str) -> str:
    for part, name in {
        "not finite": "not_finite",
        "float32 of shape": "dtype_lost",
        "a list": "not_a_tuple",
        "tuple": "not_a_tuple",
        "expected None": "gradient_of_absent",
        "NoneType": "missing_gradient",
    }.items():
        if part in text:
            return name
    return "wrong_form"


def as_sentence(text: str) -> str:
    """End with a full stop, and begin with a capital unless it begins with a name of the code."""
    first, _, rest = text.partition(" ")
    begins_with_word = first.isalpha() and first in (
        "your",
        "line",
        "the",
        "a",
        "it",
        "forward",
        "backward",
    )
    text = f"{first.capitalize()} {rest}" if begins_with_word else text
    return text if text.endswith((".", "?", "!")) else f"{text}."
