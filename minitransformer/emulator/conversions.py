"""``cvt``: from one type to another, with rounding and saturation as the instruction says."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minitransformer.emulator.bits import Rule
from minitransformer.emulator.program import DTYPES, Array, Instruction, UnsupportedError
from minitransformer.emulator.rounding import directed, flushed

_TO_WHOLE: dict[str, Callable[..., Any]] = {
    "rni": np.rint,
    "rzi": np.trunc,
    "rmi": np.floor,
    "rpi": np.ceil,
}


def rule(instruction: Instruction, outputs: int, sources: int) -> Rule | None:
    """Function, types of the destinations and of the sources; None for other instructions."""
    if instruction.opcode != "cvt":
        return None
    *words, target, source = instruction.modifiers
    if target not in DTYPES or source not in DTYPES or sources != 1:
        raise UnsupportedError(f"{instruction} converts between types outside the subset")
    function = _converter(words, target, source)
    if "bf16" in (target, source):
        function = _with_bfloat16(words, target, source)
    if "ftz" in words:
        function = partial(_flushed, function)
    return function, [target], [source]


def _converter(words: list[str], target: str, source: str) -> Callable[[Array], Array]:
    whole = next((_TO_WHOLE[word] for word in words if word in _TO_WHOLE), None)
    dtype = DTYPES[target]
    if target[0] != "f":
        if source[0] == "f":
            return partial(_to_integer, whole or np.trunc, dtype)
        return partial(_to_integer, np.positive, dtype) if "sat" in words else _cast(dtype)
    convert = _cast(dtype)
    if whole:
        convert = whole
    elif target == "f32" and source == "f64":
        mode = next((word for word in words if word in ("rz", "rm", "rp")), None)
        convert = partial(_narrow, mode) if mode else convert
    return (lambda a: unit_interval(convert(a))) if "sat" in words else convert


def _with_bfloat16(words: list[str], target: str, source: str) -> Callable[[Array], Array]:
    """A bfloat16 is the upper half of a float32."""
    known = {("rn", "bf16", "f32"): _rounded, ("f32", "bf16"): _widened}
    if (*words, target, source) not in known:
        raise UnsupportedError(f"to {target} from {source} there is no such conversion")
    return known[*words, target, source]


def _rounded(a: Array) -> Array:
    """To nearest, and of two to the even one; NaN becomes the one that hardware gives."""
    bits = np.asarray(a).view(np.uint32)
    carried = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return np.where(np.isnan(a), np.uint32(0x7FFF), carried >> np.uint32(16)).astype(np.uint16)


def _widened(bits: Array) -> Array:
    return (np.asarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _cast(dtype: Any) -> Callable[[Array], Array]:
    return lambda a: np.asarray(a).astype(dtype)


def _narrow(mode: str, a: Array) -> Array:
    return directed(np.asarray(a), np.float64(0), np.float32, mode)


def _to_integer(whole: Callable[..., Any], dtype: Any, a: Array) -> Array:
    """Too large and too small become the largest and smallest, NaN becomes 0."""
    a = np.asarray(whole(a))
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    if a.dtype.kind != "f":
        own = np.iinfo(a.dtype)
        return np.asarray(np.clip(a, max(least, own.min), min(most, own.max)), dtype)
    over = a >= 2.0 ** (np.iinfo(dtype).bits - (least < 0))
    under = a < least
    inside: Array = np.where(over | under | np.isnan(a), 0, a).astype(dtype)
    clamped: Array = np.where(over, dtype(most), np.where(under, dtype(least), inside))
    return clamped


def unit_interval(a: Array) -> Array:
    """Clamped to [0, 1]; NaN becomes 0."""
    clamped: Array = np.where(a > 0, np.minimum(a, a.dtype.type(1)), a.dtype.type(0))
    return clamped


def _flushed(function: Callable[[Array], Array], a: Array) -> Array:
    a = flushed(a) if a.dtype == np.float32 else a
    result = function(a)
    return flushed(result) if result.dtype == np.float32 else result
