"""Inputs of the first kernels; apart from the others, since these need Numba.

Those for a GPU need one, or NUMBA_ENABLE_CUDASIM=1 set before Python starts.
"""

from typing import Any

import numpy as np

from minitransformer.ladders.loops import matmul_tiled, softmax_online, softmax_rows
from minitransformer.ladders.threads import matmul_shared, softmax_blocks, vector_add
from minitransformer.testing.functions.base import FunctionSpec
from minitransformer.testing.references import kernels
from minitransformer.testing.specs import Cases


def _softmax(rng: np.random.Generator) -> Cases:
    normal = rng.standard_normal
    with_holes = np.where(rng.random((2, 9)) < 0.5, -np.inf, normal((2, 9)))
    with_holes[0], with_holes[1, :3] = -np.inf, -np.inf
    return {
        "rows": {"x": normal((3, 21))},
        "scores around +-1000": {"x": np.array([[1000.0], [-1000.0]]) + normal((2, 5))},
        "rising scores": {"x": np.sort(1000.0 * normal((1, 11)))},
        "minus infinity": {"x": with_holes},
        "one column": {"x": normal((2, 1))},
    }


def _matmul(rng: np.random.Generator) -> Cases:
    def case(rows: int, inner: int, columns: int) -> dict[str, Any]:
        normal = rng.standard_normal
        return {"a": normal((rows, inner)), "b": normal((inner, columns))}

    return {"ragged tiles": case(5, 6, 7), "whole tiles": case(4, 8, 4), "thin": case(1, 9, 2)}


def _matmul_tiled(rng: np.random.Generator) -> Cases:
    matrices = _matmul(rng)
    return {
        **{f"{label}, tile = 4": case | {"tile": 4} for label, case in matrices.items()},
        "tiles of one element": matrices["ragged tiles"] | {"tile": 1},
        "one tile for all": matrices["ragged tiles"] | {"tile": 100},
    }


def _vector_add(rng: np.random.Generator) -> Cases:
    sizes = {"several blocks": 21, "whole blocks": 16, "one element": 1, "large blocks": 1030}
    return {
        label: {name: rng.standard_normal(size) for name in "ab"} for label, size in sizes.items()
    }


LOOPS = (
    FunctionSpec("softmax_rows", softmax_rows, kernels.softmax, _softmax),
    FunctionSpec("softmax_online", softmax_online, kernels.softmax, _softmax),
    FunctionSpec("matmul_tiled", matmul_tiled, kernels.matmul, _matmul_tiled),
)

THREADS = (
    FunctionSpec("vector_add", vector_add, kernels.vector_add, _vector_add),
    FunctionSpec("softmax_blocks", softmax_blocks, kernels.softmax, _softmax),
    FunctionSpec("matmul_shared", matmul_shared, kernels.matmul, _matmul),
)

KERNELS: dict[str, FunctionSpec] = {spec.name: spec for spec in (*LOOPS, *THREADS)}
"""The specification of every such function by name."""
