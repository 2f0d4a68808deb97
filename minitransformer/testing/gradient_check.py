"""Prove a gradient: compare what backward returns with what forward does.

>>> report = gradcheck(softmax_forward, softmax_backward, {"x": x})  # doctest: +SKIP
>>> print(report)  # doctest: +SKIP
softmax: gradients are right
  dx  4.1e-12
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitransformer.testing.contract import Fault, Trial
from minitransformer.testing.diagnosis import diagnose
from minitransformer.testing.differences import Measurement, Vector, flatten, measure
from minitransformer.testing.evidence import Evidence
from minitransformer.testing.pair import Arguments, Pair
from minitransformer.testing.report import Failure, GradcheckReport, GradientError
from minitransformer.testing.trees import named_arrays

__all__ = ["Failure", "GradcheckReport", "GradientError", "gradcheck"]

Inputs = Mapping[str, Any] | Sequence[Any]


def gradcheck(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Inputs,
    *,
    wrt: Sequence[str] | None = None,
    seed: int = 0,
    tolerance: float = 1e-7,
    elements: int = 512,
    dims: Mapping[str, int] | None = None,
    variants: Mapping[str, Inputs] | None = None,
    name: str | None = None,
) -> GradcheckReport:
    """Check a backward against finite differences of its forward, and say what is wrong with it.

    Parameters
    ----------
    forward : callable
        Returns ``(y, cache)``; y is an array, a scalar or a tuple of arrays.
    backward : callable
        ``backward(dy, cache)`` returns the tuple of gradients, in the order of forward's arguments.
    inputs : mapping or sequence
        Forward's arguments, by name or in order. Float arrays must be float64, and random: at zeros
        or ones many wrong gradients look right. Give every axis a length of its own.
    wrt : sequence of str, optional
        Names of the differentiable arguments, in backward's order. By default all float arrays.
    seed : int
        Draws the cotangent and the directions.
    tolerance : float
        Largest relative error of a right gradient.
    elements : int
        Up to so many entries of an argument are compared one by one; of larger ones a sample.
    dims : mapping of str to int, optional
        Axis lengths by letter, ``{"B": 4, "T": 3}``, so that a wrong factor can be named.
    variants : mapping of str to inputs, optional
        Other inputs, labelled by what is special about them (``"T == S"``, ``"mask is None"``).
        They are tried only after a failure, to find out when the gradient is right.
    name : str, optional
        The op's name; by default forward's, without ``_forward``.

    Returns
    -------
    GradcheckReport
        Print it, ask it whether it ``passed``, or call its ``raise_if_failed()``.

    Raises
    ------
    TypeError
        A float input is not float64, or a name in ``inputs`` or ``wrt`` is no argument of forward.
    ValueError
        There is nothing to differentiate.

    Notes
    -----
    Let J be the matrix of derivatives of y by one argument x. Backward claims to compute ``J^T dy``
    without ever forming J. For random vectors dy and v::

        <dy, J v> == <J^T dy, v>      J v = d f(x + t v) / dt at t = 0, by finite differences

    One pair (dy, v) meets every entry of J, so a mistake anywhere shows, with probability one.
    Then each entry of ``J^T dy`` is compared with ``<dy, J e_i>``, which shows *where* it is wrong.
    Backward is linear in dy: ``backward(3 dy) == 3 backward(dy)`` to nine digits, which it is not
    when it rounds to float32 on the way.
    """
    arguments = _named(forward, inputs)
    pair = Pair(forward, backward, _differentiable(forward, arguments, wrt))
    rng = np.random.default_rng(seed)
    trial = Trial(pair, arguments)
    trial.run(rng)
    measured = {
        x: measure(_only(x, pair, arguments), arguments[x], flatten(trial.dy), rng, elements)
        for x in trial.gradients
    }
    errors = {x: math.inf for x in pair.slots if arguments.get(x) is not None}
    errors |= {x: m.error(trial.gradients[x]) for x, m in measured.items()}
    wrong = [
        x
        for x, m in measured.items()
        if m.is_zero or errors[x] > tolerance or not trial.is_linear(x)
    ]
    failures: list[Failure] = []
    if trial.faults or wrong:
        others = {
            label: gradcheck(
                forward,
                backward,
                variant,
                wrt=wrt,
                seed=seed,
                tolerance=tolerance,
                elements=elements,
            )
            for label, variant in (variants or {}).items()
        }
        failures = [_of_form(fault, others) for fault in trial.faults]
        for evidence in _gather(wrong, trial, measured, dims or {}, others):
            measurement = measured[evidence.argument]
            failures.append(_of_value(evidence, measurement, tolerance))
    op = name or getattr(forward, "__name__", "function").removesuffix("_forward")
    return GradcheckReport(op, errors, tuple(failures))


def _named(forward: Callable[..., Any], inputs: Inputs) -> Arguments:
    """Give every input its argument's name, in forward's order."""
    parameters = inspect.signature(forward).parameters
    if not isinstance(inputs, Mapping):
        inputs = inspect.signature(forward).bind(*inputs).arguments
    unknown = [name for name in inputs if name not in parameters]
    if unknown:
        raise TypeError(
            f"gradcheck: {unknown[0]} is no argument of forward, which has {list(parameters)}"
        )
    values = {name: inputs.get(name, parameter.default) for name, parameter in parameters.items()}
    return {name: value for name, value in values.items() if value is not inspect.Parameter.empty}


def _differentiable(
    forward: Callable[..., Any], arguments: Arguments, wrt: Sequence[str] | None
) -> tuple[str, ...]:
    """Find the arguments that have a gradient, and insist on float64 for all float arrays."""
    floats = {
        name: value
        for name, value in arguments.items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    }
    for name, value in floats.items():
        if value.dtype != np.float64:
            raise TypeError(
                f"gradcheck: {name} is {value.dtype}, expected float64: with fewer digits finite "
                f"differences prove nothing; pass {name}.astype(np.float64)"
            )
    slots = tuple(floats if wrt is None else wrt)
    for name in slots:
        if name not in inspect.signature(forward).parameters:
            raise TypeError(f"gradcheck: wrt names {name}, which is no argument of forward")
        if name not in floats and arguments.get(name) is not None:
            raise TypeError(f"gradcheck: wrt names {name}, expected a float64 array")
    if not floats.keys() & set(slots):
        raise ValueError("gradcheck: there is no float64 array to differentiate by")
    return slots


def _only(x: str, pair: Pair, arguments: Arguments) -> Callable[[Vector], Vector]:
    """See forward as a function of one argument, the others held fixed."""
    return lambda value: flatten(pair.call(arguments | {x: value})[0])


def _gather(
    wrong: list[str],
    trial: Trial,
    measured: Mapping[str, Measurement],
    dims: Mapping[str, int],
    variants: Mapping[str, GradcheckReport],
) -> Iterator[Evidence]:
    """Put together, for each wrong gradient, what a diagnosis may look at."""
    trees = {"dy": trial.dy, "y": trial.y, **trial.arguments, "cache": trial.cache}
    found = [item for name, tree in trees.items() for item in named_arrays(tree, name)]
    arrays = {name: array.astype(np.float64) for name, array in found if array.dtype.kind in "fb"}
    for x in wrong:
        yield Evidence(
            argument=x,
            analytic=trial.gradients[x],
            numeric=measured[x].numeric,
            is_zero=measured[x].is_zero,
            floor=measured[x].floor,
            inputs=trial.arguments,
            arrays=arrays,
            others={k: m.numeric for k, m in measured.items() if k != x},
            tripled=trial.tripled.get(x),
            dims=dims,
            right_when=tuple(k for k, report in variants.items() if not report.failed(x)),
        )


def _of_value(evidence: Evidence, measurement: Measurement, tolerance: float) -> Failure:
    """Report a gradient of the wrong value or shape, with the first wrong entry."""
    explanation = diagnose(evidence)
    analytic = evidence.analytic
    if analytic.shape != evidence.numeric.shape or evidence.is_zero:
        return Failure(evidence.argument, explanation)
    entry_errors = measurement.entry_errors(analytic)
    entries = np.argwhere(entry_errors > tolerance)
    if not len(entries):
        along = float(np.vdot(analytic, measurement.direction))
        error = measurement.direction_error(analytic)
        return Failure(evidence.argument, explanation, None, along, measurement.slope, error)
    index = tuple(int(i) for i in entries[0])
    return Failure(
        evidence.argument,
        explanation,
        index,
        float(analytic[index]),
        float(evidence.numeric[index]),
        float(entry_errors[index]),
    )


def _of_form(fault: Fault, variants: Mapping[str, GradcheckReport]) -> Failure:
    """Report a breach of the contract."""
    right_when = [label for label, report in variants.items() if report.passed]
    return Failure(fault.argument, fault.explanation.with_condition(right_when))
