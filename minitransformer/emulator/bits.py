"""Instructions that move and count bits, and those that choose between values."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minitransformer.emulator.program import DTYPES, Array, Instruction

Rule = tuple[Callable[..., Any], Sequence[str], Sequence[str]]


def rule(instruction: Instruction, outputs: int, sources: int) -> Rule | None:
    """Function, types of the destinations and of the sources; None for other instructions."""
    opcode, words = instruction.opcode, instruction.modifiers
    if opcode not in _RULES or not words:
        return None
    return _RULES[opcode](instruction, words[-1], outputs, sources)


def _same(function: Callable[..., Any]) -> Callable[[Instruction, str, int, int], Rule]:
    return lambda i, kind, outputs, sources: (function, [kind], [kind] * sources)


def _to_u32(
    function: Callable[[Array, int], Array],
) -> Callable[[Instruction, str, int, int], Rule]:
    def build(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
        width = int(kind[1:])
        unsigned = f"u{width}"
        return lambda a: function(np.asarray(a), width).astype(np.uint32), ["u32"], [unsigned]

    return build


def _move(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
    """Also ``{low, high} = wide`` and back."""
    if outputs > 1:
        part = f"b{int(kind[1:]) // outputs}"
        return partial(_unpack, outputs, DTYPES[part]), [part] * outputs, [kind]
    if sources > 1:
        part = f"b{int(kind[1:]) // sources}"
        return partial(_pack, DTYPES[f"b{kind[1:]}"]), [f"b{kind[1:]}"], [part] * sources
    return (np.asarray if kind == "pred" else np.positive), [kind], [kind]


def _unpack(count: int, dtype: type[np.generic], wide: Array) -> tuple[Array, ...]:
    wide = np.asarray(wide)
    bits = wide.view(f"u{wide.dtype.itemsize}")
    step = 8 * wide.dtype.itemsize // count
    return tuple((bits >> bits.dtype.type(step * i)).astype(dtype) for i in range(count))


def _pack(dtype: Any, *parts: Array) -> Array:
    step = np.dtype(dtype).itemsize * 8 // len(parts)
    wide = [np.asarray(part).astype(dtype) << dtype(step * i) for i, part in enumerate(parts)]
    joined: Array = np.bitwise_or.reduce(np.stack(np.broadcast_arrays(*wide)))
    return joined


def _shift(function: Callable[..., Any]) -> Callable[[Instruction, str, int, int], Rule]:
    def build(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
        dtype, width = DTYPES[kind], int(kind[1:])

        def shift(a: Array, amount: Array) -> Array:
            return function(a, np.minimum(amount, width).astype(dtype))  # type: ignore[no-any-return]

        return shift, [kind], [kind, "u32"]

    return build


def _logical(function: Callable[..., Any], of_bools: Callable[..., Any]) -> Any:
    def build(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
        return (of_bools if kind == "pred" else function), [kind], [kind] * sources

    return build


def _reverse(a: Array, width: int) -> Array:
    """Last bit first, in its own width."""
    result = np.zeros_like(a)
    one = a.dtype.type(1)
    for i in range(width):
        result |= (a >> a.dtype.type(i) & one) << a.dtype.type(width - 1 - i)
    return result


def leading_zeros(a: Array, width: int) -> Array:
    """Zeros before the first one."""
    count = np.full(np.shape(a), width, np.uint32)
    for i in range(width):
        count[np.asarray(a) >> np.asarray(a).dtype.type(i) != 0] = width - 1 - i
    return count


def _find(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
    """Place of the first bit that is not the sign; all ones if there is none."""
    width, shift_amount = int(kind[1:]), "shiftamt" in i.modifiers

    def find(a: Array) -> Array:
        a = np.asarray(a)
        if kind[0] == "s":
            a = np.where(a < 0, ~a, a)
        zeros = leading_zeros(a.view(f"u{width // 8}"), width)
        place = zeros if shift_amount else (width - 1 - zeros).astype(np.uint32)
        return np.where(zeros == width, np.uint32(0xFFFFFFFF), place).astype(np.uint32)

    return find, ["u32"], [kind]


def _extract(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
    """``bfe``: ``length`` bits from ``position`` on, with the field's sign if it has one."""
    width = int(kind[1:])

    def extract(a: Array, position: Array, length: Array) -> Array:
        start, size = (np.asarray(v & 0xFF).astype(np.int64) for v in (position, length))
        bits = np.asarray(a).view(f"u{width // 8}").astype(np.uint64)
        size_ = np.minimum(size, 64).astype(np.uint64)
        mask = np.where(size_ == 64, ~np.uint64(0), (np.uint64(1) << size_) - np.uint64(1))
        field = (bits >> np.minimum(start, 64).astype(np.uint64)) & mask
        if kind[0] == "s":
            last = np.minimum(start + size - 1, width - 1)
            sign = (bits >> np.maximum(last, 0).astype(np.uint64)) & np.uint64(1)
            negative = (sign != 0) & (size > 0)
            known = np.minimum(size, np.maximum(width - start, 0)).astype(np.uint64)
            ones = np.where(known == 64, np.uint64(0), ~np.uint64(0) << known)
            field = np.where(negative, field | ones, field)
        return field.astype(f"u{width // 8}").view(DTYPES[kind])

    return extract, [kind], [kind, "u32", "u32"]


