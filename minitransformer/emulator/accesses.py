"""Loads and stores.

Global memory is one array of bytes. Shared memory has a copy for each block and local memory one
for each thread. A *generic* address, of an instruction that names no space, tells its space by its
upper bits.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np

from minitransformer.emulator.active import Active
from minitransformer.emulator.memory import POISON, GlobalMemory, Regions
from minitransformer.emulator.observers.base import Access
from minitransformer.emulator.program import (
    DTYPES,
    Address,
    Array,
    EmulationError,
    Instruction,
    UnsupportedError,
    size_of,
)

if TYPE_CHECKING:
    from minitransformer.emulator.machine import Machine

WINDOW_BITS = 40
WINDOWS = {"global": 0, "shared": 1 << WINDOW_BITS, "local": 2 << WINDOW_BITS}
"""Where each space begins among the generic addresses."""
VECTORS = {"v2": 2, "v4": 4}


class OutOfBoundsError(EmulationError):
    """An access outside every allocation, or not aligned."""


class OwnMemory:
    """Memory of which each block, or each thread, has a copy of its own."""

    def __init__(
        self, regions: Regions, addresses: dict[str, int], nbytes: int, owner: Array, owners: int
    ) -> None:
        self.regions, self.addresses = regions, addresses
        self._base = owner * nbytes
        self._bases: dict[int, Array] = {}
        self.bytes: Array = np.empty(owners * nbytes, np.uint8)
        self._views: dict[np.dtype[Any], Array] = {}

    def view(self, dtype: np.dtype[Any]) -> Array:
        """All copies, one behind the other, as values of one type."""
        if dtype not in self._views:
            self._views[dtype] = self.bytes.view(dtype)
        return self._views[dtype]

    def base(self, start: int) -> Array:
        """Place in ``bytes`` of the address ``start``, for each thread."""
        if start not in self._bases:
            self._bases[start] = self._base + start
        return self._bases[start]

    def clear(self) -> None:
        """Forget everything."""
        self.view(np.dtype(np.uint32))[...] = POISON


Space = GlobalMemory | OwnMemory


class Transfer(Protocol):
    """Moves the values of one access; ``index`` counts values of its type in ``view``."""

    def __call__(self, active: Active, view: Array, index: Array) -> None: ...


class Reference:
    """The address operand of one instruction, with all that is checked at every access."""

    def __init__(self, machine: "Machine", instruction: Instruction, operand: Any) -> None:
        if not isinstance(operand, Address):
            raise UnsupportedError(f"{operand} is no address")
        self.machine, self.instruction = machine, instruction
        words = instruction.modifiers
        self.space = next((w for w in words if w in WINDOWS), "global" if "const" in words else "")
        self.kind = {"ld": "load", "ldu": "load", "st": "store"}.get(instruction.opcode, "atomic")
        self.dtype = np.dtype(DTYPES[words[-1]])
        self.values = next((VECTORS[word] for word in words if word in VECTORS), 1)
        self.nbytes = self.values * self.dtype.itemsize
        self.shift = self.dtype.itemsize.bit_length() - 1
        self.row = _address_row(machine, operand.base)
        self.offset = operand.offset

    def visit(self, active: Active, transfer: Transfer) -> None:
        """Check the addresses of the active threads and move their values."""
        if self.space:
            self._visit(self.space, active, 0, transfer)
            return
        window = (active.of(self.row) + self.offset) >> WINDOW_BITS
        for number, space in enumerate(WINDOWS):
            chosen = active.indices[window == number]
            if chosen.size:
                mask = np.zeros_like(active.mask)
                mask[chosen] = True
                self._visit(space, Active(mask), WINDOWS[space], transfer)
        strange = active.indices[(window < 0) | (window >= len(WINDOWS))]
        if strange.size:
            address = int(np.broadcast_to(self.row, active.mask.shape)[strange[0]]) + self.offset
            self._fail("global", int(strange[0]), address)

    def _visit(self, name: str, active: Active, window: int, transfer: Transfer) -> None:
        machine = self.machine
        space: Space = machine.memory if name == "global" else getattr(machine, name)
        row = active.of(self.row)
        if row.dtype != np.int64:
            row = row.astype(np.int64)
        first = int(row[0]) + self.offset - window
        start, size = space.regions.find(first)
        move = self.offset - window - start
        within = np.add(row, move, out=machine.scratch) if active.dense else row + move
        spread = int(np.bitwise_or.reduce(within))
        if not 0 <= spread <= size - self.nbytes or (spread | start) & (self.nbytes - 1):
            self._require_allowed(name, space, active, within + start)
        if machine.observers and self.kind != "load":
            self._tell(name, space, active, within + start)
        base: Any = start
        if isinstance(space, OwnMemory):
            base = space.base(start) if active.dense else space.base(start)[active.indices]
        index = np.add(within, base, out=machine.indices) if active.dense else within + base
        index >>= self.shift
        transfer(active, space.view(self.dtype), index)
        if machine.observers and self.kind == "load":
            self._tell(name, space, active, within + start)

    def _tell(self, name: str, space: Space, active: Active, addresses: Array) -> None:
        columns = active.indices
        places = (
            addresses if isinstance(space, GlobalMemory) else addresses + space.base(0)[columns]
        )
        access = Access(
            self.machine,
            self.instruction,
            name,
            self.kind,
            self.nbytes,
            columns,
            addresses,
            places,
            space.bytes,
        )
        for observer in self.machine.observers:
            observer.access(access)

    def _require_allowed(self, name: str, space: Space, active: Active, addresses: Array) -> None:
        wrong = space.regions.outside(addresses, self.nbytes)
        wrong |= (addresses & (self.nbytes - 1)) != 0
        if wrong.any():
            i = int(np.argmax(wrong))
            self._fail(name, int(active.indices[i]), int(addresses[i]))

    def _fail(self, name: str, column: int, address: int) -> NoReturn:
        machine = self.machine
        space: Space = machine.memory if name == "global" else getattr(machine, name)
        start, size = space.regions.find(address)
        what = {"load": "reads", "store": "writes", "atomic": "updates"}[self.kind]
        if start <= address and address + self.nbytes <= start + size:
            why = f"not a multiple of {self.nbytes}, as the hardware demands"
        else:
            why = space.regions.nearest(address)
        raise OutOfBoundsError(
            f"{self.instruction.location}: {machine.place(column)} {what} {self.nbytes} bytes of "
            f"{name} memory at {address:#x}: {why}; instruction {self.instruction}"
        )


def _address_row(machine: "Machine", name: str) -> Array:
    if name not in machine.registers:
        return np.asarray(machine.source(name, "s64"))
    return machine.registers.address(name)


def step(machine: "Machine", instruction: Instruction) -> Callable[[Active], None]:
    """A load or a store, made ready."""
    first, second = instruction.operands
    names, operand = (first, second) if instruction.opcode != "st" else (second, first)
    assert not isinstance(names, Address)
    reference = Reference(machine, instruction, operand)
    kind = instruction.modifiers[-1]
    each = names if isinstance(names, tuple) else (names,)
    if instruction.opcode == "st":
        return _store(reference, [machine.source(name, kind) for name in each])
    rows = [None if n == "_" else machine.registers.destination(n, kind) for n in each]
    return _load(reference, rows)


def _load(reference: Reference, rows: list[Array | None]) -> Callable[[Active], None]:
    direct = [r is not None and r.dtype == reference.dtype and r.flags.c_contiguous for r in rows]

    def transfer(active: Active, view: Array, index: Array) -> None:
        for i, row in enumerate(rows):
            place = index + i if i else index
            if row is None:
                continue
            if active.dense and direct[i]:
                view.take(place, out=row, mode="clip")
            else:
                row[active.mask if active.dense else active.indices] = view[place]

    return lambda active: reference.visit(active, transfer)


def _store(reference: Reference, rows: list[Any]) -> Callable[[Active], None]:
    def transfer(active: Active, view: Array, index: Array) -> None:
        for i, row in enumerate(rows):
            view[index + i if i else index] = active.of(row)

    return lambda active: reference.visit(active, transfer)


def convert_address(machine: "Machine", instruction: Instruction) -> Callable[[Active], None]:
    """``cvta``: between an address within a space and the generic address."""
    words = instruction.modifiers
    space = next(word for word in words if word in (*WINDOWS, "const"))
    move = WINDOWS.get(space, 0) * (-1 if "to" in words else 1)
    target, source = instruction.operands
    row = machine.registers.destination(str(target), "s64")
    given = _address_row(machine, str(source))

    def execute(active: Active) -> None:
        np.copyto(row, given + move, where=active.mask)

    return execute


def size_in_bytes(instruction: Instruction) -> int:
    """Bytes that one thread moves."""
    words = instruction.modifiers
    return size_of(words[-1]) * next((VECTORS[word] for word in words if word in VECTORS), 1)
