"""Recognise a mistake by what it does: find the wrong version that gives the same results."""

import inspect
import itertools
import math
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minitransformer.exercises.grader.limits import Deadline
from minitransformer.exercises.grader.observation import (
    Observation,
    Observations,
    distance,
    observe_mutant,
    same_numbers,
)
from minitransformer.exercises.grader.slips import confusions_of, slips_of
from minitransformer.exercises.grader.task import Case, Task
from minitransformer.exercises.source import plain
from minitransformer.testing.mutants import Mutant, mutants_of

ENOUGH = 0.5
MOST_PAIRS = 120
DEPTH = 3
NO_DISTANCE = 1e-12


@dataclass(frozen=True)
class Suspect:
    """A wrong version of the task, the mutants that it is made of, and what it was seen to do."""

    mutants: tuple[Mutant, ...]
    target: Any
    function: Callable[..., Any]
    seen: dict[int, Observation] = field(default_factory=dict)


@dataclass(frozen=True)
class Likeness:
    """How well a suspect explains what was observed.

    Attributes
    ----------
    mutants : tuple of Mutant
        What it is made of, in the order of repair.
    share : float
        Of the wrong inputs, how many give the same wrong result; 1 if it explains everything.
    others : int
        How many of the other results agree on all inputs.
    distance : float
        Largest difference between the wrong results, relative to their size; infinite if none was
        seen, since both do nothing but raise exceptions.
    """

    mutants: tuple[Mutant, ...]
    share: float
    others: int = 0
    distance: float = 0.0


def recognise(observed: Observations, name: str, deadline: Deadline) -> Likeness | None:
    """Find the mutant, the slip, or two mutants at once, that explains one wrong result best.

    When the time is up, the best that was found until then.
    """

    def liken(some: Iterable[Suspect]) -> list[Likeness]:
        in_time = deadline.until_over(some)
        return [each for each in (_likeness(observed, name, one) for one in in_time) if each]

    named = list(suspects(observed.task))
    found = liken(named)
    best = _best(found)
    if best is None or best.share < 1.0:
        slips = [each for each in liken(_slips(observed.task)) if each.distance < math.inf]
        best = _best(slips, 1.0) or best
    if best is None or best.share < 1.0:
        in_time = deadline.until_over(named)
        possible = [one for one in in_time if _is_possible(observed, name, one)]
        pairs = itertools.islice(_pairs(possible), MOST_PAIRS)
        best = _best(liken(pairs), 1.0) or best
    return best if best and best.share >= ENOUGH else None


def recognise_fault(
    observed: Observations, case: Case, fault: str, deadline: Deadline
) -> Mutant | None:
    """Find the mutant that has this fault of form on one input, and agrees on all of them."""
    for suspect in deadline.until_over(suspects(observed.task)):
        if _has_fault(observed.task, case, suspect, fault) and all(
            _agrees(number, name, observed, suspect)
            for number, each in enumerate(observed.all)
            for name in each.expected
        ):
            return suspect.mutants[0]
    return None


def _has_fault(task: Task, case: Case, suspect: Suspect, fault: str) -> bool:
    try:
        return task.fault(case, suspect.target, suspect.function) == fault
    except Exception:  # whatever a mutant does on an input that it was not made for
        return False


def _is_possible(observed: Observations, name: str, suspect: Suspect) -> bool:
    """Whether a suspect is right where the answer is: two mistakes do not mend each other."""
    return all(
        _agrees(number, name, observed, suspect)
        for number, each in enumerate(observed.all)
        if each.case.dtype == "float64" and name not in each.wrong
    )


def _best(found: list[Likeness], least: float = 0.0) -> Likeness | None:
    enough = (each for each in found if each.share >= least)
    return max(enough, key=lambda each: (each.share, each.others, -each.distance), default=None)


def _slips(task: Task) -> Iterator[Suspect]:
    for target in task.targets:
        textbook = plain(target)
        for slip, function in itertools.chain(confusions_of(textbook), slips_of(textbook)):
            mutant = Mutant(slip.name, target, {}, slip.misconception, slip.hint)
            yield Suspect((mutant,), target, function)


def suspects(task: Task) -> Iterator[Suspect]:
    """All wrong versions of a task by one mistake, its own or one of a function that it calls."""
    for target in task.targets:
        yield from _of_function(target, target, plain(target), lambda built: built, DEPTH)