def _insert(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
    """``bfi``: the low ``length`` bits of a, put into b from ``position`` on."""
    width = int(kind[1:])

    def insert(a: Array, b: Array, position: Array, length: Array) -> Array:
        start, size = (np.minimum(v & 0xFF, 64).astype(np.uint64) for v in (position, length))
        one = np.uint64(1)
        mask = np.where(size == 64, ~np.uint64(0), (one << size) - one) << start
        wide_a, wide_b = (np.asarray(v).astype(np.uint64) for v in (a, b))
        inserted = (wide_a << start & mask) | (wide_b & ~mask)
        return np.asarray(inserted, f"u{width // 8}")

    return insert, [f"b{width}"], [f"b{width}", f"b{width}", "u32", "u32"]


def _permute(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
    """``prmt``: each byte of the result is one of the eight bytes of a and b, or its sign."""

    def permute(a: Array, b: Array, choice: Array) -> Array:
        wide = np.asarray(a).astype(np.uint64) | np.asarray(b).astype(np.uint64) << np.uint64(32)
        result = np.zeros_like(wide)
        for byte in range(4):
            nibble = np.asarray(choice).astype(np.uint64) >> np.uint64(4 * byte) & np.uint64(15)
            chosen = wide >> (nibble & np.uint64(7)) * np.uint64(8) & np.uint64(255)
            sign = np.where(chosen & np.uint64(128), np.uint64(255), np.uint64(0))
            chosen = np.where(nibble & np.uint64(8), sign, chosen)
            result = result | chosen << np.uint64(8 * byte)
        return result.astype(np.uint32)

    return permute, ["b32"], ["b32", "b32", "b32"]


def _funnel(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
    """``shf``: 32 bits out of the 64 of ``{high, low}``, shifted."""
    left, wrap = "l" in i.modifiers, "wrap" in i.modifiers

    def funnel(low: Array, high: Array, amount: Array) -> Array:
        wide = np.asarray(high).astype(np.uint64) << np.uint64(32) | np.asarray(low)
        steps = (amount & 31 if wrap else np.minimum(amount, 32)).astype(np.uint64)
        shifted = wide << steps >> np.uint64(32) if left else wide >> steps
        return np.asarray(shifted, np.uint32)

    return funnel, ["b32"], ["b32", "b32", "u32"]


def _lookup(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
    """``lop3``: any function of three bits, given as its table of eight."""

    def lookup(a: Array, b: Array, c: Array, table: Array) -> Array:
        result = np.zeros_like(a & b & c)
        for row in range(8):
            parts = [v if row >> k & 1 else ~v for v, k in ((a, 2), (b, 1), (c, 0))]
            term = parts[0] & parts[1] & parts[2]
            result = result | np.where(table >> row & 1, term, np.uint32(0))
        return result

    return lookup, ["b32"], ["b32", "b32", "b32", "u32"]


def _select(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
    return lambda a, b, choice: np.where(choice, a, b), [kind], [kind, kind, "pred"]


def _select_by_sign(i: Instruction, kind: str, outputs: int, sources: int) -> Rule:
    kind = i.modifiers[-2]
    return lambda a, b, c: np.where(c >= 0, a, b), [kind], [kind, kind, i.modifiers[-1]]


_RULES: dict[str, Callable[[Instruction, str, int, int], Rule]] = {
    "mov": _move,
    "cvta": _same(np.positive),
    "and": _logical(np.bitwise_and, np.logical_and),
    "or": _logical(np.bitwise_or, np.logical_or),
    "xor": _logical(np.bitwise_xor, np.logical_xor),
    "not": _logical(np.invert, np.logical_not),
    "cnot": lambda i, kind, o, s: (lambda a: (a == 0).astype(DTYPES[kind]), [kind], [kind]),
    "shl": _shift(np.left_shift),
    "shr": _shift(np.right_shift),
    "popc": _to_u32(lambda a, width: np.bitwise_count(a)),
    "clz": _to_u32(leading_zeros),
    "brev": lambda i, k, o, s: (lambda a: _reverse(np.asarray(a), int(k[1:])), [k], [k]),
    "bfind": _find,
    "bfe": _extract,
    "bfi": _insert,
    "prmt": _permute,
    "shf": _funnel,
    "lop3": _lookup,
    "selp": _select,
    "slct": _select_by_sign,
}
