"""Floating-point arithmetic.

Floats of ``.ftz`` instructions lose their subnormals. The approximations (``ex2``, ``lg2``,
``sin``, ``rsqrt`` and the like, a few units in the last place off in hardware) are computed as
well as float32 can. NaN stays NaN, with whatever payload.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minitransformer.emulator import conversions, rounding
from minitransformer.emulator.program import Array, Instruction

Function = Callable[..., Any]


def _float(function: Function) -> Callable[[Instruction, str], Function | None]:
    def build(instruction: Instruction, kind: str) -> Function | None:
        words = instruction.modifiers
        mode = next((word for word in words if word in ("rm", "rp", "rz")), None)
        chosen: Function = function
        if mode:
            if kind != "f32" or instruction.opcode not in _DIRECTED:
                return None
            chosen = partial(_DIRECTED[instruction.opcode], mode)
        if "sat" in words:
            chosen = _then(conversions.unit_interval, chosen)
        if "ftz" in words and kind == "f32":
            chosen = _flushing(chosen)
        return chosen

    return build


def _then(last: Function, first: Function) -> Function:
    return lambda *values: last(first(*values))


def _flushing(function: Function) -> Function:
    return lambda *values: rounding.flushed(function(*map(rounding.flushed, values)))


def _fma(instruction: Instruction, kind: str) -> Function | None:
    function = {"f16": rounding.fma16, "f32": rounding.fma32, "f64": rounding.fma64}[kind]
    return _float(function)(instruction, kind)


def _product_directed(mode: str, a: Array, b: Array) -> Array:
    return rounding.fma32_directed(a, b, np.float64(0), mode)


def _extreme(bigger: bool) -> Function:
    """The other value where one is NaN; and -0 is less than +0, which NumPy does not promise."""
    choose = np.fmax if bigger else np.fmin

    def extreme(a: Array, b: Array) -> Array:
        result: Array = choose(a, b)
        zero = result == 0
        if zero.any():
            sum_of_zeros = a + b if bigger else -(-a - b)
            result = np.where(zero & (a == b), sum_of_zeros, result)
        return result

    return extreme


def _extreme_of(bigger: bool) -> Callable[[Instruction, str], Function | None]:
    function = _extreme(bigger)

    def propagating(a: Array, b: Array) -> Array:
        return np.where(np.isnan(a) | np.isnan(b), a + b, function(a, b))

    return lambda i, kind: _float(propagating if "NaN" in i.modifiers else function)(i, kind)


_DIRECTED: dict[str, Function] = {
    "add": lambda mode, a, b: rounding.fma32_directed(a, np.float64(1), b, mode),
    "sub": lambda mode, a, b: rounding.fma32_directed(a, np.float64(1), -b, mode),
    "mul": _product_directed,
    "fma": lambda mode, a, b, c: rounding.fma32_directed(a, b, c, mode),
}

FLOAT: dict[str, Callable[[Instruction, str], Function | None]] = {
    "add": _float(np.add),
    "sub": _float(np.subtract),
    "mul": _float(np.multiply),
    "div": _float(np.divide),
    "fma": _fma,
    "mad": _fma,
    "min": _extreme_of(bigger=False),
    "max": _extreme_of(bigger=True),
    "abs": _float(np.abs),
    "neg": _float(np.negative),
    "sqrt": _float(np.sqrt),
    "rcp": _float(np.reciprocal),
    "rsqrt": _float(lambda a: (1 / np.sqrt(np.asarray(a, np.float64))).astype(a.dtype)),
    "ex2": _float(np.exp2),
    "lg2": _float(np.log2),
    "sin": _float(np.sin),
    "cos": _float(np.cos),
    "tanh": _float(np.tanh),
    "copysign": _float(lambda a, b: np.copysign(b, a)),
}
