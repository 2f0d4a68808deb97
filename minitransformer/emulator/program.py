"""What a PTX text says, once it is read: instructions, variables and kernels."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DTYPES: dict[str, type[np.generic]] = {
    "pred": np.bool_,
    "b8": np.uint8,
    "u8": np.uint8,
    "s8": np.int8,
    "b16": np.uint16,
    "u16": np.uint16,
    "s16": np.int16,
    "f16": np.float16,
    "bf16": np.uint16,
    "b32": np.uint32,
    "u32": np.uint32,
    "s32": np.int32,
    "f32": np.float32,
    "b64": np.uint64,
    "u64": np.uint64,
    "s64": np.int64,
    "f64": np.float64,
}
"""PTX types. ``b`` is a bag of bits, ``u`` and ``s`` are unsigned and signed integers.

NumPy has no ``bf16``: it is seen as its bits, and is only converted.
"""


def size_of(ptx_type: str) -> int:
    """Bytes of one value of a PTX type."""
    return np.dtype(DTYPES[ptx_type]).itemsize


class EmulationError(RuntimeError):
    """The program cannot go on; the message names the instruction and its source line."""


class UnsupportedError(EmulationError):
    """An instruction outside the subset of PTX that the emulator knows."""


@dataclass(frozen=True)
class Address:
    """An operand in brackets: ``[%rd1+16]``."""

    base: str
    offset: int


Operand = str | Address | tuple[str, ...]
"""A register, number, label or variable; an address; or several registers, ``{%f1, %f2}``."""


@dataclass(frozen=True)
class Location:
    """A line of a Python file; line 0 where the compiler names none."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Instruction:
    """One PTX instruction, such as ``@%p1 ld.global.v2.f32 {%f1, %f2}, [%rd1+8];``."""

    opcode: str
    """The first word, ``ld``."""
    modifiers: tuple[str, ...]
    """The words after it, ``("global", "v2", "f32")``; the last one is mostly the type."""
    operands: tuple[Operand, ...]
    guard: str | None
    """Predicate register; a ``!`` before its name means that it must be false."""
    location: Location
    text: str
    text_line: int
    """Line of the PTX text."""

    def __str__(self) -> str:
        return f"`{self.text}` ({self.location}, line {self.text_line} of the PTX)"


@dataclass(frozen=True)
class Variable:
    """Memory with a name."""

    name: str
    space: str
    """``shared``, ``local``, ``global``, ``const`` or ``param``."""
    type: str
    align: int
    count: int | None
    """Elements; None for shared memory whose size the launch decides."""
    values: bytes = b""

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return (self.count or 0) * size_of(self.type)


@dataclass(frozen=True, eq=False)
class PtxKernel:
    """A function that the host can launch, with the functions that it calls copied in."""

    name: str
    parameters: tuple[Variable, ...]
    registers: dict[str, str]
    """Name to PTX type."""
    code: tuple[Instruction, ...]
    labels: dict[str, int]
    """Name to index in ``code``."""
    variables: dict[str, Variable]
    """All that the code may name, of whatever space."""
    machines: dict[Any, Any] = field(default_factory=dict, repr=False)
    """Kept by the executor from launch to launch."""

    def variables_of(self, *spaces: str) -> list[Variable]:
        """Variables of some spaces that the code names, in the order of their declaration."""
        used = {name for step in self.code for name in step.operands if isinstance(name, str)}
        used |= {step.base for i in self.code for step in i.operands if isinstance(step, Address)}
        return [v for v in self.variables.values() if v.space in spaces and v.name in used]


@dataclass(frozen=True)
class PtxModule:
    """All kernels of a PTX text."""

    target: str
    """Such as ``sm_90``."""
    kernels: dict[str, PtxKernel]
