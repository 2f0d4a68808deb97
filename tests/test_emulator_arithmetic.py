"""Every arithmetic instruction against exact arithmetic: Python's integers and fractions."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer.emulator.program import DTYPES
from tests.emulator_programs import compute

pytestmark = pytest.mark.cuda

LANES = 64
few = settings(max_examples=3)
seeds = st.integers(0, 2**32 - 1)

FORMATS = {"f16": (11, -14), "bf16": (8, -126), "f32": (24, -126), "f64": (53, -1022)}
ROUND: dict[str, Callable[[Fraction], int]] = {
    "rn": round,  # halves to even
    "rm": math.floor,
    "rp": math.ceil,
    "rz": math.trunc,
}


# ---- values ------------------------------------------------------------------------------


def integers(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Small ones, extreme ones, and any."""
    limits = np.iinfo(DTYPES[kind])
    any_bits = rng.integers(limits.min, limits.max, LANES, DTYPES[kind], endpoint=True)
    edges = rng.choice(np.array([limits.min, limits.max, 0, 1, 2, 31, 32, 64], object), LANES)
    return np.where(rng.random(LANES) < 0.5, any_bits, edges.astype(DTYPES[kind]))


def floats(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Any bits; few bits, so that sums end in the middle between two numbers; special ones."""
    dtype = DTYPES[kind]
    width = np.dtype(dtype).itemsize
    any_bits = rng.integers(0, 256, (LANES, width), np.uint8).view(dtype)[:, 0]
    digits, least = FORMATS[kind]
    short = rng.integers(-8, 9, LANES) * 2.0 ** rng.integers(-digits, 3, LANES)
    tiny = rng.integers(-8, 9, LANES) * math.ldexp(1, least - digits + 1)
    special = rng.choice([0.0, -0.0, 1.0, math.inf, -math.inf, math.nan], LANES)
    every = np.stack([any_bits, *(x.astype(dtype) for x in (short, tiny, special))])
    return every[rng.choice(4, LANES, p=[0.4, 0.4, 0.1, 0.1]), np.arange(LANES)]


def values(kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "pred":
        return rng.random(LANES) < 0.5
    return (floats if kind[0] == "f" else integers)(kind, rng)


# ---- references --------------------------------------------------------------------------


def wrapped(kind: str, number: int) -> int:
    """The integer whose bits are the last ones of ``number``."""
    bits = int(kind[1:])
    number &= (1 << bits) - 1
    return number - (1 << bits) if kind[0] == "s" and number >> (bits - 1) else number


def rounded(kind: str, exact: Fraction, mode: str = "rn") -> float:
    """The float of a format that is next to a number."""
    digits, least = FORMATS[kind]
    if exact == 0:
        return 0.0
    exponent = math.floor(math.log2(abs(exact.numerator)) - math.log2(exact.denominator))
    while abs(exact) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(exact) < Fraction(2) ** exponent:
        exponent -= 1
    quantum = Fraction(2) ** (max(exponent, least) - digits + 1)
    result = ROUND[mode](exact / quantum) * quantum
    largest = (2 - Fraction(2) ** (1 - digits)) * Fraction(2) ** (1 - least)
    if abs(result) > largest:
        away = mode == "rn" or ((mode == "rp") == (result > 0) and mode != "rz")
        return (math.inf if away else float(largest)) * (1 if result > 0 else -1)
    return math.copysign(float(result), exact)


def float_result(kind: str, exact: Callable[..., Fraction], plain: Callable[..., float]) -> Any:
    """Exact where all is finite; where something is not, or is zero, IEEE says it all."""

    def reference(*sources: float, mode: str = "rn") -> float:
        if all(map(math.isfinite, sources)):
            number = exact(*map(Fraction, sources))
            if number != 0:
                return rounded(kind, number, mode)
        return plain(*sources)

    return reference


def check(
    text: str,
    sources: list[str],
    targets: list[str],
    reference: Callable[..., Any],
    seed: int,
    usable: Callable[..., bool] = lambda *values: True,
) -> None:
    """Execute an instruction on every lane's values, and compare with the reference."""
    rng = np.random.default_rng(seed)
    given = [values(kind, rng) for kind in sources]
    results = compute(text, list(zip(sources, given, strict=True)), targets)
    for lane in range(LANES):
        inputs = [array[lane].item() for array in given]
        if not usable(*inputs):
            continue
        expected = reference(*inputs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for kind, result, wanted in zip(targets, results, expected, strict=True):
            got = result[lane].item()
            wanted = wrapped(kind, wanted) if kind[0] in "sub" else wanted
            if kind == "pred":
                wanted = bool(wanted)
            same = got == wanted and math.copysign(1, got) == math.copysign(1, wanted)
            both_nan = got != got and wanted != wanted
            assert same or both_nan, f"{text} of {inputs} gave {got!r}, expected {wanted!r}"


def truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


# ---- integers ----------------------------------------------------------------------------

INTEGER_KINDS = ("s16", "u16", "s32", "u32", "s64", "u64")
TWO_SOURCES: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul.lo": lambda a, b: a * b,
    "min": min,
    "max": max,
}


@pytest.mark.parametrize("kind", INTEGER_KINDS)
@pytest.mark.parametrize("opcode", TWO_SOURCES)
@given(seed=seeds)
@few
def test_integers_wrap_around(opcode: str, kind: str, seed: int) -> None:
    check(f"{opcode}.{kind} %d0, %a0, %a1;", [kind] * 2, [kind], TWO_SOURCES[opcode], seed)


@pytest.mark.parametrize("kind", INTEGER_KINDS)
@given(seed=seeds)
@few
def test_quotients_go_towards_zero(kind: str, seed: int) -> None:
    def usable(a: int, b: int) -> bool:
        return b != 0 and not (kind[0] == "s" and b == -1)

    check(f"div.{kind} %d0, %a0, %a1;", [kind] * 2, [kind], truncated, seed, usable)
    check(
        f"rem.{kind} %d0, %a0, %a1;",
        [kind] * 2,
        [kind],
        lambda a, b: a - b * truncated(a, b),
        seed,
        usable,
    )


@pytest.mark.parametrize("kind", INTEGER_KINDS)
@given(seed=seeds)
@few
def test_both_halves_of_products(kind: str, seed: int) -> None:
    bits = int(kind[1:])
    check(f"mul.hi.{kind} %d0, %a0, %a1;", [kind] * 2, [kind], lambda a, b: a * b >> bits, seed)
    check(f"mad.lo.{kind} %d0, %a0, %a1, %a2;", [kind] * 3, [kind], lambda a, b, c: a * b + c, seed)
    check(
        f"mad.hi.{kind} %d0, %a0, %a1, %a2;",
        [kind] * 3,
        [kind],
        lambda a, b, c: (a * b >> bits) + c,
        seed,
    )
    if bits < 64:
        wide = f"{kind[0]}{2 * bits}"
        check(f"mul.wide.{kind} %d0, %a0, %a1;", [kind] * 2, [wide], lambda a, b: a * b, seed)
        check(
            f"mad.wide.{kind} %d0, %a0, %a1, %a2;",
            [kind, kind, wide],
            [wide],
            lambda a, b, c: a * b + c,
            seed,
        )


@pytest.mark.parametrize("kind", ["s16", "s32", "s64"])
@given(seed=seeds)
@few
def test_signs(kind: str, seed: int) -> None:
    check(f"neg.{kind} %d0, %a0;", [kind], [kind], lambda a: -a, seed)
    check(f"abs.{kind} %d0, %a0;", [kind], [kind], abs, seed)
    check(
        f"sad.{kind} %d0, %a0, %a1, %a2;", [kind] * 3, [kind], lambda a, b, c: c + abs(a - b), seed
    )


@given(seed=seeds)
@few
def test_saturating_sums(seed: int) -> None:
    def clamp(number: int) -> int:
        return max(-(2**31), min(2**31 - 1, number))

    check("add.sat.s32 %d0, %a0, %a1;", ["s32"] * 2, ["s32"], lambda a, b: clamp(a + b), seed)
    check("sub.sat.s32 %d0, %a0, %a1;", ["s32"] * 2, ["s32"], lambda a, b: clamp(a - b), seed)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(("opcode", "sign"), [("add", 1), ("sub", -1)])
@given(seed=seeds)
@few
def test_a_carry_may_go_through_several_words(opcode: str, sign: int, bits: int, seed: int) -> None:
    u, ones = f"u{bits}", (1 << bits) - 1

    def total(a: int, b: int, c: int) -> tuple[int, int, int]:
        number = (a | ones << bits if sign > 0 else a) + sign * (b + (c << 2 * bits))
        return number, number >> bits, number >> 2 * bits

    middle = ones if sign > 0 else 0
    check(
        f"{opcode}.cc.{u} %d0, %a0, %a1; {opcode}c.cc.{u} %d1, {middle}, 0;"
        f"{opcode}c.{u} %d2, 0, %a2;",
        [u] * 3,
        [u] * 3,
        total,
        seed,
    )


@pytest.mark.parametrize("bits", [32, 64])
@given(seed=seeds)
@few
def test_carries(bits: int, seed: int) -> None:
    u = f"u{bits}"

    def halves(number: int) -> tuple[int, int]:
        return number, number >> bits

    check(
        f"add.cc.{u} %d0, %a0, %a2; addc.{u} %d1, %a1, %a3;",
        [u] * 4,
        [u, u],
        lambda a, b, c, d: halves(a + (b << bits) + c + (d << bits)),
        seed,
    )
    check(
        f"sub.cc.{u} %d0, %a0, %a2; subc.{u} %d1, %a1, %a3;",
        [u] * 4,
        [u, u],
        lambda a, b, c, d: halves(a + (b << bits) - c - (d << bits)),
        seed,
    )
    check(
        f"mad.lo.cc.{u} %d0, %a0, %a1, %a2; madc.hi.{u} %d1, %a0, %a1, %a3;",
        [u] * 4,
        [u, u],
        lambda a, b, c, d: halves(a * b + c + (d << bits)),
        seed,
    )
    check(
        f"mad.lo.cc.{u} %d0, %a0, %a1, %a2; madc.hi.cc.{u} %d1, %a0, %a1, %a3; addc.{u} %d2, 0, 0;",
        [u] * 4,
        [u, u, u],
        lambda a, b, c, d: (*halves(a * b + c + (d << bits)), a * b + c + (d << bits) >> 2 * bits),
        seed,
    )


# ---- bits --------------------------------------------------------------------------------


def reverse(bits: int, a: int) -> int:
    return int(f"{a:0{bits}b}"[::-1], 2)


def extract(bits: int, signed: bool, a: int, position: int, length: int) -> int:
    position, length = position & 255, length & 255
    a &= (1 << bits) - 1
    field = a >> position & (1 << length) - 1
    last = min(position + length - 1, bits - 1)
    if signed and length and a >> last & 1:
        known = max(min(length, bits - position), 0)
        field |= -1 << known
    return field


def insert(bits: int, a: int, b: int, position: int, length: int) -> int:
    mask = (1 << (length & 255)) - 1 << (position & 255)
    return b & ~mask | a << (position & 255) & mask


def permuted(a: int, b: int, choice: int) -> int:
    bytes_ = (a | b << 32).to_bytes(8, "little")
    picked = [bytes_[choice >> 4 * i & 7] for i in range(4)]
    signs = [255 if byte & 128 else 0 for byte in picked]
    return int.from_bytes(
        bytes(
            s if choice >> 4 * i & 8 else p
            for i, (p, s) in enumerate(zip(picked, signs, strict=True))
        ),
        "little",
    )


@pytest.mark.parametrize("bits", [16, 32, 64])
@given(seed=seeds)
@few
def test_logic_and_shifts(bits: int, seed: int) -> None:
    b, u, s = f"b{bits}", f"u{bits}", f"s{bits}"
    check(f"and.{b} %d0, %a0, %a1;", [u, u], [u], lambda x, y: x & y, seed)
    check(f"or.{b} %d0, %a0, %a1;", [u, u], [u], lambda x, y: x | y, seed)
    check(f"xor.{b} %d0, %a0, %a1;", [u, u], [u], lambda x, y: x ^ y, seed)
    check(f"not.{b} %d0, %a0;", [u], [u], lambda x: ~x, seed)
    check(f"cnot.{b} %d0, %a0;", [u], [u], lambda x: x == 0, seed)
    check(f"shl.{b} %d0, %a0, %a1;", [u, "u32"], [u], lambda x, n: x << min(n, bits), seed)
    check(f"shr.{u} %d0, %a0, %a1;", [u, "u32"], [u], lambda x, n: x >> min(n, bits), seed)
    check(f"shr.{s} %d0, %a0, %a1;", [s, "u32"], [s], lambda x, n: x >> min(n, bits), seed)


@pytest.mark.parametrize("bits", [32, 64])
@given(seed=seeds)
@few
def test_counts_and_fields_of_bits(bits: int, seed: int) -> None:
    b, u, s = f"b{bits}", f"u{bits}", f"s{bits}"
    check(f"popc.{b} %d0, %a0;", [u], ["u32"], int.bit_count, seed)
    check(f"clz.{b} %d0, %a0;", [u], ["u32"], lambda a: bits - a.bit_length(), seed)
    check(f"brev.{b} %d0, %a0;", [u], [u], lambda a: reverse(bits, a), seed)
    check(f"bfind.{u} %d0, %a0;", [u], ["u32"], lambda a: a.bit_length() - 1, seed)
    check(f"bfind.{s} %d0, %a0;", [s], ["u32"], lambda a: (a ^ a >> 99).bit_length() - 1, seed)
    check(
        f"bfind.shiftamt.{u} %d0, %a0;",
        [u],
        ["u32"],
        lambda a: bits - a.bit_length() if a else -1,
        seed,
    )
    for kind in (u, s):
        check(
            f"bfe.{kind} %d0, %a0, %a1, %a2;",
            [kind, "u32", "u32"],
            [kind],
            lambda a, n, m, signed=kind == s: extract(bits, signed, a, n, m),
            seed,
        )
    check(
        f"bfi.{b} %d0, %a0, %a1, %a2, %a3;",
        [u, u, "u32", "u32"],
        [u],
        lambda x, y, n, m: insert(bits, x, y, n, m),
        seed,
    )


@given(seed=seeds)
@few
def test_bytes_and_pairs_of_words(seed: int) -> None:
    check("prmt.b32 %d0, %a0, %a1, %a2;", ["u32"] * 3, ["u32"], permuted, seed)
    check(
        "shf.l.wrap.b32 %d0, %a0, %a1, %a2;",
        ["u32"] * 3,
        ["u32"],
        lambda low, high, n: (high << 32 | low) << n % 32 >> 32,
        seed,
    )
    check(
        "shf.r.clamp.b32 %d0, %a0, %a1, %a2;",
        ["u32"] * 3,
        ["u32"],
        lambda low, high, n: (high << 32 | low) >> min(n, 32),
        seed,
    )
    check(
        "lop3.b32 %d0, %a0, %a1, %a2, 0xE2;",
        ["u32"] * 3,
        ["u32"],
        lambda a, b, c: c & ~b | a & b,
        seed,
    )
    check("mov.b64 {%d0, %d1}, %a0;", ["u64"], ["u32", "u32"], lambda a: (a, a >> 32), seed)
    check("mov.b64 %d0, {%a0, %a1};", ["u32"] * 2, ["u64"], lambda a, b: a | b << 32, seed)
    check("mov.b32 %d0, {%a0, %a1};", ["u16"] * 2, ["u32"], lambda a, b: a | b << 16, seed)


@given(seed=seeds)
@few
def test_predicates_and_choices(seed: int) -> None:
    p = ["pred", "pred"]
    check("and.pred %d0, %a0, %a1;", p, ["pred"], lambda a, b: a and b, seed)
    check("or.pred %d0, %a0, %a1;", p, ["pred"], lambda a, b: a or b, seed)
    check("xor.pred %d0, %a0, %a1;", p, ["pred"], lambda a, b: a != b, seed)
    check("not.pred %d0, %a0;", ["pred"], ["pred"], lambda a: not a, seed)
    check("mov.pred %d0, %a0;", ["pred"], ["pred"], lambda a: a, seed)
    check("selp.b64 %d0, %a0, %a1, %a2;", ["u64", "u64", "pred"], ["u64"],
          lambda a, b, c: a if c else b, seed)  # fmt: skip
    check("slct.u32.s32 %d0, %a0, %a1, %a2;", ["u32", "u32", "s32"], ["u32"],
          lambda a, b, c: a if c >= 0 else b, seed)  # fmt: skip
    check("@%a1 mov.u32 %d0, %a0; @!%a1 mov.u32 %d0, 7;", ["u32", "pred"], ["u32"],
          lambda a, b: a if b else 7, seed)  # fmt: skip


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a < b or a > b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


@pytest.mark.parametrize("kind", ["s32", "u32", "s64", "u64", "f32", "f64"])
@pytest.mark.parametrize("name", COMPARISONS)
@given(seed=seeds)
@few
def test_comparisons(name: str, kind: str, seed: int) -> None:
    holds = COMPARISONS[name]
    check(f"setp.{name}.{kind} %d0, %a0, %a1;", [kind] * 2, ["pred"], holds, seed)
    check(
        f"setp.{name}.or.{kind} %d0|%d1, %a0, %a1, %a2;",
        [kind, kind, "pred"],
        ["pred", "pred"],
        lambda a, b, c: (holds(a, b) or c, not holds(a, b) or c),
        seed,
    )
    if kind[0] == "f":
        check(
            f"setp.{name}u.{kind} %d0, %a0, %a1;",
            [kind] * 2,
            ["pred"],
            lambda a, b: a != a or b != b or holds(a, b),
            seed,
        )


# ---- floats ------------------------------------------------------------------------------

EXACT: dict[str, tuple[int, Callable[..., Fraction], Callable[..., float]]] = {
    "add": (2, lambda a, b: a + b, lambda a, b: a + b),
    "sub": (2, lambda a, b: a - b, lambda a, b: a - b),
    "mul": (2, lambda a, b: a * b, lambda a, b: a * b),
    "fma": (3, lambda a, b, c: a * b + c, lambda a, b, c: a * b + c),
}


@pytest.mark.parametrize("kind", ["f16", "f32", "f64"])
@pytest.mark.parametrize("opcode", EXACT)
@given(seed=seeds)
@settings(max_examples=8)
def test_floats_are_rounded_once(opcode: str, kind: str, seed: int) -> None:
    count, exact, plain = EXACT[opcode]
    reference = float_result(kind, exact, plain)
    text = f"{opcode}.rn.{kind} %d0, {', '.join(f'%a{i}' for i in range(count))};"
    check(text, [kind] * count, [kind], reference, seed)


@pytest.mark.parametrize("mode", ["rm", "rp", "rz"])
@pytest.mark.parametrize("opcode", EXACT)
@given(seed=seeds)
@few
def test_floats_are_rounded_in_a_direction(opcode: str, mode: str, seed: int) -> None:
    count, exact, plain = EXACT[opcode]
    reference = float_result("f32", exact, plain)

    def usable(*sources: float) -> bool:  # the sign of an exact zero, and overflow, are left out
        finite = all(map(math.isfinite, sources))
        return finite and exact(*map(Fraction, sources)) != 0 and abs(reference(*sources)) < 1e38

    text = f"{opcode}.{mode}.f32 %d0, {', '.join(f'%a{i}' for i in range(count))};"
    check(text, ["f32"] * count, ["f32"], lambda *s: reference(*s, mode=mode), seed, usable)


def test_a_tie_of_the_first_rounding_does_not_decide_the_second() -> None:
    # 1 + 2^-24 + 2^-60: rounded to 53 bits it is the middle between two float32.
    a, b = np.float32([2**-30]), np.float32([2**-30])
    c = np.float32([1 + 2**-23])
    (up,) = compute(
        "fma.rn.f32 %d0, %a0, %a1, %a2; fma.rn.f32 %d0, %a3, %a4, %d0;",
        [
            ("f32", a),
            ("f32", b),
            ("f32", c),
            ("f32", np.float32([2**-12])),
            ("f32", np.float32([2**-12])),
        ],
        ["f32"],
    )
    assert up == np.float32(1 + 2**-22)  # a tie, to even
    product = np.float32([1 + 2**-12])  # its square is 1 + 2^-11 + 2^-24: a middle
    (down,) = compute(
        "fma.rn.f32 %d0, %a0, %a0, %a1;",
        [("f32", product), ("f32", np.float32([-(2**-80)]))],
        ["f32"],
    )
    assert down == np.float32(1 + 2**-11)
    (up,) = compute(
        "fma.rn.f32 %d0, %a0, %a0, %a1;", [("f32", product), ("f32", np.float32([2**-80]))], ["f32"]
    )
    assert up == np.float32(1 + 2**-11 + 2**-23)


def test_nor_does_a_tie_between_subnormals() -> None:
    a, b = np.float32([2**-75 * (1 + 2**-23)]), np.float32([2**-75 * (1 - 2**-23)])
    c = np.float32([2**-127 + 2**-149])  # and a * b is a little less than half of 2^-149
    (down,) = compute("fma.rn.f32 %d0, %a0, %a1, %a2;", [("f32", v) for v in (a, b, c)], ["f32"])
    assert down == c


@pytest.mark.parametrize("kind", ["f32", "f64"])
@given(seed=seeds)
@few
def test_quotients_roots_and_signs(kind: str, seed: int) -> None:
    def quotient(a: float, b: float) -> float:
        with np.errstate(all="ignore"):
            return float(np.float64(a) / np.float64(b))

    divided = float_result(kind, lambda a, b: a / b if b else Fraction(0), quotient)
    check(f"div.rn.{kind} %d0, %a0, %a1;", [kind] * 2, [kind], divided, seed)
    check(f"rcp.rn.{kind} %d0, %a0;", [kind], [kind], lambda a: divided(1.0, a), seed)
    check(f"neg.{kind} %d0, %a0;", [kind], [kind], lambda a: -a, seed)
    check(f"abs.{kind} %d0, %a0;", [kind], [kind], abs, seed)
    check(f"copysign.{kind} %d0, %a0, %a1;", [kind] * 2, [kind],
          lambda a, b: math.copysign(b, a), seed)  # fmt: skip

    def root(a: float) -> float:
        return float(DTYPES[kind](math.sqrt(a))) if a >= 0 else (a if a == 0 else math.nan)

    check(f"sqrt.rn.{kind} %d0, %a0;", [kind], [kind], root, seed)


@pytest.mark.parametrize("kind", ["f16", "f32", "f64"])
@given(seed=seeds)
@few
def test_extremes_prefer_numbers_and_know_signed_zeros(kind: str, seed: int) -> None:
    def smaller(a: float, b: float) -> float:
        if a != a or b != b:
            return b if a != a else a
        return min(a, b, key=lambda x: (x, math.copysign(1, x)))

    check(f"min.{kind} %d0, %a0, %a1;", [kind] * 2, [kind], smaller, seed)
    check(f"max.{kind} %d0, %a0, %a1;", [kind] * 2, [kind], lambda a, b: -smaller(-a, -b), seed)
    check(
        f"max.NaN.{kind} %d0, %a0, %a1;",
        [kind] * 2,
        [kind],
        lambda a, b: math.nan if a != a or b != b else -smaller(-a, -b),
        seed,
    )


@given(seed=seeds)
@few
def test_subnormals_are_flushed_where_the_instruction_says_so(seed: int) -> None:
    def flush(a: float) -> float:
        return math.copysign(0.0, a) if abs(a) < 2.0**-126 else a

    product = float_result("f32", *EXACT["mul"][1:])
    check("mul.ftz.f32 %d0, %a0, %a1;", ["f32"] * 2, ["f32"],
          lambda a, b: flush(product(flush(a), flush(b))), seed)  # fmt: skip
    check("mul.sat.f32 %d0, %a0, %a1;", ["f32"] * 2, ["f32"],
          lambda a, b: min(1.0, product(a, b)) if product(a, b) > 0 else 0.0, seed)  # fmt: skip


APPROXIMATE: dict[str, Callable[[float], float]] = {
    "ex2.approx.ftz.f32": lambda a: 2.0**a if abs(a) < 120 else math.nan,
    "lg2.approx.ftz.f32": lambda a: math.log2(a) if a > 2**-126 else math.nan,
    "sin.approx.f32": math.sin,
    "cos.approx.f32": math.cos,
    "tanh.approx.f32": math.tanh,
    "rcp.approx.ftz.f32": lambda a: 1 / a if 2**-126 < abs(a) < 2**126 else math.nan,
    "rsqrt.approx.f32": lambda a: a**-0.5 if a > 0 else math.nan,
    "sqrt.approx.f32": lambda a: math.sqrt(a) if a >= 0 else math.nan,
}


@pytest.mark.parametrize("opcode", APPROXIMATE)
@given(seed=seeds)
@few
def test_approximations(opcode: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    given_ = (rng.standard_normal(LANES) * 10.0 ** rng.integers(-3, 3, LANES)).astype(np.float32)
    (result,) = compute(f"{opcode} %d0, %a0;", [("f32", given_)], ["f32"])
    wanted = np.array([APPROXIMATE[opcode](a.item()) for a in given_])
    known = np.isfinite(wanted)
    np.testing.assert_allclose(result[known], wanted[known], rtol=3e-7, atol=1e-7)


# ---- conversions -------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("target", ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"])
def test_integers_are_cut_extended_and_clamped(source: str, target: str) -> None:
    check(f"cvt.{target}.{source} %d0, %a0;", [source], [target], lambda a: a, 1)
    limits = np.iinfo(DTYPES[target])
    check(
        f"cvt.sat.{target}.{source} %d0, %a0;",
        [source],
        [target],
        lambda a: max(int(limits.min), min(int(limits.max), a)),
        2,
    )


@pytest.mark.parametrize("source", ["f32", "f64"])
@pytest.mark.parametrize("target", ["u32", "s32", "u64", "s64"])
@given(seed=seeds)
@few
def test_floats_become_the_nearest_integer_there_is(source: str, target: str, seed: int) -> None:
    limits = np.iinfo(DTYPES[target])
    for mode, whole in {
        "rni": round,
        "rzi": math.trunc,
        "rmi": math.floor,
        "rpi": math.ceil,
    }.items():

        def reference(a: float, whole: Any = whole) -> int:
            if not math.isfinite(a):
                return 0 if a != a else int(limits.max if a > 0 else limits.min)
            return max(int(limits.min), min(int(limits.max), whole(Fraction(a))))

        check(f"cvt.{mode}.{target}.{source} %d0, %a0;", [source], [target], reference, seed)
        if source == "f32":
            check(
                f"cvt.{mode}.f32.f32 %d0, %a0;",
                ["f32"],
                ["f32"],
                lambda a, whole=whole: math.copysign(whole(Fraction(a)), a),
                seed,
                math.isfinite,
            )


@pytest.mark.parametrize("target", ["u32", "s32", "u64", "s64"])
def test_the_largest_floats_that_fit_an_integer(target: str) -> None:
    limits = np.iinfo(DTYPES[target])
    end = float(limits.max) + (limits.bits < 53)  # a power of two
    given_ = np.array([np.nextafter(end, 0), end, 0.75 * end, limits.min, 2.0 * limits.min - 1])
    (result,) = compute(f"cvt.rzi.{target}.f64 %d0, %a0;", [("f64", given_)], [target])
    exact = [min(max(int(value), int(limits.min)), int(limits.max)) for value in given_]
    assert [int(value) for value in result] == exact


@pytest.mark.parametrize("target", ["f16", "f32", "f64"])
@given(seed=seeds)
@few
def test_numbers_become_the_nearest_float(target: str, seed: int) -> None:
    for source in ("s32", "u32", "s64", "u64"):
        if target != "f16":
            check(f"cvt.rn.{target}.{source} %d0, %a0;", [source], [target],
                  lambda a: rounded(target, Fraction(a)), seed)  # fmt: skip
    for source in ("f16", "f32", "f64"):
        check(
            f"cvt.rn.{target}.{source} %d0, %a0;",
            [source],
            [target],
            float_result(target, lambda a: a, lambda a: a),
            seed,
        )
    for mode in ("rz", "rm", "rp"):
        check(
            f"cvt.{mode}.f32.f64 %d0, %a0;",
            ["f64"],
            ["f32"],
            lambda a, mode=mode: rounded("f32", Fraction(a), mode),
            seed,
            lambda a: math.isfinite(a) and a != 0 and abs(a) < 1e38,
        )


@given(seed=seeds)
@few
def test_saturation_to_the_unit_interval(seed: int) -> None:
    check(
        "cvt.sat.f32.f32 %d0, %a0;",
        ["f32"],
        ["f32"],
        lambda a: min(a, 1.0) if a > 0 else 0.0,
        seed,
    )


@given(seed=seeds)
@few
def test_halves_are_compared_and_change_signs(seed: int) -> None:
    check("neg.f16 %d0, %a0;", ["f16"], ["f16"], lambda a: -a, seed)
    check("abs.f16 %d0, %a0;", ["f16"], ["f16"], abs, seed)
    for name, holds in COMPARISONS.items():
        check(f"setp.{name}.f16 %d0, %a0, %a1;", ["f16"] * 2, ["pred"], holds, seed)


@given(seed=seeds)
@settings(max_examples=8)
def test_bfloat16_is_the_rounded_upper_half(seed: int) -> None:
    nearest = float_result("bf16", lambda a: a, lambda a: a)

    def both(a: float) -> tuple[int, float]:
        upper = int(np.float32(nearest(a)).view(np.uint32)) >> 16
        return (0x7FFF if a != a else upper), nearest(a)

    text = "cvt.rn.bf16.f32 %d0, %a0; cvt.f32.bf16 %d1, %d0;"
    check(text, ["f32"], ["b16", "f32"], both, seed)
    ties = "and.b32 %a0, %a0, 0xFFFF0000; or.b32 %a0, %a0, 0x8000;"
    check(f"{ties} {text}", ["f32"], ["b16", "f32"],
          lambda a: both(with_tie(a)), seed, lambda a: math.isfinite(a))  # fmt: skip


def with_tie(a: float) -> float:
    """In the middle between two bfloat16."""
    bits = np.float32(a).view(np.uint32) & np.uint32(0xFFFF0000) | np.uint32(0x8000)
    return float(bits.view(np.float32))
