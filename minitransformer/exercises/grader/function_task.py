"""A plain function, judged by comparison with a slow one that is surely right."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minitransformer.exercises.grader.process import StudentProcess
from minitransformer.exercises.grader.proxies import FormError, proxy
from minitransformer.exercises.grader.task import Case, Results, Task
from minitransformer.testing import FunctionSpec
from minitransformer.testing.layouts import LAYOUTS
from minitransformer.testing.specs import Arguments, Cases, Dims
from minitransformer.testing.subject import TOLERANCES, LawError, cast, compare, with_arrays


class FunctionTask(Task):
    """A plain function, which returns something or overwrites its arguments."""

    def __init__(self, spec: FunctionSpec, process: StudentProcess, is_slow: bool) -> None:
        self.spec = spec
        self.targets = (spec.function,)
        self.dims = {}
        self.is_slow = is_slow
        self._student = spec.harness(proxy(process, spec.function, may_be_none=True))
        self._textbook = spec.harness(spec.function)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        yield

    def all_cases(self, seed: int, dims: Dims | None = None) -> Cases:
        return self.spec.inputs(np.random.default_rng(seed))

    def laws(self, case: Case) -> Iterator[tuple[str, Callable[[], float]]]:
        is_first = case.label == next(iter(self.cases(0)))
        if is_first or not self.is_slow:
            yield "form", lambda: self._has_form(case)
        elif case.dtype != "float64":
            return
        yield (
            "reference",
            lambda: compare(self.got(case), self.expected(case), TOLERANCES[case.dtype]),
        )
        if case.dtype == "float64" and not self.is_slow:
            yield "repeatable", lambda: self._is_repeatable(case)
            yield "layout", lambda: self._holds_in_any_layout(case)

    def expected(self, case: Case) -> Results:
        exact = cast(cast(case.arguments, case.dtype), "float64")
        return self._outcome(self.spec.reference, exact)

    def got(self, case: Case) -> Results:
        return self._outcome(self._student, cast(case.arguments, case.dtype))

    def mutated(self, case: Case, target: Any, mutant: Callable[..., Any]) -> Results:
        return self._outcome(self.spec.harness(mutant), cast(case.arguments, case.dtype))

    def _outcome(self, function: Callable[..., Any], arguments: Arguments) -> Results:
        given = copy.deepcopy(arguments)  # callables and generators have a state of their own
        result = function(**given)
        return dict(_named_numbers(result, "result")) | {
            path: array for name, tree in given.items() for path, array in _arrays(tree, name)
        }

    def _has_form(self, case: Case) -> float:
        """The result is the same sort of thing as the library's, of the same dtypes."""
        model = self.spec.reference if self.is_slow else self._textbook
        got, expected = (
            function(**cast(copy.deepcopy(case.arguments), case.dtype))
            for function in (self._student, model)
        )
        _same_form("result", got, cast(expected, case.dtype) if self.is_slow else expected)
        return 0.0

    def _is_repeatable(self, case: Case) -> float:
        first, second = self.got(case), self.got(case)
        if any(not np.array_equal(first[k], second[k], equal_nan=True) for k in first):
            raise FormError(
                "not_repeatable",
                "a second call with the same arguments gives another result: it must depend on "
                "nothing else",
            )
        return 0.0

    def _holds_in_any_layout(self, case: Case) -> float:
        expected = self.expected(case)
        worst = 0.0
        for name, change in LAYOUTS.items():
            if name == "read_only":
                continue  # some arguments are there to be overwritten
            given = with_arrays(change, case.arguments)
            try:
                worst = max(worst, compare(self._outcome(self._student, given), expected, 1e-9))
            except LawError as error:
                raise LawError(f"with arrays laid out {name}: {error}") from error
        return worst


def _same_form(name: str, got: Any, expected: Any) -> None:
    if got is None and expected is not None:
        raise FormError("returns_nothing", f"{name} is None: is the return statement missing?")
    if isinstance(expected, tuple) and not isinstance(got, tuple):
        kind = type(got).__name__
        raise FormError("not_a_tuple", f"{name} is a {kind}, expected a tuple of {len(expected)}")
    if isinstance(expected, tuple):
        if len(got) != len(expected):
            raise FormError(
                "wrong_length", f"{name} has {len(got)} parts, expected {len(expected)}"
            )
        for number, (one, other) in enumerate(zip(got, expected, strict=True)):
            _same_form(f"{name}[{number}]", one, other)
    elif isinstance(expected, np.ndarray) and not isinstance(got, np.ndarray):
        if not (expected.ndim == 0 and np.ndim(got) == 0):
            raise FormError("not_an_array", f"{name} is a {type(got).__name__}, expected an array")
    elif isinstance(expected, np.ndarray) and not _same_kind(got.dtype, expected.dtype):
        raise FormError(
            "dtype_lost" if expected.dtype.kind == "f" else "wrong_dtype",
            f"{name} is {got.dtype} where the arguments ask for {expected.dtype}: what comes out "
            "has the dtype of what went in",
        )


def _same_kind(got: Any, expected: Any) -> bool:
    """Whether a result has the right dtype; any integers will do for integers."""
    return got == expected or (got.kind in "iu" and expected.kind in "iu")


def _named_numbers(result: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield all numbers that a result holds as arrays, whatever way it is nested."""
    if isinstance(result, str | bytes):
        codes = [*result] if isinstance(result, bytes) else list(map(ord, result))
        yield name, np.array(codes, np.int64)
    elif isinstance(result, dict):
        for key, item in result.items():
            yield from _named_numbers(item, f"{name}[{key!r}]")
    elif isinstance(result, list | tuple) and not all(map(_is_number, result)):
        for number, item in enumerate(result):
            yield from _named_numbers(item, f"{name}[{number}]")
    elif result is not None and not callable(result):
        yield name, np.asarray(result)


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | np.generic)


def _arrays(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield what can be overwritten as arrays: those, and lists of numbers."""
    if isinstance(tree, np.ndarray):
        yield name, tree
    elif isinstance(tree, list) and all(map(_is_number, tree)):
        yield name, np.array(tree)
    elif isinstance(tree, list | tuple):
        for number, item in enumerate(tree):
            yield from _arrays(item, f"{name}[{number}]")
