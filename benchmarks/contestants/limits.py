"""What the machine allows: the arithmetic alone, the reading alone. Nobody can be faster."""

import numpy as np

from benchmarks.contestant import timed
from benchmarks.evidence import Evidence

SIDE = 2048
"""Of the matrices whose product is as fast as the machine gets."""
ROWS = 4096
"""So few that each is long, and so many that all cores have some."""


class Product:
    """One product of matrices with a given number of multiplications: OpenBLAS at its best."""

    def __init__(self, multiply_adds: int) -> None:
        rows = round(multiply_adds / SIDE**2)
        rng = np.random.default_rng(0)
        self.a = rng.standard_normal((rows, SIDE), np.float32)
        self.b = rng.standard_normal((SIDE, SIDE), np.float32)
        self.y = np.empty((rows, SIDE), np.float32)

    def validate(self) -> Evidence:
        return {}

    def run(self, steps: int) -> list[float]:
        return timed(lambda: np.matmul(self.a, self.b, out=self.y), steps)


class Reading:
    """Read so many bytes of float32 from memory: one long matrix-vector product in OpenBLAS."""

    def __init__(self, size: int) -> None:
        self.matrix = np.ones((ROWS, size // 4 // ROWS), np.float32)
        self.vector = np.ones(self.matrix.shape[1], np.float32)
        self.y = np.empty(ROWS, np.float32)

    def validate(self) -> Evidence:
        self.multiply()
        return {}

    def multiply(self) -> None:
        """Go through the matrix once."""
        np.matmul(self.matrix, self.vector, out=self.y)

    def run(self, steps: int) -> list[float]:
        return timed(self.multiply, steps)
