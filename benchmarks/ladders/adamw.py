"""AdamW: seven numbers through memory for every parameter, and not one more.

Eight million parameters, with gradient, mean and mean square 128 MB in four arrays. A step does 14
operations on a parameter, reads four numbers and writes three back: 28 bytes, 0.5 operations a
byte. No number is used twice, so no cache can help: the best possible time is 28 bytes times the
number of parameters over the bandwidth of the memory. GPT-2's 124 million parameters are 3.5 GB a
step.
"""

import math

import numpy as np

from benchmarks.ladders.rungs import READ, UPDATE, WRITE, Array, Arrays, Ladder, Rung
from minitransformer import ops
from minitransformer.backend import use_backend
from minitransformer.backends.numba.threads import compiled, seen_by_python

PARAMETERS = 8_000_000
STEP = 10
LR, BETA1, BETA2, EPS, DECAY = 1e-3, 0.9, 0.999, 1e-8, 0.01
SHRINK = 1 - LR * DECAY
RATE = LR / (1 - BETA1**STEP)
CORRECTION = math.sqrt(1 - BETA2**STEP)


def numpy_passes(p: Array, g: Array, m: Array, v: Array) -> Arrays:
    """Write the paper's lines in NumPy: each operation walks through arrays of 32 MB.

    Sixteen walks, 180 bytes for a parameter: m takes four of them (two products, their sum, and
    the copy into m), v five, p the rest. Most of the time goes into numbers that are forgotten
    at once. Expect memory busy, and a seventh of it useful.
    """
    p *= SHRINK
    m[:] = BETA1 * m + (1 - BETA1) * g
    v[:] = BETA2 * v + (1 - BETA2) * g * g
    p -= RATE * m / (np.sqrt(v) / CORRECTION + EPS)
    return p, m, v


def numpy_pieces(p: Array, g: Array, m: Array, v: Array) -> Arrays:
    """Keep the lines, but walk through pieces that fit in a cache: the library's textbook.

    All operations on a few thousand parameters, then on the next. The temporary arrays are small,
    stay in the second cache, and never reach memory. Expect about twice the speed of plain
    NumPy: blocking is not a matter of languages.
    """
    _library_step("numpy", p, g, m, v)
    return p, m, v


@seen_by_python
@compiled
def fused_loop(p: Array, g: Array, m: Array, v: Array) -> Arrays:
    """Load each number once, do everything in registers, store three.

    No temporary arrays at all. But ``0.9`` in Python, and so in Numba, has 64 bits, and the product
    of 32 and 64 bits has 64: every number is widened (``vcvtps2pd`` in the machine code), vectors
    hold half as many, and divisions take twice as long. Expect half of what one core can do.
    """
    for i in range(p.size):
        m[i] = BETA1 * m[i] + (1 - BETA1) * g[i]
        v[i] = BETA2 * v[i] + (1 - BETA2) * g[i] * g[i]
        p[i] = SHRINK * p[i] - RATE * m[i] / (np.sqrt(v[i]) / CORRECTION + EPS)
    return p, m, v


@seen_by_python
@compiled
def float32_loop(p: Array, g: Array, m: Array, v: Array) -> Arrays:
    """Round the constants to the arrays' type, once, before the loop.

    The same loop in 32 bits: twice the lanes, half the time for a root. Expect memory to be the
    limit of one core from here on.
    """
    number = p.dtype.type
    keep1, new1, keep2, new2 = number(BETA1), number(1 - BETA1), number(BETA2), number(1 - BETA2)
    shrink, rate, correction, eps = number(SHRINK), number(RATE), number(CORRECTION), number(EPS)
    for i in range(p.size):
        m[i] = keep1 * m[i] + new1 * g[i]
        v[i] = keep2 * v[i] + new2 * g[i] * g[i]
        p[i] = shrink * p[i] - rate * m[i] / (np.sqrt(v[i]) / correction + eps)
    return p, m, v


def library(p: Array, g: Array, m: Array, v: Array) -> Arrays:
    """Share the arrays out to all cores: the library's kernel.

    Only as much is gained as one core leaves of the memory's bandwidth.
    """
    _library_step("numba", p, g, m, v)
    return p, m, v


def _library_step(backend: str, p: Array, g: Array, m: Array, v: Array) -> None:
    with use_backend(backend):
        ops.adamw_step(p, g, m, v, STEP, LR, BETA1, BETA2, EPS, DECAY)


def ladder(parameters: int = PARAMETERS) -> Ladder:
    """Rungs for any number of parameters."""

    def inputs() -> Arrays:
        p, g, m, v = np.random.default_rng(0).standard_normal((4, parameters), np.float32)
        return p, g, m, np.abs(v)

    new, into = READ + WRITE, READ + UPDATE  # one operation that makes an array, or changes one
    for_m, for_v = 2 * new + 2 * into, 2 * new + 3 * into
    for_p = 2 * new + 2 * into + 3 * UPDATE
    passes, once, flops = for_m + for_v + for_p, READ + 3 * UPDATE, 14
    return Ladder(
        title=f"AdamW: {parameters:,} parameters",
        story=__doc__ or "",
        inputs=inputs,
        reference=numpy_pieces,
        rungs=[
            Rung("NumPy passes", numpy_passes, passes * parameters, flops * parameters),
            Rung("NumPy in pieces", numpy_pieces, once * parameters, flops * parameters),
            Rung("fused loop", fused_loop, once * parameters, flops * parameters),
            Rung("float32 constants", float32_loop, once * parameters, flops * parameters),
            Rung("threads: the library", library, once * parameters, flops * parameters),
        ],
    )
