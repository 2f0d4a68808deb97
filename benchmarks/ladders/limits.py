"""What the machine can do at most: how fast it multiplies, and how fast memory feeds it.

Both are measured, since data sheets promise what no program reaches. The best matrix product is the
limit of arithmetic, the best walk over arrays that no cache holds is the limit of memory. What a
rung reaches is possible as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba
import numpy as np

from benchmarks.ladders.rungs import READ, UPDATE
from benchmarks.ladders.timing import take_turns
from minitransformer import ops
from minitransformer.backend import use_backend
from minitransformer.backends.numba.gemm import multiply

SIDE = 480
"""Of the matrices, which stay in the caches."""
NUMBERS = 8_000_000
"""In an array: four of them are 128 MB, more than a cache holds."""


@dataclass(frozen=True)
class Limits:
    """Floating-point operations, and bytes through memory, in a second."""

    flops: float
    bandwidth: float

    def of(self, intensity: float) -> float:
        """Operations in a second if there are so many for each byte: the roof over a kernel."""
        return min(self.flops, intensity * self.bandwidth)

    def raised_to(self, other: "Limits") -> "Limits":
        """The higher of both: what was reached once is possible."""
        return Limits(max(self.flops, other.flops), max(self.bandwidth, other.bandwidth))


def measure_limits() -> dict[str, Limits]:
    """Limits of one core and of all cores; OpenBLAS takes part where all do."""
    a, b, c = np.ones((3, SIDE, SIDE), np.float32)
    p, g, m, v = np.ones((4, NUMBERS), np.float32)
    products = [lambda: multiply(a, b, c), lambda: np.matmul(a, b, c)]
    walks = [
        (READ + UPDATE, lambda: ops.accumulate(p, g)),
        (READ + 3 * UPDATE, lambda: ops.adamw_step(p, g, m, v, 1, 1e-3)),
    ]

    def on(threads: int, products: Sequence[Callable[[], object]]) -> Limits:
        numba.set_num_threads(threads)
        with use_backend("numba"):
            return Limits(
                flops=_best(2 * SIDE**3, *products),
                bandwidth=max(_best(moved * NUMBERS, walk) for moved, walk in walks),
            )

    cores = numba.get_num_threads()
    try:
        one = on(1, products[:1])
    finally:
        numba.set_num_threads(cores)
    return {"one core": one, "all cores": on(cores, products).raised_to(one)}


def _best(work: float, *functions: Callable[[], object]) -> float:
    """Work in a second of the fastest function."""
    return work / min(map(min, take_turns(functions)))
