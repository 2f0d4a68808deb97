"""Integer arithmetic.

Results wrap around, as in NumPy. A number divided by zero, which PTX leaves open, gives 0.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minitransformer.emulator.program import DTYPES, Array, Instruction

Function = Callable[..., Any]


def _divide(a: Array, b: Array) -> Array:
    """Towards zero, as in C."""
    return (a - np.fmod(a, b)) // b


def _double_width(a: Array, kind: str) -> Array:
    return np.asarray(a).astype(DTYPES[f"{kind[0]}{2 * int(kind[1:])}"])


def _product_wide(kind: str, a: Array, b: Array) -> Array:
    return _double_width(a, kind) * _double_width(b, kind)


def _product_high(kind: str, a: Array, b: Array) -> Array:
    """The upper half of the product."""
    if kind[1:] != "64":
        return np.asarray(_product_wide(kind, a, b) >> int(kind[1:]), DTYPES[kind])
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x, y = (np.asarray(v).astype(np.uint64) for v in (a, b))
    low = (x & mask) * (y & mask)
    first = (x >> half) * (y & mask) + (low >> half)
    second = (x & mask) * (y >> half) + (first & mask)
    high = (x >> half) * (y >> half) + (first >> half) + (second >> half)
    if kind == "s64":
        high -= np.where(np.asarray(a) < 0, y, 0) + np.where(np.asarray(b) < 0, x, 0)
    return np.asarray(high, DTYPES[kind])


def _product(instruction: Instruction, kind: str) -> Function:
    words = instruction.modifiers
    if "wide" in words:
        return partial(_product_wide, kind)
    return partial(_product_high, kind) if "hi" in words else np.multiply


def _multiply_add(instruction: Instruction, kind: str) -> Function:
    product = _product(instruction, kind)
    return lambda a, b, c: product(a, b) + c


def _saturating(function: Function, instruction: Instruction, kind: str) -> Function:
    if "sat" not in instruction.modifiers:
        return function
    limits = np.iinfo(np.int32)
    return lambda a, b: np.clip(
        function(_double_width(a, kind), _double_width(b, kind)), limits.min, limits.max
    ).astype(np.int32)


def _shift(function: Function, kind: str) -> Function:
    """Shifts by the width or more give 0, or the sign: NumPy and PTX agree."""
    return lambda a, b: function(a, np.minimum(b, 64).astype(DTYPES[kind]))


INTEGER: dict[str, Callable[[Instruction, str], Function]] = {
    "add": lambda i, kind: _saturating(np.add, i, kind),
    "sub": lambda i, kind: _saturating(np.subtract, i, kind),
    "mul": _product,
    "mad": _multiply_add,
    "div": lambda i, kind: _divide if kind[0] == "s" else np.floor_divide,
    "rem": lambda i, kind: np.fmod,
    "min": lambda i, kind: np.minimum,
    "max": lambda i, kind: np.maximum,
    "abs": lambda i, kind: np.abs,
    "neg": lambda i, kind: np.negative,
    "sad": lambda i, kind: lambda a, b, c: c + np.where(a < b, b - a, a - b),
}


def with_carry(instruction: Instruction) -> Function:
    """One part of a sum of numbers longer than a register.

    The last source of ``addc`` is the carry of the part before; ``.cc`` also returns a carry.
    """
    kind = f"u{instruction.modifiers[-1][1:]}"
    dtype, opcode = DTYPES[kind], instruction.opcode
    carry_in, carry_out = opcode in CARRYING, "cc" in instruction.modifiers
    product = _product(instruction, kind)

    def compute(*values: Array) -> Any:
        a, b = values[:2]
        carry = np.asarray(values[-1]).astype(dtype) if carry_in else dtype(0)
        if opcode.startswith("mad"):
            a, b = product(a, b), values[2]
        if opcode.startswith("sub"):
            result = a - b - carry
            flag = (a < b) | ((a == b) & (carry != 0))
        else:
            part = a + b
            result = part + carry
            flag = (part < a) | (result < part)
        return (result, np.asarray(flag, np.bool_)) if carry_out else result

    return compute


CARRYING = {"addc", "subc", "madc"}
