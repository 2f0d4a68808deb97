"""Single ops of minitransformer, forward and backward, with any backend."""

import numpy as np

from benchmarks.contestant import timed
from benchmarks.evidence import Evidence
from benchmarks.op_tasks import product, task
from minitransformer import ops, set_backend
from minitransformer.testing.subject import cast
from minitransformer.testing.trees import as_parts


class OpPair:
    """Forward and backward of one op."""

    def __init__(self, name: str, backend: str, dtype: str = "float32") -> None:
        set_backend(backend)
        found = task(name)
        self.spec = found.spec
        self.arguments = cast(found.arguments, dtype)
        self.dy = cast(found.dy, dtype)

    def validate(self) -> Evidence:
        y, cache = self.spec.forward(**self.arguments)
        gradients = self.spec.backward(self.dy, cache)
        results = {f"y{i}": np.asarray(part) for i, part in enumerate(as_parts(y))}
        named = zip(self.spec.wrt, gradients, strict=True)
        return {**results, **{f"d{name}": gradient for name, gradient in named}}

    def run(self, steps: int) -> list[float]:
        return timed(self._step, steps)

    def _step(self) -> None:
        _, cache = self.spec.forward(**self.arguments)
        self.spec.backward(self.dy, cache)


class Product:
    """One matrix product."""

    def __init__(self, layer: str, kind: str, backend: str, dtype: str = "float32") -> None:
        set_backend(backend)
        self.a, self.b = (matrix.astype(dtype, copy=False) for matrix in product(layer, kind))

    def validate(self) -> Evidence:
        y, _ = ops.matmul_forward(self.a, self.b)
        return {"y": y}

    def run(self, steps: int) -> list[float]:
        return timed(lambda: ops.matmul_forward(self.a, self.b), steps)
