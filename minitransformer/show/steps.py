"""Stepping through a function, or through a forward and its backward side by side."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from minitransformer.errors import InputError
from minitransformer.show import html
from minitransformer.show.heatmap import heatmap
from minitransformer.show.listing import Listing
from minitransformer.show.recorder import record
from minitransformer.show.sources import Pair, op_pair
from minitransformer.show.trace import Trace, TraceStep, Value
from minitransformer.testing.differences import cotangent


@dataclass(frozen=True, eq=False, repr=False)
class Steps:
    """A run to look at: all of it as a page, one step as a page, or behind a slider.

    Attributes
    ----------
    forward : Trace
    backward : Trace, or None
        If a pair was stepped through.
    """

    forward: Trace
    backward: Trace | None = None

    def __len__(self) -> int:
        return len(self.forward.steps) + (len(self.backward.steps) if self.backward else 0)

    @cached_property
    def quoted(self) -> dict[int, int]:
        """Which forward statement each backward statement differentiates."""
        if self.backward is None:
            return {}
        executed = sorted({step.statement for step in self.forward.steps})
        found = {
            index: self.forward.listing.quoted(statement.quote, executed)
            for index, statement in enumerate(self.backward.listing.statements)
        }
        return {index: forward for index, forward in found.items() if forward is not None}

    def frame(self, index: int) -> html.Picture:
        """One step: the source with the current line marked, and what it changed."""
        if not 0 <= index < len(self):
            raise IndexError(f"step {index} of {len(self)} steps, expected 0 to {len(self) - 1}")
        in_forward = index < len(self.forward.steps)
        trace, step = self._locate(index)
        forward_line = step.statement if in_forward else self.quoted.get(step.statement)
        page = _source(self.forward.listing, forward_line, html.FORWARD)
        if self.backward is not None:
            line = None if in_forward else step.statement
            page = html.columns(page, _source(self.backward.listing, line, html.BACKWARD))
        statement = trace.listing.statements[step.statement]
        heading = html.note(f"step {index + 1} of {len(self)}")
        text = "\n".join([statement.code, *(f"    {v}" for v in step.assigned.values())])
        return html.Picture(heading + page + self._values(trace, step), text)

    def interactive(self) -> Any:
        """The steps behind a slider, in a notebook.

        Raises
        ------
        InputError
            If ipywidgets is not installed.
        """
        try:
            ipywidgets = import_module("ipywidgets")
        except ImportError as error:
            raise InputError(
                "interactive() needs ipywidgets: pip install ipywidgets; the page without it is "
                "the Steps object itself"
            ) from error
        slider = ipywidgets.IntSlider(0, 0, len(self) - 1, description="step")
        play = ipywidgets.Play(value=0, min=0, max=len(self) - 1, interval=1500)
        ipywidgets.jslink((play, "value"), (slider, "value"))
        page = ipywidgets.HTML(self.frame(0).html)
        slider.observe(
            lambda change: setattr(page, "value", self.frame(change["new"]).html), names="value"
        )
        return ipywidgets.VBox([ipywidgets.HBox([play, slider]), page])

    def _locate(self, index: int) -> tuple[Trace, TraceStep]:
        trace = self.forward
        if self.backward is not None and index >= len(trace.steps):
            index, trace = index - len(trace.steps), self.backward
        return trace, trace.steps[index]

    def _repr_html_(self) -> str:
        if self.backward is None:
            return (
                self._arguments(self.forward)
                + "".join(self._step(self.forward, step) for step in self.forward.steps)
                + _unfinished(self.forward)
            )
        return self._side_by_side(self.backward)

    def _side_by_side(self, backward: Trace) -> str:
        """One row for each forward line; beside it, the backward lines that differentiate it.

        Of a line in a loop, forward's last time.
        """
        groups: dict[int | None, list[TraceStep]] = {}
        for step in backward.steps:
            groups.setdefault(self.quoted.get(step.statement), []).append(step)
        last = {step.statement: step for step in self.forward.steps}
        ends = groups.pop(None, [])
        prologue = [s for s in ends if not backward.listing.statements[s.statement].returns]
        epilogue = [s for s in ends if backward.listing.statements[s.statement].returns]
        rows = [("forward reads downwards ↓", "backward reads upwards ↑, group by group")]
        pages = [html.columns(*map(html.note, rows[0]))]

        def right(steps: Iterable[TraceStep]) -> str:
            return "".join(self._step(backward, step) for step in steps)

        arguments = html.code(self.forward.listing.header) + self._arguments(self.forward)
        pages.append(html.columns(arguments, right(epilogue)))
        for index, step in last.items():
            pages.append(html.columns(self._step(self.forward, step), right(groups.get(index, []))))
        start = html.code(backward.listing.header) + self._arguments(backward)
        pages.append(html.columns("", start + right(prologue)))
        rule = '<div style="border-top:1px solid rgba(128,128,128,.3);padding:6px 0 2px">'
        return "".join(f"{rule}{page}</div>" for page in pages) + _unfinished(backward)

    def _step(self, trace: Trace, step: TraceStep) -> str:
        is_forward = trace is self.forward and not self._alone_backward
        colour = html.FORWARD if is_forward else html.BACKWARD
        statement = trace.listing.statements[step.statement]
        indented = _indent(statement.code, statement.depth)
        return html.code(indented, colour, current=True) + self._values(trace, step)

    def _arguments(self, trace: Trace) -> str:
        values = [v for v in trace.arguments.values() if v.shape is not None]
        return html.row(self._draw(v, trace is self.forward) for v in values)

    def _values(self, trace: Trace, step: TraceStep) -> str:
        in_forward = trace is self.forward
        unfilled = "np.empty" in trace.listing.statements[step.statement].code
        drawn, others, known = [], [], []
        for value in step.assigned.values():
            if not in_forward and self._is_as_forward_left_it(value):
                known.append(value.name)
            elif value.shape is None:
                others.append(str(value))
            elif unfilled:
                others.append(f"{value}, to be filled")
            else:
                drawn.append(value)
        notes = [", ".join(others)] if others else []
        notes += [f"{', '.join(known)}: as in forward"] if known else []
        return html.row(self._draw(v, in_forward) for v in drawn) + "".join(map(html.note, notes))

    def _is_as_forward_left_it(self, value: Value) -> bool:
        left = self._left.get(value.name)
        if left is None or left.shape != value.shape:
            return False
        return bool(np.array_equal(left.data, value.data))

    @cached_property
    def _left(self) -> dict[str, Value]:
        return {} if self.backward is None else self.forward.final()

    def _draw(self, value: Value, is_forward: bool) -> str:
        computed = is_forward and not self._alone_backward
        role = "forward" if computed or value.name in self._remembered else "backward"
        return heatmap(value.data, value.name, value.axes, role, shape=value.shape).html

    @cached_property
    def _alone_backward(self) -> bool:
        return self.backward is None and self.forward.listing.name.endswith("_backward")

    @cached_property
    def _remembered(self) -> set[str]:
        """What backward takes out of its cache."""
        trace = self.backward or self.forward
        unpacked = [s for s in trace.listing.statements if re.search(r"= cache(\.\w+)*$", s.code)]
        return {name for s in unpacked for name in s.binds}

    def __repr__(self) -> str:
        return "\n\n".join(repr(trace) for trace in (self.forward, self.backward) if trace)


def step_through(
    function: str | Callable[..., Any] | Pair,
    /,
    *args: Any,
    dy: Any = None,
    axes: dict[str, str] | None = None,
    **kwargs: Any,
) -> Steps:
    """Run a function line by line and show what every line computes.

    Parameters
    ----------
    function
        An op, any Python function, a pair ``(forward, backward)``, or the name of an op such as
        ``"attention"``, which is its pair.
    *args, **kwargs
        Arguments of the function, of a pair's forward.
    dy
        The gradient with which a pair's backward starts; drawn with seed 0 if None.
    axes
        Names of axes that no annotation gives, such as ``{"x": "B T C"}``.

    Returns
    -------
    Steps
        In a notebook a page; ``interactive()`` has a slider; ``forward`` and ``backward`` are the
        recorded traces.

    Raises
    ------
    InputError
        If there is no such op, or no Python source.
    Exception
        Whatever the function raises, with what was recorded until then as its ``trace``.
    """
    pair = op_pair(function) if isinstance(function, str) else function
    if not isinstance(pair, tuple):
        return Steps(record(pair, *args, axes=axes, **kwargs))
    forward = record(pair[0], *args, axes=axes, **kwargs)
    y, cache = forward.result
    if dy is None:
        dy = cotangent(y, np.random.default_rng(0))
        dy = dy.astype(y.dtype) if isinstance(dy, np.ndarray) else dy
    known = {n: " ".join(v.axes) for n, v in forward.final().items() if v.axes}
    return Steps(forward, record(pair[1], dy, cache, axes={**known, **(axes or {})}))


def _source(listing: Listing, current: int | None, colour: str) -> str:
    lines = [html.code(listing.header)]
    for index, statement in enumerate(listing.statements):
        marked = index == current
        lines.append(html.code(_indent(statement.code, statement.depth), colour, marked))
    return "".join(lines)


def _indent(code: str, depth: int) -> str:
    return "\n".join("    " * depth + line for line in code.splitlines())


def _unfinished(trace: Trace) -> str:
    return "" if trace.complete else html.note("… the run went on; its first steps are recorded")
