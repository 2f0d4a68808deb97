"""A group of blocks on the emulated device, and instructions made ready to run on it.

Every instruction becomes a function of the active threads, with its registers looked up once.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minitransformer.emulator import accesses, atomics, steps, warps
from minitransformer.emulator.active import Active
from minitransformer.emulator.arithmetic import CARRY, Operation, operation
from minitransformer.emulator.fusion import fused_steps
from minitransformer.emulator.memory import GlobalMemory, lay_out
from minitransformer.emulator.parsing import literal
from minitransformer.emulator.program import (
    DTYPES,
    Address,
    Array,
    Instruction,
    PtxKernel,
    UnsupportedError,
    Variable,
    size_of,
)
from minitransformer.emulator.registers import Registers, special_registers, used_registers
from minitransformer.emulator.steps import Step

if TYPE_CHECKING:
    from minitransformer.emulator.observers.base import Observer

WARP = 32
Dimensions = tuple[int, int, int]

CONTROL = {"bra", "brx", "ret", "exit", "bar", "barrier"}
"""Opcodes that the scheduler itself executes."""
NOTHING = {"membar", "fence", "nop"}
"""Emulated memory is always up to date."""


class Machine:
    """Registers, shared and local memory of the blocks that run at the same time.

    Blocks are filled up to whole warps with threads that never run.
    """

    def __init__(
        self, kernel: PtxKernel, grid: Dimensions, block: Dimensions, blocks: int, dynamic: int
    ) -> None:
        self.kernel, self.grid, self.block, self.blocks = kernel, grid, block, blocks
        self.threads = int(np.prod(block))
        self.lanes = -(-self.threads // WARP) * WARP
        self.columns = blocks * self.lanes
        self.block_of = np.repeat(np.arange(blocks), self.lanes)
        self.first_block = 0
        self.exists = np.zeros(self.columns, np.bool_)
        self.memory: GlobalMemory
        self.parameters: dict[str, int | float] = {}
        self.observers: tuple[Observer, ...] = ()
        types = kernel.registers | {CARRY: "pred"}
        self.registers = Registers(used_registers(types, [*_names(kernel), CARRY]), self.columns)
        self.special = special_registers(block, grid, self.lanes, blocks)
        self.scratch, self.indices = np.empty((2, self.columns), np.int64)
        self._lay_out_memory(dynamic)
        self.steps: list[Step] = [self._step(instruction) for instruction in kernel.code]
        for first, last, step in fused_steps(kernel, self.registers, self.columns):
            self.steps[first:last] = [step] + [steps.nothing] * (last - first - 1)

    def _lay_out_memory(self, dynamic: int) -> None:
        shared = [
            Variable(v.name, v.space, v.type, v.align, dynamic) if v.count is None else v
            for v in self.kernel.variables_of("shared")
        ]
        self.shared = accesses.OwnMemory(*lay_out(shared), self.block_of, self.blocks)
        local = self.kernel.variables_of("local")
        columns = np.arange(self.columns)
        self.local = accesses.OwnMemory(*lay_out(local), columns, self.columns)

    def begin(
        self,
        grid: Dimensions,
        first_block: int,
        count: int,
        parameters: dict[str, int | float],
        memory: GlobalMemory,
        observers: "tuple[Observer, ...]",
    ) -> None:
        """Take on ``count`` blocks of the grid; nothing is left of those before."""
        self.grid, self.first_block, self.parameters = grid, first_block, parameters
        self.memory, self.observers = memory, observers
        block = first_block + self.block_of
        for axis, size in zip("xyz", self.grid, strict=True):
            self.special[f"%nctaid.{axis}"][:] = size
            self.special[f"%ctaid.{axis}"][:] = block % size
            block = block // size
        self.exists[:] = (self.block_of < count) & (
            np.tile(np.arange(self.lanes), self.blocks) < self.threads
        )
        self.shared.clear()
        self.local.clear()

    def source(self, operand: str, kind: str) -> Any:
        """The row of a register, or a number, as a type."""
        name = operand.removeprefix("!")
        if name != operand:
            raise UnsupportedError(f"{operand} is outside the subset")
        if name in self.registers:
            return self.registers.source(name, kind)
        if name in self.special:
            return self.special[name].view(DTYPES[kind])[:: 4 // size_of(kind)]
        bits = self._bits(name)
        if kind == "pred":
            return np.bool_(bits)
        data = (bits & (1 << 8 * size_of(kind)) - 1).to_bytes(size_of(kind), "little")
        return np.frombuffer(data, DTYPES[kind])[0]

    def _bits(self, name: str) -> int:
        for own in (self.shared, self.local):
            if name in own.addresses:
                return own.addresses[name]
        if name == "WARP_SZ":
            return WARP
        try:
            return literal(name)
        except ValueError:
            raise UnsupportedError(f"{name!r} is no register, variable or number") from None

    def place(self, column: int) -> str:
        """Thread and block of a column, in words."""
        thread = _coordinates(column % self.lanes, self.block)
        block = _coordinates(self.first_block + column // self.lanes, self.grid)
        return f"thread {thread} of block {block}"

    def _step(self, instruction: Instruction) -> Step:
        if instruction.opcode in CONTROL | NOTHING:
            return steps.nothing
        try:
            step = self._unguarded(instruction)
        except (UnsupportedError, KeyError, ValueError, TypeError, IndexError) as error:
            raise UnsupportedError(f"{instruction} is outside the subset: {error}") from error
        if instruction.guard is None:
            return step
        return steps.guarded(step, *self.guard(instruction.guard))

    def guard(self, name: str) -> tuple[Array, bool]:
        """The row of a predicate, and whether it must be false."""
        return self.registers.source(name.removeprefix("!"), "pred"), name.startswith("!")

    def _unguarded(self, instruction: Instruction) -> Step:
        opcode, words = instruction.opcode, instruction.modifiers
        if opcode in ("ld", "ldu") and words[0] == "param":
            return self._load_parameter(instruction)
        if opcode in ("ld", "ldu", "st"):
            return accesses.step(self, instruction)
        if opcode in ("atom", "red"):
            return atomics.step(self, instruction)
        if opcode in warps.OPCODES:
            return warps.step(self, instruction)
        if opcode == "mov" and self._is_global(instruction.operands[1]):
            return self._address_of_global(instruction)
        if opcode == "cvta":
            return accesses.convert_address(self, instruction)
        return self._arithmetic(operation(instruction))

    def _is_global(self, operand: Any) -> bool:
        variable = self.kernel.variables.get(operand) if isinstance(operand, str) else None
        return variable is not None and variable.space in ("global", "const")

    def _address_of_global(self, instruction: Instruction) -> Step:
        row = self.registers.destination(str(instruction.operands[0]), "u64")
        variable = self.kernel.variables[str(instruction.operands[1])]

        def execute(active: Active) -> None:
            row[active.mask] = self.memory.address_of(variable)

        return execute

    def _load_parameter(self, instruction: Instruction) -> Step:
        kind = instruction.modifiers[-1]
        target, address = instruction.operands
        assert isinstance(target, str)
        assert isinstance(address, Address)
        row = self.registers.destination(target, kind)

        def execute(active: Active) -> None:
            value = self.parameters[address.base]
            if kind[0] != "f" and isinstance(value, int):
                value &= (1 << 8 * row.dtype.itemsize) - 1
                row.view(f"u{row.dtype.itemsize}")[active.mask] = value
            else:
                row[active.mask] = value

        return execute

    def _arithmetic(self, work: Operation) -> Step:
        sources = [self.source(name, kind) for name, kind in work.inputs]
        targets = [
            None if name == "_" else self.registers.destination(name, kind)
            for name, kind in work.outputs
        ]
        if len(targets) > 1:
            return steps.several(work.function, targets, sources)
        assert targets[0] is not None
        return steps.single(work.function, targets[0], sources)


def _coordinates(index: int, size: Dimensions) -> Dimensions:
    x, y, _ = size
    return index % x, index // x % y, index // (x * y)


def _names(kernel: PtxKernel) -> Iterator[str]:
    for instruction in kernel.code:
        if instruction.guard:
            yield instruction.guard.removeprefix("!")
        for operand in instruction.operands:
            if isinstance(operand, Address):
                yield operand.base
            elif isinstance(operand, str):
                yield operand.removeprefix("!")
            else:
                yield from operand
