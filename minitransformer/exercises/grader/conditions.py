"""When is an answer wrong? What all inputs have in common on which it fails, and no others."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minitransformer.exercises.grader.observation import Observation, Observations
from minitransformer.testing.diagnosis import Explanation

LARGE = 100.0
FAR = 20.0


def explain_when(observed: Observations, wrong: list[Observation]) -> Explanation | None:
    """Say what is special about the wrong inputs; None if nothing is, or if all are wrong."""
    if len(wrong) == len(observed.all):
        return None
    failing = {id(each) for each in wrong}
    features = _features(observed)
    for name, (sentence, holders) in features.items():
        if holders == failing:
            return Explanation(name, f"it is wrong exactly when {sentence}")
    for (name, (one, first)), (_, (two, second)) in itertools.combinations(features.items(), 2):
        if first & second == failing:
            return Explanation(name, f"it is wrong exactly when {one} and {two}")
    for (name, (one, first)), (_, (two, second)) in itertools.combinations(features.items(), 2):
        if first | second == failing and first and second:
            return Explanation(name, f"it is wrong exactly when {one} or {two}")
    return None


def _features(observed: Observations) -> dict[str, tuple[str, set[int]]]:
    """Everything that can be special about an input, with those that have it."""
    found: dict[str, tuple[str, set[int]]] = {}
    for each in observed.all:
        for name, sentence in _of_input(each):
            found.setdefault(name, (sentence, set()))[1].add(id(each))
    everything = {id(each) for each in observed.all}
    absent = {
        _negated(name): (f"not when {sentence}", everything - holders)
        for name, (sentence, holders) in found.items()
        if name.startswith("only_")
    }
    return {**found, **absent}


def _negated(name: str) -> str:
    return f"not_{name}"


def _of_input(each: Observation) -> Iterator[tuple[str, str]]:
    arguments = {name: value for name, value in each.case.arguments.items() if value is not None}
    if each.case.dtype == "float32":
        yield "float32", "the arguments are float32"
    arrays = {k: np.asarray(v) for k, v in arguments.items() if isinstance(v, np.ndarray)}
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    for name, value in arguments.items():
        if (
            name not in arrays
            and not isinstance(value, list | tuple | dict)
            and not callable(value)
        ):
            yield f"option_{name}", f"{name} is given and not what it is by default"
    for name, array in arrays.items():
        yield from _of_array(name, array)
    yield from _of_floats(floats)
    yield from _of_pairs(arrays)
    yield from _of_targets(arguments)


def _of_array(name: str, array: np.ndarray[Any, Any]) -> Iterator[tuple[str, str]]:
    yield f"{name}_given", f"{name} is given"
    yield f"wrong_for_{array.ndim}_axes", f"{name} has {array.ndim} axes"
    if array.ndim != 3:
        yield "right_for_three_axes_only", f"{name} has more or fewer axes than 3"
    if array.ndim != 2:
        yield "right_for_two_axes_only", f"{name} has more or fewer axes than 2"
    if array.ndim > 1:
        yield "wrong_for_several_rows", f"{name} has more than one axis"
    if array.dtype == np.bool_ and array.ndim:
        if not array.any(axis=-1).all():
            yield "masked_rows", f"a row of {name} hides everything"
        if not array.any():
            yield "all_masked", f"{name} hides everything"
        yield f"{name}_of_fewer_axes", f"{name} has to be broadcast"
    if array.dtype.kind in "iu":
        if len(np.unique(array)) < array.size:
            yield "repeated_ids", f"an id occurs more than once in {name}"
        if array.dtype.kind == "u":
            yield "unsigned_ids", f"{name} has an unsigned dtype"
        if array.dtype != np.int64:
            yield "other_integers", f"{name} is not int64"


def _of_floats(floats: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[tuple[str, str]]:
    for name, array in floats.items():
        finite = array[np.isfinite(array)]
        if finite.size < array.size:
            yield "not_finite_input", f"{name} contains minus infinity"
        if not finite.size:
            continue
        if np.abs(finite).max() > LARGE:
            yield "large_numbers", f"numbers in {name} are large (above {LARGE:g})"
        if abs(finite.mean()) > FAR * finite.std() > 0:
            yield "far_from_zero", f"{name} lies far from zero"


def _of_pairs(arrays: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[tuple[str, str]]:
    q, k = arrays.get("q"), arrays.get("k")
    if q is not None and k is not None and q.ndim == k.ndim == 4:
        T, S = q.shape[-2], k.shape[-2]
        if T != S:
            yield "lengths_differ", "there are more or fewer keys than queries"
        if S > T:
            yield "more_keys_than_queries", "there are more keys than queries (S > T)"
        if T > S:
            yield "more_queries_than_keys", "there are more queries than keys (T > S)"
        if q.shape[1] != k.shape[1]:
            yield "grouped_heads", "several query heads share a key head"
    for (one, a), (other, b) in itertools.combinations(arrays.items(), 2):
        if a.ndim != b.ndim:
            yield (
                f"{one}_and_{other}_broadcast",
                f"{one} and {other} have different numbers of axes",
            )


def _of_targets(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    targets = arguments.get("targets")
    if isinstance(targets, np.ndarray) and targets.dtype.kind in "iu":
        ignored = targets == arguments.get("ignore_index", -100)
        if ignored.any():
            yield "ignored_targets", "some targets are ignored"
        if ignored.all():
            yield "all_ignored", "all targets are ignored"
