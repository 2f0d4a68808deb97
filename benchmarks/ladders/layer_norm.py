"""Layer norm: one walk through memory, and sums that do not wait for each other.

8,192 positions of width 768: 25 MB in and 25 MB out. Seven operations for each number, and at least
12 bytes through memory: 0.6 operations a byte. Like softmax it should be as fast as memory, and
there is no exp in the way. What is in the way are sums: an addition takes three or four cycles
until the next can use its result, though a core could start two additions of 8 lanes every cycle.
"""

import numpy as np

from benchmarks.ladders.rungs import READ, UPDATE, WRITE, Array, Arrays, Ladder, Rung
from minitransformer import ops
from minitransformer.backend import use_backend
from minitransformer.backends.numba.threads import compiled, reassociated, seen_by_python

POSITIONS, WIDTH = 8192, 768
EPS = 1e-5


def numpy_passes(x: Array, gamma: Array, beta: Array) -> Array:
    """Write the formula in NumPy: seven walks over arrays of 25 MB.

    The mean reads 4 bytes a number; subtracting it, squaring, and scaling read 4 and write 8 each;
    the mean of the squares reads 4; the last two steps update in place, 8 each: 60 bytes instead
    of 12.
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    y: Array = centred / np.sqrt(variance + EPS)
    y *= gamma
    y += beta
    return y


@seen_by_python
@compiled
def fused_rows(x: Array, gamma: Array, beta: Array) -> Array:
    """Finish a row before the next is begun: three loops over 3 KB in the first cache.

    12 bytes for each number instead of 60, and still expect no more than a small gain. Compilers
    may not reorder additions, since rounding would differ; so both sums run one addition after the
    other, and each waits about four cycles for the last: 768 * 2 * 4 cycles a row, 2 ms for each
    thousand rows.
    """
    y = np.empty(x.shape, x.dtype)
    count = x.dtype.type(x.shape[1])
    for n in range(x.shape[0]):
        total = x.dtype.type(0)
        for c in range(x.shape[1]):
            total += x[n, c]
        mean = total / count
        squares = x.dtype.type(0)
        for c in range(x.shape[1]):
            squares += (x[n, c] - mean) ** 2
        scale = 1 / np.sqrt(squares / count + x.dtype.type(EPS))
        for c in range(x.shape[1]):
            y[n, c] = (x[n, c] - mean) * scale * gamma[c] + beta[c]
    return y


@seen_by_python
@reassociated
def simd_rows(x: Array, gamma: Array, beta: Array) -> Array:
    """Compile the same lines again, with leave to reorder additions.

    With ``reassociated`` the compiler keeps 8 to 64 partial sums in vector lanes and adds them up
    at the end of a row. That also rounds *better*: errors of short sums are smaller. Not one line
    differs. Expect about four times the speed, half of what memory grants one core.
    """
    y = np.empty(x.shape, x.dtype)
    count = x.dtype.type(x.shape[1])
    for n in range(x.shape[0]):
        total = x.dtype.type(0)
        for c in range(x.shape[1]):
            total += x[n, c]
        mean = total / count
        squares = x.dtype.type(0)
        for c in range(x.shape[1]):
            squares += (x[n, c] - mean) ** 2
        scale = 1 / np.sqrt(squares / count + x.dtype.type(EPS))
        for c in range(x.shape[1]):
            y[n, c] = (x[n, c] - mean) * scale * gamma[c] + beta[c]
    return y


def library(x: Array, gamma: Array, beta: Array) -> Array:
    """Rows on all cores: the library's kernel, which also keeps mean and scale for backward.

    Expect as many times the speed as there are cores until memory is the limit, which takes two or
    three of them.
    """
    with use_backend("numba"):
        y, _ = ops.layer_norm_forward(x, gamma, beta, EPS)
    return y


def ladder(positions: int = POSITIONS, width: int = WIDTH) -> Ladder:
    """Rungs for any size."""

    def inputs() -> Arrays:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((positions, width), np.float32) + np.float32(0.5)
        return (x, *rng.standard_normal((2, width), np.float32))

    def reference(x: Array, gamma: Array, beta: Array) -> Array:
        y: Array = ops.layer_norm_forward.impls["numpy"](x, gamma, beta, EPS)[0]
        return y

    numbers = positions * width
    passes, once, flops = 5 * READ + 3 * WRITE + 2 * UPDATE, READ + WRITE, 7
    return Ladder(
        title=f"layer norm: {positions:,} positions of width {width}",
        story=__doc__ or "",
        inputs=inputs,
        reference=reference,
        rungs=[
            Rung("NumPy passes", numpy_passes, passes * numbers, flops * numbers),
            Rung("fused rows", fused_rows, once * numbers, flops * numbers),
            Rung("sums in vector lanes", simd_rows, once * numbers, flops * numbers),
            Rung("threads: the library", library, once * numbers, flops * numbers),
        ],
    )
