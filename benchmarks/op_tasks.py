"""The tasks of ``benchmarks.ops``: every op of the specifications, at the sizes of a class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer.testing import SPECS, OpSpec
from minitransformer.testing.differences import cotangent
from minitransformer.testing.subject import cast

LENGTHS = {
    **{"B": 12, "T": 64, "S": 64, "C": 128, "V": 97, "I": 128, "O": 512, "R": 8},
    **{"H": 4, "Hk": 4, "G": 1, "D": 32, "Dv": 32, "D/2": 16, "M": 64, "K": 32, "N": 64},
}
"""Lengths of axes by letter: those of the small model."""

WIDER = {name: {"C": 512} for name in ("relu", "tanh", "silu", "gelu", "swiglu")}
"""Other lengths of an op: activations stand where the network is widest."""

CASES = {"attention": "causal, T = S", "softmax": "four axes", "split_heads": "three parts"}
"""Which of an op's inputs are taken, if not the first."""

LONG_ATTENTION = "attention, T = 1024, 12 heads"
LONG = {"B": 1, "Hk": 12, "T": 1024, "S": 1024, "D": 64, "Dv": 64}


@dataclass(frozen=True)
class OpTask:
    """Forward and backward of an op on given arguments, in float32."""

    spec: OpSpec
    arguments: dict[str, Any]
    dy: Any


def names() -> list[str]:
    """Of all tasks."""
    return [*SPECS, LONG_ATTENTION]


def task(name: str) -> OpTask:
    """Draw the arguments of a task; the same numbers in every process."""
    spec = SPECS["attention" if name == LONG_ATTENTION else name]
    arguments = long_attention() if name == LONG_ATTENTION else class_arguments(spec)
    y, _ = spec.forward.impls["numpy"](**cast(arguments, "float32"))
    dy = cotangent(y, np.random.default_rng(1))
    return OpTask(spec, cast(arguments, "float32"), dy if np.ndim(dy) == 0 else cast(dy, "float32"))


def class_arguments(spec: OpSpec) -> dict[str, Any]:
    """Draw one set of arguments from the specification, with the small model's lengths."""
    lengths = {letter: LENGTHS.get(letter, size) for letter, size in spec.dims.items()}
    cases = spec.cases(dims={**lengths, **WIDER.get(spec.name, {})})
    return cases[CASES.get(spec.name, next(iter(cases)))]


def long_attention() -> dict[str, Any]:
    """Attention over a long context, as GPT-2 has it."""
    rng = np.random.default_rng(0)
    B, Hk, T, S, D, Dv = LONG.values()
    shapes = {"q": (B, Hk, T, D), "k": (B, Hk, S, D), "v": (B, Hk, S, Dv)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return {**arrays, "causal": True}


PRODUCTS = {
    "small, attention": (768, 128, 384),
    "small, feed-forward": (768, 128, 512),
    "mid, feed-forward": (2048, 384, 1536),
    "GPT-2, feed-forward": (256, 768, 3072),
}
"""Rows, inputs and outputs of linear layers."""

TRANSPOSED: dict[str, Callable[..., tuple[Any, Any]]] = {
    "y = x w": lambda x, w, dy: (x, w),
    "dx = dy w^T": lambda x, w, dy: (dy, w.T),
    "dw = x^T dy": lambda x, w, dy: (x.T, dy),
}
"""The three products of a linear layer; transposed matrices are views."""


def product(layer: str, kind: str) -> tuple[Any, Any]:
    """Draw the two matrices of one product."""
    rows, inputs, outputs = PRODUCTS[layer]
    rng = np.random.default_rng(0)
    x, w, dy = (
        rng.standard_normal(shape, np.float32)
        for shape in ((rows, inputs), (inputs, outputs), (rows, outputs))
    )
    return TRANSPOSED[kind](x, w, dy)
