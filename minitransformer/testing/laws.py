"""What holds for every op, whoever implements it.

A law takes what is on trial, one set of arguments in float64 and an rng. It returns the worst
relative error that it met, and raises :class:`LawError` where the law is broken.
"""

import copy
import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from minitransformer.backend import use_backend
from minitransformer.testing.differences import cotangent, flatten, measure
from minitransformer.testing.gradient_check import gradcheck
from minitransformer.testing.layouts import LAYOUTS
from minitransformer.testing.specs import Arguments
from minitransformer.testing.subject import LawError, Subject, cast, compare, with_arrays
from minitransformer.testing.trees import as_parts, changed_arrays, named_arrays, same_numbers

Law = Callable[[Subject, Arguments, np.random.Generator], float]

ADJOINT_TOLERANCE = 1e-7
SAMPLED_ENTRIES = 3


def signature(subject: Subject, arguments: Arguments, rng: np.random.Generator) -> float:
    """Every implementation has the textbook's parameters, with the textbook's defaults."""
    for op in (subject.spec.forward, subject.spec.backward):
        implementation = op.impls.get(subject.backend)
        if implementation is None:
            continue
        expected, got = _parameters(op.impls["numpy"]), _parameters(implementation)
        if got != expected:
            raise LawError(f"the parameters of {op.__name__} are {got}, expected {expected}")
    return 0.0


def _parameters(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.default) for parameter in parameters]


def form(subject: Subject, arguments: Arguments, rng: np.random.Generator) -> float:
    """Results have the right types, numbers, shapes and dtypes, and every number is finite."""
    arguments = cast(arguments, subject.dtype)
    y, cache = subject.forward(arguments)
    if not isinstance(cache, tuple) or not hasattr(cache, "_fields"):
        raise LawError(f"the cache is a {type(cache).__name__}, expected a NamedTuple")
    for part in as_parts(y):
        _check_array("y", part, np.shape(part), subject.dtype)
    dy = cotangent(y, rng)
    is_loss = isinstance(dy, np.generic)  # its backward takes any real number
    gradients = subject.backward(dy if is_loss else cast(dy, subject.dtype), cache)
    wrt = subject.spec.wrt
    if not isinstance(gradients, tuple) or len(gradients) != len(wrt):
        raise LawError(f"backward returned {type(gradients).__name__}, expected a tuple of {wrt}")
    for name, gradient in zip(wrt, gradients, strict=True):
        argument = arguments.get(name)
        if argument is not None:
            _check_array(f"d{name}", gradient, argument.shape, subject.dtype)
        elif gradient is not None:
            raise LawError(f"{name} was not given, expected None as d{name}")
    return 0.0


def _check_array(name: str, array: Any, shape: tuple[int, ...], dtype: str) -> None:
    if not isinstance(array, np.ndarray | np.generic):
        raise LawError(f"{name} is a {type(array).__name__}, expected an array")
    if array.shape != shape or array.dtype != dtype:
        got = f"{array.dtype} of shape {array.shape}"
        raise LawError(f"{name} is {got}, expected {dtype} of shape {shape}")
    if not np.isfinite(array).all():
        raise LawError(f"{name} is not finite")


def purity(subject: Subject, arguments: Arguments, rng: np.random.Generator) -> float:
    """Nothing given is overwritten, nothing returned shares its memory, and all is repeatable."""
    given = {"arguments": cast(arguments, subject.dtype)}
    before = copy.deepcopy(given)
    y, cache = subject.forward(given["arguments"])
    _check_apart({"y": y}, given)
    again, _ = subject.forward(given["arguments"])
    if not same_numbers(y, again):
        raise LawError("a second forward gives another y")

    given |= {"y": y, "cache": cache, "dy": cast(cotangent(y, rng), subject.dtype)}
    before |= copy.deepcopy({name: given[name] for name in ("y", "cache", "dy")})
    gradients = subject.gradients(given["dy"], cache)
    if changed := changed_arrays(before, given):
        raise LawError(f"{changed[0]} was overwritten")
    _check_apart(gradients, given)
    for (name, one), (other, two) in itertools.combinations(gradients.items(), 2):
        if np.shares_memory(one, two):
            raise LawError(f"{name} and {other} share memory")
    repeated = subject.gradients(given["dy"], cache)
    for name, gradient in gradients.items():
        if not same_numbers(gradient, repeated[name]):
            raise LawError(f"a second backward on the same cache gives another {name}")
    return 0.0


