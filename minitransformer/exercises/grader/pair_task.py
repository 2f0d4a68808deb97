"""A forward, a backward, or both, judged by the laws of ops."""

import copy
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from minitransformer.backend import Op, forget, kernel, use_backend
from minitransformer.exercises.grader.faults import FORM_HINTS
from minitransformer.exercises.grader.process import StudentProcess
from minitransformer.exercises.grader.proxies import StudentCache, proxy
from minitransformer.exercises.grader.task import (
    EVERY,
    MUTANT,
    STUDENT,
    Case,
    EachResult,
    Results,
    Task,
)
from minitransformer.testing import LAWS, OpSpec, Subject, gradcheck
from minitransformer.testing.diagnosis import Explanation
from minitransformer.testing.differences import cotangent
from minitransformer.testing.laws import form, layout, linearity, purity, reference
from minitransformer.testing.specs import Arguments, Cases, Dims
from minitransformer.testing.subject import cast
from minitransformer.testing.trees import changed_arrays

_OF_FORM = frozenset(FORM_HINTS) - {"never_written", "not_finite", "wrong_shape"}


class PairTask(Task):
    """A forward, a backward, or both, judged by the laws of ops."""

    def __init__(self, spec: OpSpec, process: StudentProcess, defined: frozenset[str]) -> None:
        halves = (spec.forward, spec.backward)
        self.targets: tuple[Op[..., Any], ...] = tuple(
            half for half in halves if half.__name__ in defined
        )
        self.dims = spec.dims
        self._has_own_cache = spec.forward in self.targets
        self._is_forward_only = self.targets == (spec.forward,)
        if self._is_forward_only:
            judged_on_y = typing.cast(Op[..., Any], _no_backward)
            spec = replace(spec, wrt=(), backward=judged_on_y)
        self.spec = spec
        self._labels = list(spec.cases())
        self._process = process

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Register the answer as a backend."""
        keeps = "if there" if self._is_forward_only else "always"
        for half in self.targets:
            is_forward = half is self.spec.forward
            function = proxy(self._process, half, keeps if is_forward else "")
            kernel(STUDENT, half, StudentCache if self._has_own_cache else None)(function)
        try:
            yield
        finally:
            forget(STUDENT)

    def subject(self, backend: str, dtype: str = "float64") -> Subject:
        """The op as a backend does it."""
        return Subject(self.spec, backend, dtype)

    def all_cases(self, seed: int, dims: Dims | None = None) -> Cases:
        return self.spec.cases(seed, dims)

    def laws(self, case: Case) -> Iterator[tuple[str, Callable[[], float]]]:
        is_usual = case.label in self._labels
        chosen = [form, purity, reference, linearity] if is_usual else [reference]
        if is_usual and self._labels.index(case.label) % EVERY == 0:
            chosen.append(layout)
        for law in LAWS:
            if law in (chosen if case.dtype == "float64" else (form, reference)):
                yield law.__name__, self._run(law, case)

    def _run(self, law: Any, case: Case) -> Callable[[], float]:
        def run() -> float:
            subject = self.subject(STUDENT, case.dtype)
            return float(law(subject, case.arguments, np.random.default_rng(0)))

        return run

    def expected(self, case: Case) -> Results:
        given, dy = self._given(case)
        return self.subject("numpy").results(cast(given, "float64"), cast(dy, "float64"))

    def got(self, case: Case) -> EachResult:
        return self.subject(STUDENT).each_result(*self._given(case))

    def mutated(self, case: Case, target: Any, mutant: Callable[..., Any]) -> EachResult:
        target.impls[MUTANT] = mutant
        try:
            yield from self.subject(MUTANT).each_result(*self._given(case))
        finally:
            del target.impls[MUTANT]

    def fault(self, case: Case, target: Any, mutant: Callable[..., Any]) -> str:
        target.impls[MUTANT] = mutant
        try:
            found = self.fault_of(MUTANT, case)
        finally:
            del target.impls[MUTANT]
        return found.name if found else ""

    def fault_of(self, backend: str, case: Case) -> Explanation | None:
        """What the contract of forward and backward says, before any number is looked at."""
        overwritten = self._overwritten(backend, case)
        if overwritten or not self.spec.wrt:
            return overwritten
        try:
            report = self.gradcheck(backend, case)
        except Exception:
            return None
        faults = [each.explanation for each in report.failures if each.explanation.name in _OF_FORM]
        return faults[0] if faults else None

    def gradcheck(self, backend: str, case: Case) -> Any:
        """Compare the gradients with finite differences."""
        spec = self.spec
        pair = (spec.forward, spec.backward)
        with use_backend(backend), np.errstate(all="ignore"):
            return gradcheck(*pair, case.arguments, wrt=spec.wrt, dims=spec.dims, name=spec.name)

    def _overwritten(self, backend: str, case: Case) -> Explanation | None:
        """Whether forward writes into what it is given."""
        given = cast(case.arguments, case.dtype)
        before = copy.deepcopy(given)
        self.subject(backend).forward(given)
        changed = changed_arrays(before, given)
        if not changed:
            return None
        return Explanation(
            "input_overwritten",
            f"forward writes into its argument {changed[0]}: it belongs to the caller, who may "
            "need it again",
        )

    def shown(self, case: Case) -> Arguments:
        given, dy = self._given(case)
        return given if self._is_forward_only else {**given, "dy": dy}

    def _given(self, case: Case) -> tuple[Arguments, Any]:
        given = cast(case.arguments, case.dtype)
        y, _ = self.subject("numpy").forward(cast(given, "float64"))
        return given, cast(cotangent(y, np.random.default_rng(0)), case.dtype)


def _no_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    return ()
