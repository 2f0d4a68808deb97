"""The form of a forward/backward pair: everything that can be wrong before any number is."""

import copy
import traceback
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minitransformer.testing.diagnosis import Explanation
from minitransformer.testing.differences import cotangent
from minitransformer.testing.pair import Arguments, Pair
from minitransformer.testing.trees import as_parts, changed_arrays, map_parts, same_numbers


@dataclass(frozen=True)
class Fault:
    """A breach of the op contract; `argument` is None when it concerns the pair as a whole."""

    argument: str | None
    explanation: Explanation


@dataclass
class Trial:
    """One forward and backward under observation: results, and every fault of form seen.

    `gradients` holds only those that are worth comparing with finite differences, `tripled` what
    backward returns for three times the same dy.
    """

    pair: Pair
    arguments: Arguments
    y: Any = None
    dy: Any = None
    cache: Any = None
    gradients: dict[str, Any] = field(default_factory=dict)
    tripled: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def run(self, rng: np.random.Generator) -> None:
        """Try the pair out with every precaution; the caller's arrays are never touched."""
        given = copy.deepcopy(self.arguments)
        self.y, self.cache = self.pair.call_on(given)
        for name in changed_arrays(self.arguments, given):
            self._note(
                "input_overwritten",
                f"forward wrote into its argument {name}: it belongs to the caller, who may need "
                "it again; work on a new array",
                name,
            )
        if self._is_measurable():
            self.dy = cotangent(self.y, rng)
            self._run_backward(given)
            self.tripled = self.pair.gradients(self.arguments, map_parts(_triple, self.dy))
        if not self.faults:
            self._run_single_precision()

    def is_linear(self, name: str) -> bool:
        """Whether a gradient is three times as large for 3 dy, to nine digits."""
        gradient, tripled = self.gradients[name], self.tripled.get(name)
        if tripled is None or np.shape(tripled) != gradient.shape:
            return False
        deviation = np.abs(tripled - 3 * gradient).max(initial=0.0)
        return bool(deviation <= 1e-9 * np.abs(gradient).max(initial=0.0))

    def _note(self, name: str, sentence: str, argument: str | None = None) -> None:
        self.faults.append(Fault(argument, Explanation(name, sentence)))

    def _is_measurable(self) -> bool:
        known = len(self.faults)
        for part in as_parts(self.y):
            dtype = np.asarray(part).dtype
            if dtype != np.float64:
                self._note(
                    "dtype_lost" if dtype.kind == "f" else "wrong_dtype",
                    f"forward was given float64 and returned {dtype}: y must have the dtype of its "
                    "arguments",
                )
            elif not np.isfinite(part).all():
                self._note("not_finite", f"y is {_first_bad(part)}")
        if not same_numbers(self.y, self.pair.call(self.arguments)[0]):
            self._note(
                "forward_not_repeatable",
                "two calls of forward with the same arguments differ: what is drawn at random must "
                "come in as an argument",
            )
        return len(self.faults) == known

    def _run_backward(self, given: Arguments) -> None:
        inputs, cache, dy = copy.deepcopy((given, self.cache, self.dy))
        try:
            result = copy.deepcopy(self.pair.backward(dy, self.cache))
            written = {
                "dy": changed_arrays({"dy": self.dy}, {"dy": dy}),
                "inputs": changed_arrays(inputs, given),
                "cache": changed_arrays({"cache": cache}, {"cache": self.cache}),
            }
            repeated = self.pair.backward(copy.deepcopy(self.dy), self.cache)
        except Exception as error:
            self._note_exception(error)
            return
        self._note_traces(written)
        if not any(written.values()) and not same_numbers(result, repeated):
            self._note(
                "not_repeatable",
                "a second backward with the same dy and cache gives another result: backward must "
                "depend on nothing else",
            )
        self._sort(result)

    def _note_exception(self, error: Exception) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        self._note(
            "raises",
            f"backward raised {type(error).__name__}: {error} (in {frame.name}, line "
            f"{frame.lineno}: {frame.line})",
        )

    def _note_traces(self, written: dict[str, list[str]]) -> None:
        if written["dy"]:
            self._note(
                "dy_overwritten",
                "backward wrote into dy: the caller may hand the same dy to a second branch (a "
                "residual connection does)",
            )
        for name in written["inputs"]:
            self._note(
                "input_overwritten",
                f"backward wrote into {name}, an argument of forward (the cache holds the very "
                "same array); work on a new array",
                name,
            )
        if written["cache"] and not written["inputs"]:
            self._note(
                "cache_overwritten",
                f"backward wrote into {written['cache'][0]}: a second backward on this cache would "
                "be wrong; work on a new array",
            )

    def _sort(self, result: Any) -> None:
        slots = self.pair.slots
        wanted = ", ".join(f"d{name}" for name in slots) + ("," if len(slots) == 1 else "")
        if not isinstance(result, tuple):
            self._note(
                "not_a_tuple",
                f"backward returned {_kind(result)}, expected a tuple, always: ({wanted})",
            )
        aligned = self.pair.align(result, self.arguments)
        if aligned is None:
            count = len(result) if isinstance(result, tuple | list) else 1
            self._note(
                "wrong_length",
                f"backward returned {count} gradients, expected {len(slots)}: ({wanted})",
            )
        for name, gradient in aligned or []:
            if self._is_comparable(name, gradient, self.arguments.get(name)):
                self.gradients[name] = np.asarray(gradient)

    def _is_comparable(self, name: str, gradient: Any, argument: Any) -> bool:
        if argument is None and gradient is None:
            return False
        if argument is None:
            self._note(
                "gradient_of_absent",
                f"{name} was not given, so d{name} is None; got {_kind(gradient)}",
                name,
            )
        elif gradient is None:
            self._note("missing_gradient", f"d{name} is None, but {name} was given", name)
        elif not isinstance(gradient, np.ndarray | np.generic):
            self._note("not_an_array", f"d{name} is {_kind(gradient)}, expected an array", name)
        elif gradient.dtype != np.float64:
            self._note(
                "dtype_lost" if gradient.dtype.kind == "f" else "wrong_dtype",
                f"d{name} is {gradient.dtype}, but {name} is float64: a gradient has the dtype of "
                "its argument",
                name,
            )
        elif not np.isfinite(gradient).all():
            self._note("not_finite", f"d{name} is {_first_bad(gradient)}", name)
        else:
            return True
        return False

    def _run_single_precision(self) -> None:
        """Run once in float32: what comes out must be float32 too."""
        single = {name: _to_single(value) for name, value in self.arguments.items()}
        y, _ = self.pair.call(single)
        gradients = self.pair.gradients(single, map_parts(_to_single, self.dy))
        results: list[tuple[str | None, str, Any]] = [(None, "y", part) for part in as_parts(y)]
        results += [(name, f"d{name}", gradients.get(name)) for name in self.gradients]
        for argument, label, value in results:
            if np.asarray(value).dtype != np.float32:
                self._note(
                    "dtype_lost",
                    f"{label} is {np.asarray(value).dtype} when all arguments are float32: a new "
                    "array was made without a dtype, or a constant is a NumPy float64 (np.sqrt(2) "
                    "is, math.sqrt(2) is not)",
                    argument,
                )


def _triple(value: Any) -> Any:
    return 3 * value


def _to_single(value: Any) -> Any:
    is_double = isinstance(value, np.ndarray | np.generic) and value.dtype == np.float64
    return value.astype(np.float32) if is_double else value


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return "None" if value is None else f"a {type(value).__name__}"


def _first_bad(value: Any) -> str:
    array = np.asarray(value)
    bad = ~np.isfinite(array)
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    where = f"at index {list(index)}, " if index else ""
    return f"not finite: {array[index]} {where}{bad.sum()} of {bad.size} entries"
