"""Inputs of tables of positions and of masks."""

import itertools

import numpy as np

from minitransformer.nn import rotary_tables, sinusoidal_positions
from minitransformer.ops import causal_mask, padding_mask
from minitransformer.testing.functions.base import FunctionSpec
from minitransformer.testing.references import positions
from minitransformer.testing.specs import Cases


def _sinusoidal(rng: np.random.Generator) -> Cases:
    sizes = {"some": (5, 8), "one pair": (7, 2), "one position": (1, 6), "long": (300, 10)}
    return {
        label: {"length": length, "width": width} for label, (length, width) in sizes.items()
    } | {"single precision": {"length": 5, "width": 8, "dtype": np.float32}}


def _rotary(rng: np.random.Generator) -> Cases:
    sizes = {"some": (5, 8), "one pair": (7, 2), "one position": (1, 6), "long": (300, 10)}
    cases: Cases = {
        label: {"length": length, "head_width": width, "dtype": np.float64}
        for label, (length, width) in sizes.items()
    }
    return cases | {"another base": cases["some"] | {"base": 500.0}}


def _causal_mask(rng: np.random.Generator) -> Cases:
    return {
        f"T = {T}, S = {S}": {"T": T, "S": S} for T, S in itertools.product((1, 3, 5), repeat=2)
    }


def _padding_mask(rng: np.random.Generator) -> Cases:
    return {
        "ragged": {"lengths": np.array([3, 6, 1, 5]), "S": 6},
        "an empty sequence": {"lengths": np.array([2, 0]), "S": 3},
        "all full": {"lengths": np.array([4, 4, 4]), "S": 4},
        "one sequence": {"lengths": np.array([2]), "S": 5},
        "unsigned lengths": {"lengths": np.array([2, 5], np.uint8), "S": 5},
    }


POSITIONS = (
    FunctionSpec(
        "sinusoidal_positions", sinusoidal_positions, positions.sinusoidal_positions, _sinusoidal
    ),
    FunctionSpec("rotary_tables", rotary_tables, positions.rotary_tables, _rotary),
    FunctionSpec("causal_mask", causal_mask, positions.causal_mask, _causal_mask),
    FunctionSpec("padding_mask", padding_mask, positions.padding_mask, _padding_mask),
)
