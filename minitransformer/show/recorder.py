"""Run a function and write down, after every statement, what it changed."""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np

from minitransformer.backend import use_backend
from minitransformer.errors import InputError
from minitransformer.show.axes import annotated_axes, name_axes, sizes_of
from minitransformer.show.listing import Listing
from minitransformer.show.trace import Trace, TraceStep, Value, copy_corner

STEPS = 2000
"""Statements recorded of one run; what a longer one does afterwards is not kept."""


def record(
    function: Callable[..., Any],
    /,
    *args: Any,
    axes: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> Trace:
    """Run a function and record every statement that it executes.

    Parameters
    ----------
    function
        A Python function or method, a ``functools.partial`` of one, or an op, of which the
        textbook's version runs.
    axes
        More names of axes, such as ``{"x": "B T C"}``; the function's annotations come first.
    *args, **kwargs
        Its arguments.

    Raises
    ------
    InputError
        If the function has no Python source, or never ran.
    Exception
        Whatever the function raises, unchanged, with the trace until then as its ``trace``.
    """
    textbook = _source_of(function)
    listing = Listing.of(textbook)
    annotated = {**(axes or {}), **annotated_axes(textbook)}
    recorder = _Recorder(textbook, listing)
    try:
        with use_backend("numpy"):
            result = recorder.run(functools.partial(function, *args, **kwargs))
    except BaseException as error:
        error.trace = recorder.trace(annotated, None, complete=False)  # type: ignore[attr-defined]
        raise
    if not recorder.entered:
        raise InputError(f"{listing.name} never ran; is its cache that of another backend?")
    return recorder.trace(annotated, result, complete=len(recorder.steps) < STEPS)


def _source_of(function: Callable[..., Any]) -> Any:
    """The function that is written down: of an op the textbook's, of a partial the whole."""
    if isinstance(function, functools.partial):
        return _source_of(function.func)
    return inspect.unwrap(getattr(function, "impls", {"numpy": function})["numpy"])


class _Recorder:
    """The state of one recording; sys.settrace calls :meth:`_called` and then :meth:`_event`."""

    def __init__(self, function: Callable[..., Any], listing: Listing) -> None:
        self.code = function.__code__
        self.listing = listing
        self.entered = False
        self.arguments: dict[str, Value] = {}
        self.locals: dict[str, Any] = {}
        self.steps: list[TraceStep] = []
        self.latest: dict[str, Value] = {}
        self.pending: int | None = None  # the statement under way

    def run(self, call: Callable[[], Any]) -> Any:
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            return call()
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code is not self.code or self.entered:
            return None
        self.entered = True
        self.arguments = {name: Value.of(name, thing) for name, thing in frame.f_locals.items()}
        self.latest = dict(self.arguments)
        return self._event

    def _event(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            statement = self.listing.at(frame.f_lineno)
            if statement != self.pending:
                self._close(frame.f_locals)
                self.pending = statement
        elif event == "return":
            self._close(frame.f_locals, argument)
        return self._event

    def _close(self, local: Mapping[str, Any], returned: Any = None) -> None:
        """Record what the statement under way has done."""
        if self.pending is None or len(self.steps) >= STEPS:
            return
        statement = self.listing.statements[self.pending]
        changed = [
            name
            for name in local
            if name in statement.binds
            or (name in statement.mentions and self._differs(name, local[name]))
        ]
        assigned = {name: Value.of(name, local[name]) for name in changed if name != "_"}
        assigned |= _returned_values(statement.returns, returned)
        self.locals |= {name: local[name] for name in changed if isinstance(local[name], int)}
        self.latest |= assigned
        self.steps.append(TraceStep(self.pending, assigned))
        self.pending = None

    def _differs(self, name: str, thing: Any) -> bool:
        known = self.latest.get(name)
        if not isinstance(thing, np.ndarray) or known is None:
            return False
        old = known.data
        return not isinstance(old, np.ndarray) or not _same_bits(copy_corner(thing), old)

    def trace(self, annotated: Mapping[str, str], result: Any, complete: bool) -> Trace:
        sizes = sizes_of({**self.arguments, **self.latest, **self.locals}, annotated)

        def named(values: Mapping[str, Value]) -> dict[str, Value]:
            return {
                name: value
                if value.shape is None
                else replace(value, axes=name_axes(name, value.shape, annotated, sizes))
                for name, value in values.items()
            }

        steps = tuple(TraceStep(step.statement, named(step.assigned)) for step in self.steps)
        return Trace(self.listing, named(self.arguments), steps, result, complete)


def _returned_values(expressions: tuple[str, ...], returned: Any) -> dict[str, Value]:
    """What a return statement computes beyond names: ``y.reshape(B, T, C)``."""
    items = returned if len(expressions) > 1 and isinstance(returned, tuple) else (returned,)
    if len(expressions) == 1 and isinstance(returned, tuple) and len(returned) == 1:
        items = returned
    return {
        expression: Value.of(expression, item)
        for expression, item in zip(expressions, items, strict=False)
        if not expression.isidentifier()
    }


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
