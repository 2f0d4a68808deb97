"""Inputs of optimizers, clipping and schedules."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.nn import Parameter
from minitransformer.optim import AdamW, Optimizer, clip_grad_norm
from minitransformer.schedules import warmup_cosine, warmup_inverse_sqrt
from minitransformer.testing.functions.base import Function, FunctionSpec
from minitransformer.testing.references import updates
from minitransformer.testing.specs import Arguments, Cases


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
        "short memory": case(3, 4, beta1=0.3, beta2=0.4),
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


UPDATES = (
    FunctionSpec("adamw_step", ops.adamw_step, updates.adamw_step, _adamw),
    FunctionSpec("sgd_step", ops.sgd_step, updates.sgd_step, _sgd),
    FunctionSpec("clip_grad_norm", clip_grad_norm, updates.clip_grad_norm, _clip),
    FunctionSpec("warmup_cosine", warmup_cosine, updates.warmup_cosine, _cosine),
    FunctionSpec(
        "warmup_inverse_sqrt", warmup_inverse_sqrt, updates.warmup_inverse_sqrt, _inverse_sqrt
    ),
    FunctionSpec("Optimizer.step", Optimizer.step, updates.adamw_steps, _training, _with_step),
)
