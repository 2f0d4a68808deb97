"""Inputs for sums and products: add, matmul, linear, LoRA, embedding."""

import numpy as np

from minitransformer import ops
from minitransformer.nn import lora_backward, lora_forward
from minitransformer.testing.specs.base import Arguments, Cases, Dims, OpSpec


def _add(rng: np.random.Generator, dims: Dims) -> Cases:
    B, T, C = dims["B"], dims["T"], dims["C"]
    normal = rng.standard_normal
    return {
        "same shape": {"a": normal((B, T, C)), "b": normal((B, T, C))},
        "positions": {"a": normal((B, T, C)), "b": normal((T, C))},
        "a is repeated": {"a": normal(C), "b": normal((B, T, C))},
        "both are repeated": {"a": normal((B, 1, C)), "b": normal((T, 1))},
    }


def _matmul(rng: np.random.Generator, dims: Dims) -> Cases:
    B, H, M, K, N = (dims[letter] for letter in "BHMKN")
    normal = rng.standard_normal
    return {
        "a batch": {"a": normal((B, H, M, K)), "b": normal((B, H, K, N))},
        "two matrices": {"a": normal((M, K)), "b": normal((K, N))},
        "one b for all": {"a": normal((B, M, K)), "b": normal((K, N))},
        "one a for all": {"a": normal((M, K)), "b": normal((B, H, K, N))},
        "both are repeated": {"a": normal((B, 1, M, K)), "b": normal((1, H, K, N))},
        "square": {"a": normal((K, K, K)), "b": normal((K, K, K))},
    }


def _linear(rng: np.random.Generator, dims: Dims) -> Cases:
    B, T, H, inputs, outputs = (dims[letter] for letter in "BTHIO")

    def case(
        *leading: int, bias: bool = True, transposed: bool = False, outputs: int = outputs
    ) -> Arguments:
        w = rng.standard_normal((inputs, outputs))
        arguments: Arguments = {
            "x": rng.standard_normal((*leading, inputs)),
            "w": np.ascontiguousarray(w.T) if transposed else w,
        }
        if bias:
            arguments["b"] = rng.standard_normal(outputs)
        return arguments | ({"transposed": True} if transposed else {})

    return {
        "with b": case(B, T),
        "without b": case(B, T, bias=False),
        "one vector": case(),
        "rows": case(T),
        "four axes": case(B, H, T),
        "square": case(inputs, outputs=inputs),
        "transposed": case(B, T, transposed=True),
        "transposed, without b": case(B, T, bias=False, transposed=True),
    }


def _lora(rng: np.random.Generator, dims: Dims) -> Cases:
    B, T, H, inputs, outputs, rank = (dims[letter] for letter in "BTHIOR")
    shapes = {"w": (inputs, outputs), "a": (inputs, rank), "b": (rank, outputs)}

    def case(*leading: int, scale: float = 0.7) -> Arguments:
        matrices = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        return {"x": rng.standard_normal((*leading, inputs)), **matrices, "scale": scale}

    return {
        "batch": case(B, T),
        "one vector": case(),
        "rows": case(T),
        "four axes": case(B, H, T),
        "a large change": case(B, T, scale=-3.0),
        "at the start": case(B, T) | {"b": np.zeros(shapes["b"])},
    }


def _embedding(rng: np.random.Generator, dims: Dims) -> Cases:
    B, T, V, C = dims["B"], dims["T"], dims["V"], dims["C"]

    def table() -> np.ndarray:
        return rng.standard_normal((V, C))

    return {
        "batch": {"ids": rng.integers(V, size=(B, T)), "w": table()},
        "repeated ids": {"ids": np.full((B, T), V - 1), "w": table()},
        "one sequence": {"ids": np.arange(V, dtype=np.int32), "w": table()},
        "unsigned ids": {"ids": rng.integers(V, size=(B, T), dtype=np.uint16), "w": table()},
        "three axes": {"ids": rng.integers(V, size=(B, T, 2)), "w": table()},
    }


PRODUCTS = (
    OpSpec("add", ops.add_forward, ops.add_backward, _add, ("a", "b"), {"B": 2, "T": 3, "C": 5}),
    OpSpec(
        "matmul",
        ops.matmul_forward,
        ops.matmul_backward,
        _matmul,
        ("a", "b"),
        {"B": 2, "H": 3, "M": 4, "K": 5, "N": 6},
    ),
    OpSpec(
        "linear",
        ops.linear_forward,
        ops.linear_backward,
        _linear,
        ("x", "w", "b"),
        {"B": 2, "T": 3, "H": 6, "I": 4, "O": 5},
    ),
    OpSpec(
        "lora",
        lora_forward,
        lora_backward,
        _lora,
        ("x", "a", "b"),
        {"B": 2, "T": 3, "H": 6, "I": 4, "O": 5, "R": 7},
    ),
    OpSpec(
        "embedding",
        ops.embedding_forward,
        ops.embedding_backward,
        _embedding,
        ("w",),
        {"B": 2, "T": 3, "V": 7, "C": 5},
    ),
)
