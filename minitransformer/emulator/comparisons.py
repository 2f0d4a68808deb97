"""``setp`` and ``set``: comparisons, and what to do with their result."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minitransformer.emulator.bits import Rule
from minitransformer.emulator.program import DTYPES, Array, Instruction, UnsupportedError

_COMPARE: dict[str, Callable[..., Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
    # With a u at the end, also true where a value is NaN.
    "equ": lambda a, b: ~((a < b) | (a > b)),
    "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
    "num": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
    "nan": lambda a, b: np.isnan(a) | np.isnan(b),
}
_COMBINE: dict[str, Callable[..., Any]] = {
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
}


def rule(instruction: Instruction, outputs: int, sources: int) -> Rule | None:
    """Function, types of the destinations and of the sources; None for other instructions."""
    if instruction.opcode not in ("setp", "set"):
        return None
    words, kind = instruction.modifiers, instruction.modifiers[-1]
    compare = _COMPARE.get(words[0])
    if compare is None:
        raise UnsupportedError(f"{instruction} compares in a way that is not known")
    if words[0] == "ne" and kind[0] == "f":  # NumPy's is true for NaN, PTX's is not
        compare = _ordered_unequal
    combine = next((_COMBINE[word] for word in words if word in _COMBINE), None)
    types = [kind, kind, "pred"][:sources]
    if instruction.opcode == "set":
        return _as_number(compare, words[-2]), [words[-2]], types
    if combine is None and outputs == 1:
        return compare, ["pred"], types

    def both(a: Array, b: Array, other: Array | bool = True) -> Any:
        truth = compare(a, b)
        join = combine or np.logical_and
        results = join(truth, other), join(~truth, other)
        return results if outputs == 2 else results[0]

    return both, ["pred"] * outputs, types


def _ordered_unequal(a: Array, b: Array) -> Array:
    return (a < b) | (a > b)


def _as_number(compare: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """All bits set if true, or 1.0."""
    dtype = DTYPES[kind]
    true = 1.0 if kind[0] == "f" else -1
    return lambda a, b: np.where(compare(a, b), true, 0).astype(dtype)
