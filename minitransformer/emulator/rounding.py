"""Arithmetic that rounds once, in the direction that the instruction names.

NumPy rounds to nearest after every operation. A fused multiply-add rounds only its sum, and some
instructions round down, up or towards zero. Both follow from an exact sum: the rounded sum and
its error, neither of them lost.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from minitransformer.emulator.program import Array

Value = Array | np.floating[Any]

_BELOW = np.uint64(0x1FFFFFFF)  # the bits of a float64 that a float32 lacks
_HALF = np.uint64(0x10000000)
_NORMAL = np.finfo(np.float32).smallest_normal
_ONE = np.uint64(1)


def exact_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum of two float64, and what rounding took from it.

    References
    ----------
    Knuth, "The Art of Computer Programming" 2, section 4.2.2, theorem B.
    """
    total = a + b
    part = total - a
    error = (a - (total - part)) + (b - part)
    return total, np.where(np.isfinite(error), error, 0.0)


def fma32(a: Array, b: Array, c: Array) -> Array:
    """``a * b + c`` in float32, rounded once, to nearest.

    The product of two float32 is exact in float64. The sum is rounded to 53 bits and then to 24:
    that is wrong only if the first rounding ends in the middle between two float32, which is rare
    and looked for.
    """
    product = _double(a) * b
    total = np.asarray(product + c)
    rounded: Array = total.astype(np.float32)
    doubtful = (total.view(np.uint64) & _BELOW) == _HALF
    doubtful |= np.abs(rounded) < _NORMAL  # there a float32 has fewer bits
    if doubtful.any():
        doubtful &= total != 0
        places = np.nonzero(doubtful)
        products, terms = np.broadcast_arrays(product, _double(c))
        rounded[places] = _odd(products[places], terms[places])
    return rounded


def fma16(a: Array, b: Array, c: Array) -> Array:
    """``a * b + c`` in float16, rounded once, to nearest."""
    return _odd(_double(a) * b, _double(c)).astype(np.float16)


def _odd(a: Array, b: Array) -> Array:
    """The sum of two float64, so rounded that rounding it again does no harm.

    A sum that is not exact gets an odd last bit: it is then in no middle of a shorter format.

    References
    ----------
    Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using
    rounding to odd" (2008).
    """
    total, error = exact_sum(a, b)
    even = (total.view(np.uint64) & _ONE) == 0
    neighbour = np.nextafter(total, np.copysign(np.inf, error))
    return np.where((error != 0) & even, neighbour, total)


def fma64(a: Array, b: Array, c: Array) -> Array:
    """``a * b + c`` in float64, rounded once, to nearest.

    References
    ----------
    Boldo and Melquiond (2008), as above.
    """
    a, b, c = np.broadcast_arrays(a, b, c)
    product, low = _exact_product(a, b)
    middle, middle_error = exact_sum(c, low)
    high, high_error = exact_sum(product, middle)
    result = high + _odd(middle_error, high_error)
    result = np.where(result == 0, product + c, result)  # the sign of zero
    size = np.abs(product)
    usual = (size < 1e300) & ((size > 1e-270) | (a == 0) | (b == 0))
    usual &= (np.abs(a) < 1e290) & (np.abs(b) < 1e290) & (np.abs(c) < 1e300)
    finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
    result = np.where(finite, result, a * b + c)
    for i in np.flatnonzero(~usual & finite):
        result.flat[i] = _exact_fma(float(a.flat[i]), float(b.flat[i]), float(c.flat[i]))
    return result


def _exact_fma(a: float, b: float, c: float) -> float:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c
    try:
        return float(exact)
    except OverflowError:
        return float(np.copysign(np.inf, float(exact.numerator > 0) - 0.5))


def _exact_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Product and its rounding error (Dekker, 1971)."""
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    error = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return product, np.where(np.isfinite(error), error, 0.0)


def _split(a: Array) -> tuple[Array, Array]:
    scaled = a * 134217729.0  # 2^27 + 1
    high = scaled - (scaled - a)
    return high, a - high


def directed(total: Value, error: Value, dtype: type[np.floating], mode: str) -> Array:
    """A float64 sum and its error as one shorter float, rounded as ``rm``, ``rp`` or ``rz`` say."""
    nearest = total.astype(dtype)
    above = (nearest > total) | ((nearest == total) & (error < 0))
    below = (nearest < total) | ((nearest == total) & (error > 0))
    negative = (total < 0) | ((total == 0) & (error < 0))
    down = above & {"rm": True, "rp": False, "rz": ~negative}[mode]
    up = below & {"rm": False, "rp": True, "rz": negative}[mode]
    lower = np.nextafter(nearest, dtype(-np.inf))
    upper = np.nextafter(nearest, dtype(np.inf))
    result = np.where(down, lower, np.where(up, upper, nearest))
    return np.where(np.isfinite(total), result, nearest)


def fma32_directed(a: Value, b: Value, c: Value, mode: str) -> Array:
    """``a * b + c`` in float32, rounded down, up or towards zero."""
    return directed(*exact_sum(_double(a) * b, _double(c)), np.float32, mode)


def _double(a: Value) -> Array:
    return np.asarray(a, np.float64)


def flushed(values: Array) -> Array:
    """Subnormal float32 become zero of the same sign."""
    return np.where(np.abs(values) < _NORMAL, np.copysign(np.float32(0), values), values)
