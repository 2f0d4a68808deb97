"""exp, tanh and erf as plain arithmetic, so that they run in vector lanes.

A library's exp is a call that the compiler cannot look into: a loop around it handles one number at
a time. These are polynomials, compiled into the loop that calls them, eight numbers at a time.
In float32 each is within 2 units in the last place of the true value, infinities and NaN included.
In float64, which serves proofs rather than speed, tanh and erf are the C library's.

References
----------
Muller (2016), Elementary Functions, chapters 3 (polynomials) and 11 (range reduction).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from minitransformer.backends.numba.threads import compiled


class _Reduction(NamedTuple):
    """Constants that write x as ``n ln 2 + r``, n whole and ``|r| <= ln 2 / 2``."""

    low: Any  # exp of this is 0
    high: Any  # exp of this is infinite
    log2_e: Any
    rounder: Any  # adding it leaves n in the last bits, as there is no room for a fraction
    ln2_high: Any  # few bits: its product with n is exact
    ln2_low: Any
    half: Any


LOW = -80.0
"""Weights of softmax are 0 below this score: they would be numbers so close to 0 that the CPU falls
out of step, and next to the top's weight of 1 they are nothing."""
_LOW_32 = np.float32(LOW)
_LN2 = (0.693359375, -2.1219444005469057e-4)
_LN2_64 = (0.6931471805598903, 5.497923018708371e-14)
_EXP_64 = _Reduction(-746.0, 710.0, math.log2(math.e), 1.5 * 2.0**52, *_LN2_64, 0.5)
_EXP_32 = _Reduction(*map(np.float32, (-104.0, 89.0, math.log2(math.e), 1.5 * 2.0**23, *_LN2, 0.5)))
_TAYLOR_64 = tuple(1.0 / math.factorial(n) for n in range(13, -1, -1))
_TAYLOR_32 = tuple(np.float32(c) for c in _TAYLOR_64[6:])

# erf(x) / x - 1 by powers of x^2 up to x = 1, Taylor again; beyond it log(1 - erf(x)) by powers of
# x up to x = 4, fitted so that the largest error of 1 - exp(...) is as small as can be.
_ERF_NEAR = tuple(
    np.float32(2.0 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1)) - (n == 0))
    for n in range(10, -1, -1)
)
_ERF_FAR = tuple(
    np.float32(c * 1e-4)
    for c in (1.8557615, -29.396285, 218.05404, -1030.3755, -6382.2546, -11270.402, -3.5368676)
)
_ONE, _TWO, _FOUR = np.float32(1.0), np.float32(2.0), np.float32(4.0)


def exp(x: Any) -> Any:
    """Raise e to the power of x, for kernels."""
    raise NotImplementedError


def exp_down(x: Any) -> Any:
    """Raise e to the power of x, for kernels that know that x <= 0; 0 below ``LOW``."""
    raise NotImplementedError


def tanh(x: Any) -> Any:
    """Hyperbolic tangent, for kernels."""
    raise NotImplementedError


def erf(x: Any) -> Any:
    """Error function, for kernels."""
    raise NotImplementedError


@compiled
def _polynomial(coefficients: tuple[Any, ...], x: Any) -> Any:
    """Highest power first: one multiply-add for each coefficient."""
    y = coefficients[0]
    for c in coefficients[1:]:
        y = y * x + c
    return y


@compiled
def _power_of_two_32(bits: Any) -> Any:
    return np.int32((np.float32(bits).view(np.int32) + np.int32(127)) << np.int32(23)).view(
        np.float32
    )


@compiled
def _power_of_two_64(bits: Any) -> Any:
    return np.int64((np.float64(bits).view(np.int64) + 1023) << 52).view(np.float64)


@compiled
def _exp(x: Any, to: _Reduction, taylor: tuple[Any, ...], power_of_two: Any) -> Any:
    """``exp(n ln 2 + r) = 2^n exp(r)``; half of n at a time, as 2^n alone may overflow."""
    x = to.low if x < to.low else x
    x = to.high if x > to.high else x
    n = (x * to.log2_e + to.rounder) - to.rounder
    r = x - n * to.ln2_high - n * to.ln2_low
    first = (n * to.half + to.rounder) - to.rounder
    y = _polynomial(taylor, r)
    return y * power_of_two(first + to.rounder) * power_of_two(n - first + to.rounder)


@compiled
def _exp_down(x: Any, low: Any, to: _Reduction, taylor: tuple[Any, ...], power_of_two: Any) -> Any:
    """Nothing overflows, and 2^n is no number too close to 0: neither is looked out for."""
    inside = low if x < low else x
    n = (inside * to.log2_e + to.rounder) - to.rounder
    r = inside - n * to.ln2_high - n * to.ln2_low
    y = _polynomial(taylor, r) * power_of_two(n + to.rounder)
    return low - low if x < low else y


@overload(exp_down, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _exp_down_of(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: _exp_down(x, _LOW_32, _EXP_32, _TAYLOR_32, _power_of_two_32)
    return lambda x: _exp_down(x, LOW, _EXP_64, _TAYLOR_64, _power_of_two_64)


@overload(exp, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _exp_of(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: _exp(x, _EXP_32, _TAYLOR_32, _power_of_two_32)
    return lambda x: _exp(x, _EXP_64, _TAYLOR_64, _power_of_two_64)


@compiled
def _tanh_32(x: Any) -> Any:
    """Near 0 by Lambert's continued fraction ``x / (1 + x^2 / (3 + x^2 / (5 + x^2 / 7...)))``."""
    a = abs(x)
    s = a * a
    if a < np.float32(0.6):
        y, above = a, a * s * (np.float32(14.0) * s + np.float32(315.0))
        below = (np.float32(15.0) * s + np.float32(420.0)) * s + np.float32(945.0)
    else:
        y, above, below = _ONE, _TWO, exp(a + a) + _ONE
    return math.copysign(y - above / below, x)


@overload(tanh, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _tanh_of(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: _tanh_32(x)
    return lambda x: math.tanh(x)


@compiled
def _erf_32(x: Any) -> Any:
    a = abs(x)
    near = a + a * _polynomial(_ERF_NEAR, a * a)
    far = _ONE - exp(_polynomial(_ERF_FAR, _FOUR if a > _FOUR else a))
    return math.copysign(near if a < _ONE else far, x)


@overload(erf, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _erf_of(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: _erf_32(x)
    return lambda x: math.erf(x)