def _check_apart(results: dict[str, Any], given: dict[str, Any]) -> None:
    for (name, result), (path, array) in itertools.product(_arrays_of(results), _arrays_of(given)):
        if np.shares_memory(result, array):
            raise LawError(f"{name} shares memory with {path}")


def _arrays_of(named: dict[str, Any]) -> list[tuple[str, Any]]:
    return [found for name, tree in named.items() for found in named_arrays(tree, name)]


def reference(subject: Subject, arguments: Arguments, rng: np.random.Generator) -> float:
    """The results are the textbook's in float64, but for rounding."""
    given = cast(arguments, subject.dtype)
    exact = cast(given, "float64")
    y, _ = subject.textbook.forward(exact)
    dy = cast(cotangent(y, rng), subject.dtype)
    expected = subject.textbook.results(exact, cast(dy, "float64"))
    return compare(subject.results(given, dy), expected, subject.tolerance)


def linearity(subject: Subject, arguments: Arguments, rng: np.random.Generator) -> float:
    """Backward of a sum is the sum of the backwards, and a factor goes through."""
    y, cache = subject.forward(cast(arguments, subject.dtype))
    first, second = (cast(cotangent(y, rng), subject.dtype) for _ in range(2))
    parts = [a - 3 * b for a, b in zip(as_parts(first), as_parts(second), strict=True)]
    mixed = subject.gradients(tuple(parts) if isinstance(y, tuple) else parts[0], cache)
    of_first, of_second = subject.gradients(first, cache), subject.gradients(second, cache)
    expected = {name: of_first[name] - 3 * of_second[name] for name in of_first}
    return compare(mixed, expected, subject.tolerance)


def layout(subject: Subject, arguments: Arguments, rng: np.random.Generator) -> float:
    """The same numbers give the same results, however they lie in memory."""
    arguments = cast(arguments, subject.dtype)
    y, _ = subject.forward(arguments)
    dy = cast(cotangent(y, rng), subject.dtype)
    expected = subject.results(arguments, dy)
    worst = 0.0
    for name, change in LAYOUTS.items():
        laid_out = with_arrays(change, {"arguments": arguments, "dy": dy})
        try:
            got = subject.results(laid_out["arguments"], laid_out["dy"])
            worst = max(worst, compare(got, expected, subject.tolerance))
        except Exception as error:
            raise LawError(f"with arrays laid out {name}: {error}") from error
    return worst


def adjoint(subject: Subject, arguments: Arguments, rng: np.random.Generator) -> float:
    """Backward is the transposed derivative of forward, by finite differences in float64.

    ``<dy, J v> == <backward(dy), v>`` for a random dy and v, and some entries one by one.
    """
    y, cache = subject.forward(arguments)
    dy = cotangent(y, rng)
    worst = 0.0
    for name, gradient in subject.gradients(dy, cache).items():
        argument = name.removeprefix("d")
        measured = measure(
            _along(subject, arguments, argument),
            arguments[argument],
            flatten(dy),
            rng,
            SAMPLED_ENTRIES,
        )
        worst = max(worst, measured.error(gradient))
        if not worst <= ADJOINT_TOLERANCE:
            raise LawError(_diagnosis(subject, arguments) or f"{name}: relative error {worst:.1e}")
    return worst


def _along(subject: Subject, arguments: Arguments, name: str) -> Callable[[Any], Any]:
    """See forward as a function of one argument."""
    return lambda value: flatten(subject.forward(arguments | {name: value})[0])


def _diagnosis(subject: Subject, arguments: Arguments) -> str:
    spec = subject.spec
    with use_backend(subject.backend):
        report = gradcheck(
            spec.forward, spec.backward, arguments, wrt=spec.wrt, dims=spec.dims, name=spec.name
        )
    return "" if report.passed else str(report)


LAWS: tuple[Law, ...] = (signature, form, purity, reference, linearity, layout, adjoint)
"""All laws, in the order in which what they find should be repaired."""
