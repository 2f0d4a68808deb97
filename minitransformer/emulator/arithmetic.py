"""Which function of NumPy arrays an arithmetic instruction is.

Every function takes one array (or number) for each source and returns one for each destination.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from minitransformer.emulator import bits, comparisons, conversions
from minitransformer.emulator.floats import FLOAT
from minitransformer.emulator.integers import CARRYING, INTEGER, with_carry
from minitransformer.emulator.program import Instruction, Operand, UnsupportedError

CARRY = "%carry"
"""The flag that ``add.cc`` writes and ``addc`` reads."""


class Operation(NamedTuple):
    """A function, and what it reads and writes: each an operand and the type to see it as."""

    function: Callable[..., Any]
    outputs: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, str], ...]


def operation(instruction: Instruction) -> Operation:
    """What an arithmetic instruction computes.

    Raises
    ------
    UnsupportedError
        If the emulator does not know it.
    """
    if "bf16" in instruction.modifiers and instruction.opcode != "cvt":
        raise UnsupportedError("bfloat16 is only converted")
    outputs, *inputs = (_names(operand) for operand in instruction.operands)
    sources = tuple(name for names in inputs for name in names)
    for rules in (comparisons, conversions, bits):
        found = rules.rule(instruction, len(outputs), len(sources))
        if found:
            function, out_types, in_types = found
            return Operation(function, _typed(outputs, out_types), _typed(sources, in_types))
    kind = instruction.modifiers[-1]
    if "cc" in instruction.modifiers or instruction.opcode in CARRYING:
        return _with_carry(instruction, outputs, sources)
    table: Any = FLOAT if kind[0] == "f" else INTEGER
    built = table[instruction.opcode](instruction, kind) if instruction.opcode in table else None
    if built is None:
        raise UnsupportedError("this operation is not known")
    wide = "wide" in instruction.modifiers
    double = f"{kind[0]}{2 * int(kind[1:])}" if wide else kind
    kinds = [kind, kind, double][: len(sources)]
    return Operation(built, _typed(outputs, [double]), _typed(sources, kinds))


def _names(operand: Operand) -> tuple[str, ...]:
    if isinstance(operand, tuple):
        return operand
    if isinstance(operand, str):
        return (operand,)
    raise UnsupportedError("an address is no operand of arithmetic")


def _typed(names: tuple[str, ...], kinds: Any) -> tuple[tuple[str, str], ...]:
    return tuple(zip(names, kinds, strict=True))


def _with_carry(
    instruction: Instruction, outputs: tuple[str, ...], sources: tuple[str, ...]
) -> Operation:
    kind = f"u{instruction.modifiers[-1][1:]}"
    carry_in, carry_out = instruction.opcode in CARRYING, "cc" in instruction.modifiers
    flag = ((CARRY, "pred"),)
    return Operation(
        with_carry(instruction),
        _typed(outputs, [kind]) + flag * carry_out,
        _typed(sources, [kind] * len(sources)) + flag * carry_in,
    )
