"""Specifications of what has no backward: verbs on state, optimizers, clipping, schedules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.backend import use_backend
from minitransformer.nn import Parameter
from minitransformer.optim import AdamW, Optimizer, clip_grad_norm
from minitransformer.schedules import warmup_cosine, warmup_inverse_sqrt
from minitransformer.testing import references
from minitransformer.testing.layouts import backwards, inside, spread, transposed
from minitransformer.testing.specs import Arguments, Cases
from minitransformer.testing.subject import TOLERANCES, LawError, cast, compare, with_arrays
from minitransformer.testing.trees import named_arrays

Function = Callable[..., Any]


@dataclass(frozen=True)
class FunctionSpec:
    """How to try a function that returns a result, or overwrites arrays that it is given.

    Attributes
    ----------
    name : str
        The function's name.
    function : callable
        What is on trial.
    reference : callable
        The same, written independently; it may be slow.
    inputs : callable
        ``inputs(rng)`` draws arguments, floats in float64, by label.
    harness : callable
        Makes of the function on trial a function of these arguments, where it is not one itself.
    """

    name: str
    function: Function
    reference: Function
    inputs: Callable[[np.random.Generator], Cases]
    harness: Callable[[Function], Function] = lambda function: function


def equals_reference(
    spec: FunctionSpec, backend: str = "numpy", dtype: str = "float64", seed: int = 0
) -> float:
    """Return the worst error against the reference, of results and of overwritten arrays.

    Raises
    ------
    LawError
        Names the inputs and the first wrong number.
    """
    function = spec.harness(spec.function)
    worst = 0.0
    for label, arguments in spec.inputs(np.random.default_rng(seed)).items():
        given = cast(arguments, dtype)
        expected = _outcome(spec.reference, cast(given, "float64"))
        for layout in (np.copy, spread, transposed, backwards, inside):
            try:
                with use_backend(backend):
                    got = _outcome(function, with_arrays(layout, given))
                worst = max(worst, compare(got, expected, TOLERANCES[dtype]))
            except Exception as error:
                raise LawError(f"reference ({label}): {error}") from error
    return worst


def _outcome(function: Function, arguments: Arguments) -> dict[str, Any]:
    """Call the function and name all arrays that there are afterwards."""
    result = function(**arguments)
    result = np.array(result) if isinstance(result, float) else result
    return {
        path: array
        for name, tree in {"result": result, **arguments}.items()
        for path, array in named_arrays(tree, name)
    }


def _accumulate(rng: np.random.Generator) -> Cases:
    normal = rng.standard_normal
    shapes = {"matrix": (3, 4), "vector": (70,), "four axes": (2, 3, 4, 5)}
    return {label: {"total": normal(s), "part": normal(s)} for label, s in shapes.items()}


def _one_array(rng: np.random.Generator) -> Cases:
    return {
        "matrix": {"x": rng.standard_normal((3, 4))},
        "vector": {"x": rng.standard_normal(70)},
        "large": {"x": 1e25 * rng.standard_normal((2, 3))},
        "tiny": {"x": 1e-25 * rng.standard_normal((2, 3))},
    }


def _scale(rng: np.random.Generator) -> Cases:
    return {label: case | {"factor": -0.3} for label, case in _one_array(rng).items()}


def _zero(rng: np.random.Generator) -> Cases:
    return {**_one_array(rng), "not finite": {"x": np.array([[np.nan, np.inf], [1.0, -np.inf]])}}


def _kv_append(rng: np.random.Generator) -> Cases:
    def case(length: int, new: int) -> Arguments:
        sizes = {"keys": (9, 4), "values": (9, 5), "k": (new, 4), "v": (new, 5)}
        arrays = {name: rng.standard_normal((2, 3, *size)) for name, size in sizes.items()}
        return arrays | {"length": length}

    return {"empty": case(0, 6), "one token": case(6, 1), "several": case(2, 3), "full": case(7, 2)}


def _adamw(rng: np.random.Generator) -> Cases:
    def case(*shape: int, **options: Any) -> Arguments:
        arrays = {name: rng.standard_normal(shape) for name in ("parameter", "grad", "m")}
        return {**arrays, "v": rng.random(shape), "t": 3, "lr": 0.1, **options}

    first = case(3, 4, t=1)
    return {
        "first step": first | {"m": np.zeros((3, 4)), "v": np.zeros((3, 4))},
        "third step": case(3, 4),
        "late": case(70, t=5000),
        "weight decay": case(3, 4, weight_decay=0.3),
        "other betas": case(3, 4, beta1=0.7, beta2=0.9),
        "large eps": case(2, 3, 4, eps=0.5),
        "no momentum": case(3, 4, beta1=0.0),
        "no gradient": case(3, 4, weight_decay=0.2) | {"grad": np.zeros((3, 4))},
    }


def _sgd(rng: np.random.Generator) -> Cases:
    def case(**options: Any) -> Arguments:
        arrays = {name: rng.standard_normal((3, 4)) for name in ("parameter", "grad", "velocity")}
        return {**arrays, "lr": 0.1, **options}

    return {
        "plain": case(),
        "momentum": case(momentum=0.9),
        "nesterov": case(momentum=0.9, nesterov=True),
        "weight decay": case(weight_decay=0.3),
        "everything": case(momentum=0.8, nesterov=True, weight_decay=0.3),
    }


def _clip(rng: np.random.Generator) -> Cases:
    def case(max_norm: float) -> Arguments:
        return {
            "grads": [rng.standard_normal((3, 4)), rng.standard_normal(5)],
            "max_norm": max_norm,
        }

    tiny = {"grads": [1e-6 * rng.standard_normal(5)], "max_norm": 1e-7}
    return {"too long": case(0.5), "a little": case(3.0), "short": case(100.0), "tiny": tiny}


def _steps(*steps: float, **options: float) -> Cases:
    return {f"step {step}": {"step": step, **options} for step in steps}


def _cosine(rng: np.random.Generator) -> Cases:
    options = {"peak": 0.3, "warmup": 5, "total": 20}
    from_peak = _steps(0, 10, peak=0.3, warmup=0, total=20)
    floored = _steps(0, 4, 5, 13, 20, 50, floor=0.1, **options)
    return {
        **_steps(0, 1, 4, 5, 6, 12, 19, 20, 21, 1000, **options),
        **{f"{label}, floor": case for label, case in floored.items()},
        **{f"{label}, no warm-up": case for label, case in from_peak.items()},
    }


def _inverse_sqrt(rng: np.random.Generator) -> Cases:
    return _steps(0, 1, 3, 4, 5, 100, width=64, warmup=4, factor=2.0)


def _training(rng: np.random.Generator) -> Cases:
    def draw() -> tuple[Any, Any]:
        return rng.standard_normal((3, 4)), rng.standard_normal(4)

    matrix, bias = draw()
    gradients = [draw() for _ in range(3)]
    return {"steps": {"matrix": matrix, "bias": bias, "gradients": gradients, "lr": 0.1}}


def _with_step(step: Function) -> Function:
    """Make of a method ``Optimizer.step`` a function that trains two parameters by AdamW."""
    optimizer_type: type[AdamW] = type("Trial", (AdamW,), {"step": step})

    def train(matrix: Any, bias: Any, gradients: Sequence[Any], lr: float) -> tuple[Any, Any]:
        parameters = [Parameter(matrix), Parameter(bias)]
        optimizer = optimizer_type(parameters, lr, weight_decay=0.1)
        for grads in gradients:
            for parameter, grad in zip(parameters, grads, strict=True):
                parameter.grad[...] = grad
            optimizer.step()
        np.copyto(matrix, parameters[0].data)
        np.copyto(bias, parameters[1].data)
        return matrix, bias

    return train


FUNCTIONS: dict[str, FunctionSpec] = {
    spec.name: spec
    for spec in (
        FunctionSpec("accumulate", ops.accumulate, references.accumulate, _accumulate),
        FunctionSpec("scale_", ops.scale_, references.scale_, _scale),
        FunctionSpec("zero_", ops.zero_, references.zero_, _zero),
        FunctionSpec("sum_of_squares", ops.sum_of_squares, references.sum_of_squares, _one_array),
        FunctionSpec("kv_append", ops.kv_append, references.kv_append, _kv_append),
        FunctionSpec("adamw_step", ops.adamw_step, references.adamw_step, _adamw),
        FunctionSpec("sgd_step", ops.sgd_step, references.sgd_step, _sgd),
        FunctionSpec("clip_grad_norm", clip_grad_norm, references.clip_grad_norm, _clip),
        FunctionSpec("warmup_cosine", warmup_cosine, references.warmup_cosine, _cosine),
        FunctionSpec(
            "warmup_inverse_sqrt",
            warmup_inverse_sqrt,
            references.warmup_inverse_sqrt,
            _inverse_sqrt,
        ),
        FunctionSpec(
            "Optimizer.step", Optimizer.step, references.adamw_steps, _training, _with_step
        ),
    )
}
"""The specification of every such function by name."""
