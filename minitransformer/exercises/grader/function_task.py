"""A plain function, judged by comparison with a slow one that is surely right."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minitransformer.exercises.grader.child.device import marking_allocators
from minitransformer.exercises.grader.process import StudentProcess
from minitransformer.exercises.grader.proxies import FormError, proxy
from minitransformer.exercises.grader.task import Case, EachResult, Results, Task
from minitransformer.testing import FunctionSpec
from minitransformer.testing.layouts import LAYOUTS
from minitransformer.testing.specs import Arguments, Cases, Dims
from minitransformer.testing.subject import TOLERANCES, LawError, cast, compare, with_arrays
from minitransformer.testing.trees import leaves


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
        """Let mutants that run on a simulated GPU find the same memory as the answer."""
        if not self.spec.function.__module__.endswith(".threads"):
            yield
            return
        from numba import cuda

        before = dict(vars(cuda))
        vars(cuda).update(marking_allocators(cuda))
        try:
            yield
        finally:
            vars(cuda).update(before)

    def all_cases(self, seed: int, dims: Dims | None = None) -> Cases:
        return self.spec.inputs(np.random.default_rng(seed))

    def laws(self, case: Case) -> Iterator[tuple[str, Callable[[], float]]]:
        is_first = case.label == next(iter(self.cases(0)))
        if is_first or not self.is_slow:
            yield "form", lambda: self._has_form(case, self._student)
        elif case.dtype != "float64":
            return
        yield (
            "reference",
            lambda: compare(dict(self.got(case)), self.expected(case), TOLERANCES[case.dtype]),
        )
        if case.dtype == "float64" and not self.is_slow:
            yield "repeatable", lambda: self._is_repeatable(case)
            yield "layout", lambda: self._holds_in_any_layout(case)

    def expected(self, case: Case) -> Results:
        exact = cast(cast(case.arguments, case.dtype), "float64")
        return dict(self._outcome(self.spec.reference, exact))

    def got(self, case: Case) -> EachResult:
        return self._outcome(self._student, cast(case.arguments, case.dtype))

    def mutated(self, case: Case, target: Any, mutant: Callable[..., Any]) -> EachResult:
        return self._outcome(self.spec.harness(mutant), cast(case.arguments, case.dtype))

    def _outcome(self, function: Callable[..., Any], arguments: Arguments) -> EachResult:
        given = copy.deepcopy(arguments)  # callables and generators have a state of their own
        for path, leaf in leaves(function(**given), "result"):
            if leaf is not None and not callable(leaf):
                yield path, _as_numbers(leaf)
        for path, leaf in leaves(given):
            if isinstance(leaf, np.ndarray | list):  # what can be overwritten
                yield path, np.asarray(leaf)

    def fault(self, case: Case, target: Any, mutant: Callable[..., Any]) -> str:
        try:
            self._has_form(case, self.spec.harness(mutant))
        except FormError as error:
            return error.name
        return ""

    def _has_form(self, case: Case, function: Callable[..., Any]) -> float:
        """The result is the same sort of thing as the library's, of the same dtypes."""
        model = self.spec.reference if self.is_slow else self._textbook
        got, expected = (
            each(**cast(copy.deepcopy(case.arguments), case.dtype)) for each in (function, model)
        )
        _same_form("result", got, cast(expected, case.dtype) if self.is_slow else expected)
        return 0.0

    def _is_repeatable(self, case: Case) -> float:
        first, second = dict(self.got(case)), dict(self.got(case))
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
                got = dict(self._outcome(self._student, given))
                worst = max(worst, compare(got, expected, 1e-9))
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


def _as_numbers(leaf: Any) -> Any:
    """An array of what a leaf holds: numbers, bytes, or the letters of a text."""
    if isinstance(leaf, str | bytes):
        return np.array([*leaf] if isinstance(leaf, bytes) else [*map(ord, leaf)], np.int64)
    return np.asarray(leaf)
