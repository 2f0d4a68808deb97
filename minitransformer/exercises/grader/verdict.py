"""The verdict on one answer, for people and for programs."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader.observation import Observation

Status = Literal["accepted", "wrong", "stopped", "not done", "not gradable"]
SHOWN = 200
"""Elements of an array that are written out in full."""


@dataclass(frozen=True)
class Counterexample:
    """The smallest input found on which an answer is wrong.

    Attributes
    ----------
    label : str
        What is special about it.
    arguments : dict
        The function's arguments.
    name : str
        Which result is wrong.
    expected, got : object
        What is right and what the answer gives; None if it gives nothing.
    index : tuple of int or None
        The first entry in which they differ.
    raised : str
        The exception, if there was one.
    """

    label: str
    arguments: dict[str, Any]
    name: str = ""
    expected: Any = None
    got: Any = None
    index: tuple[int, ...] | None = None
    raised: str = ""

    def as_json(self) -> dict[str, Any]:
        """Make it writable as JSON."""
        return {
            "label": self.label,
            "input": {name: as_json(value) for name, value in self.arguments.items()},
            "result": self.name,
            "expected": as_json(self.expected),
            "got": as_json(self.got) if not self.raised else self.raised,
            "index": list(self.index) if self.index is not None else None,
        }

    def __str__(self) -> str:
        width = max((len(name) for name in self.arguments), default=0)
        given = {k: v for k, v in self.arguments.items() if v is not None}
        lines = [f"{name:<{width}} = {_text(value, width + 3)}" for name, value in given.items()]
        if self.raised:
            lines += ["", f"got      {self.raised}"]
        elif self.name:
            lines += ["", f"expected {self.name} = {_text(self.expected, 12 + len(self.name))}"]
            lines += [f"got      {self.name} = {_text(self.got, 12 + len(self.name))}"]
        if self.index:
            lines += [f"first difference at index {list(self.index)}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Verdict:
    """What the grader says about one file.

    Attributes
    ----------
    file : str
        Its name.
    exercise : Exercise or None
        Which exercise it answers.
    status : str
        "accepted", "wrong", "stopped" (it did what an answer may not do), "not done" or
        "not gradable".
    points : float
        What it earns.
    mistake, message, hint : str
        Name of the mistake, a sentence about it, and where to look.
    counterexample : Counterexample or None
        The smallest failing input.
    checks : int
        How many laws were tried on inputs.
    """

    file: str
    exercise: Exercise | None
    status: Status
    points: float = 0.0
    mistake: str = ""
    message: str = ""
    hint: str = ""
    counterexample: Counterexample | None = None
    checks: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the answer is right."""
        return self.status == "accepted"

    @property
    def exit_code(self) -> int:
        """0 accepted, 1 wrong, 2 there is nothing to grade."""
        return {"accepted": 0, "wrong": 1, "stopped": 1}.get(self.status, 2)

    def as_json(self) -> dict[str, Any]:
        """Make it writable as JSON."""
        return {
            "file": self.file,
            "exercise": self.exercise.id if self.exercise else None,
            "status": self.status,
            "accepted": self.accepted,
            "points": self.points,
            "max_points": self.exercise.points if self.exercise else 0,
            "checks": self.checks,
            "mistake": self.mistake or None,
            "message": self.message,
            "hint": self.hint or None,
            "stopped": self.mistake if self.status == "stopped" else None,
            "smallest_failing_input": self.counterexample.as_json()
            if self.counterexample
            else None,
        }


def counterexample(seen: Observation, arguments: dict[str, Any]) -> Counterexample:
    """Show where an answer is wrong."""
    name = seen.wrong[0] if seen.wrong else ""
    if seen.error is not None and name not in seen.got:
        return Counterexample(seen.case.label, arguments, raised=str(seen.error)[:500])
    if not name:
        return Counterexample(seen.case.label, arguments)
    expected, got = np.asarray(seen.expected[name]), np.asarray(seen.got.get(name, np.nan))
    return Counterexample(
        seen.case.label, arguments, name, expected, got, first_difference(got, expected)
    )


def first_difference(got: Any, expected: Any) -> tuple[int, ...] | None:
    """Index of the first entry that differs; None if the shapes do."""
    if got.shape != expected.shape:
        return None
    with np.errstate(all="ignore"):
        size = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
        tolerance = 1e-4 * size if got.dtype == np.float32 else 1e-9 * size
        same = np.isclose(got, expected, rtol=0.0, atol=tolerance)
    places = np.argwhere(~same)
    return tuple(int(i) for i in places[0]) if len(places) else None


def as_json(value: Any) -> Any:
    """Arrays as nested lists, what is not finite as text, long arrays as a sentence."""
    if isinstance(value, np.ndarray | np.generic):
        if value.size > SHOWN:
            return f"array of shape {value.shape}"
        return as_json(value.tolist())
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, float):
        return float(f"{value:.9g}") if np.isfinite(value) else str(value)
    return (
        value if value is None or isinstance(value, bool | int | str) else str(type(value).__name__)
    )


def _text(value: Any, indent: int) -> str:
    if isinstance(value, np.ndarray):
        text = np.array2string(
            value, precision=6, suppress_small=True, threshold=SHOWN, separator=", "
        )
        kind = "" if value.dtype in (np.float64, np.bool_, np.int64) else f"  ({value.dtype})"
        return text.replace("\n", "\n" + " " * indent) + kind
    if isinstance(value, list) and any(isinstance(item, np.ndarray) for item in value):
        return "[" + (",\n" + " " * indent).join(_text(item, indent + 1) for item in value) + "]"
    return getattr(value, "__name__", repr(value)) if callable(value) else repr(value)
