"""Inputs for what works on each element alone: activations, dropout."""

import numpy as np

from minitransformer import ops
from minitransformer.testing.specs.base import Arguments, Cases, Dims, OpSpec


def _shapes(dims: Dims) -> dict[str, tuple[int, ...]]:
    B, T, H, C = (dims[letter] for letter in "BTHC")
    return {"batch": (B, T, C), "one vector": (C,), "matrix": (T, C), "four axes": (B, H, T, C)}


def _activation(rng: np.random.Generator, dims: Dims) -> Cases:
    shapes = _shapes(dims)
    ordinary = {label: {"x": rng.standard_normal(shape)} for label, shape in shapes.items()}
    return {
        **ordinary,
        "wide": {"x": 4.0 * rng.standard_normal(shapes["batch"])},
        "far out": {"x": 1000.0 * rng.standard_normal(shapes["batch"])},
    }


def _relu(rng: np.random.Generator, dims: Dims) -> Cases:
    x = rng.standard_normal(_shapes(dims)["batch"])
    x[..., 0] = 0.0
    return {**_activation(rng, dims), "zeros": {"x": x}}


def _gelu(rng: np.random.Generator, dims: Dims) -> Cases:
    cases = _activation(rng, dims)
    exact = {f"{label}, exact": case | {"approximate": "none"} for label, case in cases.items()}
    return {**cases, **exact}


def _swiglu(rng: np.random.Generator, dims: Dims) -> Cases:
    cases = _activation(rng, dims)
    return {
        label: {"gate": case["x"], "up": rng.standard_normal(case["x"].shape)}
        for label, case in cases.items()
    }


def _dropout(rng: np.random.Generator, dims: Dims) -> Cases:
    def case(shape: tuple[int, ...], p: float) -> Arguments:
        return {"x": rng.standard_normal(shape), "keep": rng.random(shape) >= p, "p": p}

    shapes = _shapes(dims)
    batch = shapes["batch"]
    return {
        **{label: case(shape, 0.3) for label, shape in shapes.items()},
        "p = 0": case(batch, 0.0),
        "all dropped": case(batch, 0.5) | {"keep": np.zeros(batch, np.bool_)},
        "no keep": {"x": rng.standard_normal(batch), "keep": None, "p": 0.3},
    }


_DIMS = {"B": 2, "T": 3, "H": 4, "C": 5}

ELEMENTS = (
    OpSpec("relu", ops.relu_forward, ops.relu_backward, _relu, ("x",), _DIMS, kinks=("zeros",)),
    OpSpec("tanh", ops.tanh_forward, ops.tanh_backward, _activation, ("x",), _DIMS),
    OpSpec("silu", ops.silu_forward, ops.silu_backward, _activation, ("x",), _DIMS),
    OpSpec("gelu", ops.gelu_forward, ops.gelu_backward, _gelu, ("x",), _DIMS),
    OpSpec("swiglu", ops.swiglu_forward, ops.swiglu_backward, _swiglu, ("gate", "up"), _DIMS),
    OpSpec("dropout", ops.dropout_forward, ops.dropout_backward, _dropout, ("x",), _DIMS),
)
