"""Inputs of verbs on state: sums, factors, zeros, the memory of generation."""

import numpy as np

from minitransformer import ops
from minitransformer.testing.functions.base import FunctionSpec
from minitransformer.testing.references import state
from minitransformer.testing.specs import Arguments, Cases


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
    def case(length: int, new: int, width: int = 5) -> Arguments:
        sizes = {"keys": (9, 4), "values": (9, width), "k": (new, 4), "v": (new, width)}
        arrays = {name: rng.standard_normal((2, 3, *size)) for name, size in sizes.items()}
        return arrays | {"length": length}

    return {
        "empty": case(0, 6),
        "one token": case(6, 1),
        "several": case(2, 3),
        "full": case(7, 2),
        "keys as wide as values": case(3, 2, width=4),
    }


STATE = (
    FunctionSpec("accumulate", ops.accumulate, state.accumulate, _accumulate),
    FunctionSpec("scale_", ops.scale_, state.scale_, _scale),
    FunctionSpec("zero_", ops.zero_, state.zero_, _zero),
    FunctionSpec("sum_of_squares", ops.sum_of_squares, state.sum_of_squares, _one_array),
    FunctionSpec("kv_append", ops.kv_append, state.kv_append, _kv_append),
)