def _of_function(
    target: Any,
    function: Any,
    textbook: types.FunctionType,
    rebuild: Callable[[Callable[..., Any]], Callable[..., Any]],
    depth: int,
) -> Iterator[Suspect]:
    for mutant in mutants_of(function):
        yield Suspect((mutant,), target, rebuild(mutant.build()))
    if depth:
        for name in textbook.__code__.co_names:
            callee = textbook.__globals__.get(name)
            inner = plain(callee) if callable(callee) else None
            if isinstance(inner, types.FunctionType) and inner.__module__.startswith(
                "minitransformer."
            ):
                yield from _of_function(
                    target,
                    callee,
                    inner,
                    lambda built, name=name: rebuild(_with_global(textbook, name, built)),  # type: ignore[misc]
                    depth - 1,
                )


def _with_global(function: types.FunctionType, name: str, value: Any) -> Callable[..., Any]:
    """The same function in a world where one name means something else."""
    changed = types.FunctionType(
        function.__code__,
        {**function.__globals__, name: value},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    changed.__kwdefaults__ = function.__kwdefaults__
    return changed


def _pairs(single: list[Suspect]) -> Iterator[Suspect]:
    """Two mistakes at once in one function, where their edits do not overlap."""
    for first, second in itertools.combinations(single, 2):
        (one,), (other,) = first.mutants, second.mutants
        if one.target is other.target and one.edits and other.edits:
            both = replace(one, name="both", edits={**one.edits, **other.edits})
            try:
                yield Suspect(_in_source_order(one, other), first.target, both.build())
            except (ValueError, SyntaxError):
                continue


def _in_source_order(*mutants: Mutant) -> tuple[Mutant, ...]:
    source = inspect.getsource(plain(mutants[0].target))
    return tuple(sorted(mutants, key=lambda m: min(source.find(old) for old in m.edits)))


def _likeness(observed: Observations, name: str, suspect: Suspect) -> Likeness | None:
    def agrees(number: int, result: str = name) -> bool:
        return _agrees(number, result, observed, suspect)

    numbers = range(len(observed.all))
    wrong = [number for number in numbers if name in observed.all[number].wrong]
    if not agrees(wrong[0]):
        return None  # it must explain the simplest input
    right = [number for number in numbers if number not in wrong]
    exact = [number for number in right if observed.all[number].case.dtype == "float64"]
    if not all(map(agrees, exact)):
        return None
    agreeing = sum(map(agrees, wrong))
    if agreeing < len(wrong) or not all(map(agrees, right)):
        return Likeness(suspect.mutants, min(0.99, agreeing / len(wrong)))
    others = [other for other in observed.all[wrong[0]].expected if other != name]
    agreed = sum(all(agrees(number, other) for number in numbers) for other in others)
    distances = [
        max(NO_DISTANCE, distance(observed.all[n].got[name], suspect.seen[n].got[name]))
        for n in wrong
        if observed.all[n].case.dtype == "float64" and name in observed.all[n].got
    ]
    return Likeness(suspect.mutants, 1.0, agreed, max(distances, default=math.inf))


def _kind(error: Exception | None) -> str:
    """Name of the exception that an answer or a mutant raised."""
    return getattr(error, "type", type(error).__name__)


def _divided(ours: Observation, theirs: Observation, name: str) -> bool:
    """Whether compiled code has refused to divide by zero where NumPy gave what is not finite."""
    is_refused = _kind(ours.error) == "ZeroDivisionError"
    return is_refused and not np.isfinite(theirs.got.get(name, 0.0)).all()


def _agrees(number: int, name: str, observed: Observations, suspect: Suspect) -> bool:
    """Whether the suspect does the same as the answer here; in float32 whether both are wrong."""
    ours = observed.all[number]
    if number not in suspect.seen:
        suspect.seen[number] = observe_mutant(observed.task, ours, suspect.target, suspect.function)
    theirs = suspect.seen[number]
    if name not in ours.got and name not in theirs.got:
        return _kind(ours.error) == _kind(theirs.error)
    if name not in ours.got or name not in theirs.got:
        return _divided(ours, theirs, name)
    is_wrong, looks_wrong = name in ours.wrong, name in theirs.wrong
    if ours.case.dtype != "float64" or not (is_wrong and looks_wrong):
        return is_wrong == looks_wrong
    return same_numbers(ours.got[name], theirs.got[name])
