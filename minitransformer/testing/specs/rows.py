"""Inputs for what works on the last axis: layer norm, RMS norm, softmax."""

from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.testing.differences import random_like
from minitransformer.testing.specs.base import (
    Arguments,
    Cases,
    Dims,
    OpSpec,
    some_of_each_row,
    with_closed_rows,
)

_ROUNDED = ("far from zero",)
"""Where x has too few digits left for finite differences."""


def _norm(*gains: str) -> Any:
    """Inputs of a norm whose parameters have these names."""

    def inputs(rng: np.random.Generator, dims: Dims) -> Cases:
        B, T, H, C = (dims[letter] for letter in "BTHC")

        def case(
            *leading: int, offset: float = 0.0, size: float = 1.0, **options: Any
        ) -> Arguments:
            x = offset + size * random_like(np.empty((*leading, C)), rng)
            parameters = {name: random_like(x[(0,) * len(leading)], rng) for name in gains}
            return {"x": x, **parameters, **options}

        return {
            "batch": case(B, T),
            "one vector": case(),
            "rows": case(T),
            "four axes": case(B, H, T),
            "square": case(C, C),
            "another eps": case(B, T, eps=0.3),
            "far from zero": case(B, T, offset=1000.0, size=5.0),
            "tiny": case(B, T, size=3e-3),
            "large": case(B, T, size=30.0),
        }

    return inputs


def _softmax(rng: np.random.Generator, dims: Dims) -> Cases:
    B, H, T, S = (dims[letter] for letter in "BHTS")
    normal = rng.standard_normal
    with_holes = np.where(some_of_each_row(rng, (B, T, S)), normal((B, T, S)), -np.inf)
    with_holes[0, 0] = -np.inf
    far = rng.choice((-1000.0, 1000.0), (B, T, 1)) + normal((B, T, S))
    hidden = some_of_each_row(rng, (B, T, S))
    return {
        "batch": {"x": normal((B, T, S))},
        "one vector": {"x": normal(S)},
        "four axes": {"x": normal((B, H, T, S))},
        "square": {"x": normal((S, S, S))},
        "scores around +-1000": {"x": far},
        "minus infinity": {"x": with_holes},
        "mask": {"x": normal((B, H, T, S)), "mask": some_of_each_row(rng, (B, H, T, S))},
        "mask of fewer axes": {"x": normal((B, H, T, S)), "mask": some_of_each_row(rng, (T, S))},
        "mask of keys": {"x": normal((B, H, T, S)), "mask": some_of_each_row(rng, (B, 1, 1, S))},
        "masked rows": {"x": normal((B, H, T, S)), "mask": with_closed_rows(rng, (B, H, T, S))},
        "all masked": {"x": normal((B, T, S)), "mask": np.zeros((1, S), np.bool_)},
        "hidden scores of 1000": {
            "x": normal((B, T, S)) + np.where(hidden, 0.0, 1000.0),
            "mask": hidden,
        },
        "mask and +-1000": {"x": far, "mask": with_closed_rows(rng, (B, T, S))},
    }


_DIMS = {"B": 2, "T": 3, "H": 4, "C": 5}

ROWS = (
    OpSpec(
        "layer_norm",
        ops.layer_norm_forward,
        ops.layer_norm_backward,
        _norm("gamma", "beta"),
        ("x", "gamma", "beta"),
        _DIMS,
        kinks=_ROUNDED,
    ),
    OpSpec(
        "rms_norm",
        ops.rms_norm_forward,
        ops.rms_norm_backward,
        _norm("gamma"),
        ("x", "gamma"),
        _DIMS,
        kinks=_ROUNDED,
    ),
    OpSpec(
        "softmax",
        ops.softmax_forward,
        ops.softmax_backward,
        _softmax,
        ("x",),
        {"B": 2, "H": 3, "T": 4, "S": 5},
    ),
)
