"""Data races: accesses of different threads to the same bytes in no certain order."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minitransformer.emulator.observers.base import Access, Bug, BugFinder
from minitransformer.emulator.program import Array, Instruction, PtxKernel, size_of

if TYPE_CHECKING:
    from minitransformer.emulator.active import Active
    from minitransformer.emulator.machine import Machine


class Visits(NamedTuple):
    """Who touched each cell of memory, and when; thread 0 stands for nobody."""

    thread: Array
    time: Array


class Shadow:
    """What is remembered of each cell of one memory space.

    The last writer; the first reader since the block's barrier, and one other of that block; and
    one reader of another block. Any later write that races with some reader races with one of
    these.
    """

    def __init__(self, cells: int) -> None:
        self.writer, self.reader, self.second, self.elsewhere = (
            Visits(np.zeros(cells, np.int32), np.zeros(cells, np.int32)) for _ in range(4)
        )


class DataRaces(BugFinder):
    """Finds two accesses to the same bytes, one of them a write, that nothing orders.

    A barrier orders the accesses of a block, ``syncwarp`` those of a warp, and nothing those of
    different blocks. Atomic updates do not race with each other.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shadows: dict[str, Shadow] = {}
        self._instructions: list[tuple[Instruction, str]] = []
        self._cell = {"global": 4, "shared": 4}
        self._kernel: PtxKernel | None = None

    def begin(self, machine: "Machine") -> None:
        """Forget shared memory; global memory lasts from group to group of one launch."""
        self._shadows.pop("shared", None)
        if machine.kernel is not self._kernel or machine.first_block == 0:
            self._kernel = machine.kernel
            self._shadows.clear()
            self._instructions = [(machine.kernel.code[0], "")]
            self._cell = {space: _cell(machine.kernel, space) for space in ("global", "shared")}
        self._barrier = np.zeros(machine.blocks, np.int32)
        self._sync = np.zeros(machine.columns // 32, np.int32)
        self._places = machine

    def barrier(self, machine: "Machine", at: int, released: "Active") -> None:
        """From here on, everything before is ordered."""
        time = len(self._instructions)
        if "warp" in machine.kernel.code[at].modifiers:
            self._sync[released.mask.reshape(-1, 32).any(1)] = time
        else:
            self._barrier[released.mask.reshape(machine.blocks, -1).any(1)] = time

    def access(self, access: Access) -> None:
        """Compare with what is remembered, then remember."""
        if access.space == "local":
            return
        size = self._cell[access.space]
        shadow = self._shadows.get(access.space)
        if shadow is None or shadow.writer.thread.size * size < access.memory.size:
            shadow = self._shadows[access.space] = Shadow(access.memory.size // size + 1)
        self._instructions.append((access.instruction, access.kind))
        first = access.machine.first_block * access.machine.lanes + 1
        for i in range(max(access.nbytes // size, 1)):
            cells = access.places // size + i
            if access.kind == "load":
                self._read(shadow, access, cells, access.columns + first)
            else:
                self._write(shadow, access, cells, access.columns + first)

    def _read(self, shadow: Shadow, access: Access, cells: Array, threads: Array) -> None:
        self._compare(shadow.writer, access, cells, threads)
        lanes, now = access.machine.lanes, len(self._instructions) - 1
        block = (threads - 1) // lanes
        before = shadow.reader.thread[cells]
        other_block = (before > 0) & ((before - 1) // lanes != block)
        old = shadow.reader.time[cells] < self._barrier[access.columns // lanes]
        _put(
            shadow.elsewhere,
            cells[other_block],
            before[other_block],
            shadow.reader.time[cells[other_block]],
        )
        fresh = (before == 0) | other_block | old
        _put(shadow.reader, cells[fresh], threads[fresh], now)
        shadow.second.thread[cells[fresh]] = 0
        first = shadow.reader.thread[cells]
        same_block = (first - 1) // lanes == block
        also = (first != threads) & same_block
        _put(shadow.second, cells[also], threads[also], now)
        _put(shadow.elsewhere, cells[~same_block], threads[~same_block], now)

    def _write(self, shadow: Shadow, access: Access, cells: Array, threads: Array) -> None:
        for visits in (shadow.writer, shadow.reader, shadow.second, shadow.elsewhere):
            self._compare(visits, access, cells, threads)
        _put(shadow.writer, cells, threads, len(self._instructions) - 1)
        if access.kind == "store":
            self._compare(shadow.writer, access, cells, threads)  # with each other

    def _compare(self, visits: Visits, access: Access, cells: Array, threads: Array) -> None:
        """Report visits by other threads that nothing orders before this access."""
        other, time, lanes = visits.thread[cells], visits.time[cells], access.machine.lanes
        racing = (other != 0) & (other != threads)
        if not racing.any():
            return
        same_block = (other - 1) // lanes == (threads - 1) // lanes
        same_warp = same_block & ((other - 1) // 32 == (threads - 1) // 32)
        racing &= ~(same_block & (time < self._barrier[access.columns // lanes]))
        racing &= ~(same_warp & (time < self._sync[access.columns // 32]))
        if access.kind == "atomic":
            atomic = np.array([kind == "atomic" for _, kind in self._instructions])
            racing &= ~atomic[time]
        if racing.any():
            i = int(np.argmax(racing))
            self._found(access, i, int(other[i]) - 1, *self._instructions[int(time[i])])

    def _found(
        self, access: Access, i: int, other: int, instruction: Instruction, kind: str
    ) -> None:
        machine = access.machine
        verbs = {"load": "reads", "store": "writes", "atomic": "updates"}
        before = machine.place(other - machine.first_block * machine.lanes)
        self.report(
            (access.instruction, instruction),
            Bug(
                "data race",
                f"{machine.place(int(access.columns[i]))} {verbs[access.kind]} {access.space} "
                f"memory at {int(access.addresses[i]):#x}, which {before} {verbs[kind]} at "
                f"{instruction.location}; nothing orders the two",
                access.instruction.location,
            ),
        )


def _put(visits: Visits, cells: Array, threads: Array, time: Array | int) -> None:
    visits.thread[cells] = threads
    visits.time[cells] = time


def _cell(kernel: PtxKernel, space: str) -> int:
    """Bytes of the shortest access to a space, at most 4: cells that no two values share."""
    accesses = [i for i in kernel.code if i.opcode in ("ld", "ldu", "st", "atom", "red")]
    shortest = [size_of(i.modifiers[-1]) for i in accesses if space in i.modifiers]
    return min([4, *shortest])
