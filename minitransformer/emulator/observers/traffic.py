"""Global memory: how many sectors each request of a warp moves."""

from dataclasses import dataclass

import numpy as np

from minitransformer.emulator.observers.base import Access, Observer
from minitransformer.emulator.observers.patterns import Patterns
from minitransformer.emulator.program import Array, Instruction

SECTOR = 32
"""Bytes that memory moves at least."""


@dataclass
class Requests:
    """Sums over the executions of one instruction, or of several."""

    requests: int = 0
    """Instructions that a warp executed."""
    sectors: int = 0
    """Of 32 bytes; each counts once in a request, however many threads touch it."""
    useful_bytes: int = 0
    """Bytes that some thread asked for, each counted once in a request."""
    thread_bytes: int = 0
    """Bytes that the threads asked for."""

    @property
    def sectors_per_request(self) -> float:
        """4 if 32 threads read 32 neighbouring float32; 32 if each is in a sector of its own."""
        return self.sectors / max(self.requests, 1)

    @property
    def efficiency(self) -> float:
        """The part of the bytes moved that somebody asked for; 1 is well coalesced."""
        return self.useful_bytes / max(self.sectors * SECTOR, 1)

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(
            self.requests + other.requests,
            self.sectors + other.sectors,
            self.useful_bytes + other.useful_bytes,
            self.thread_bytes + other.thread_bytes,
        )


class GlobalTraffic(Observer):
    """Counts the requests of each instruction that touches global memory.

    No cache is modelled: what is counted is what leaves the warps.
    """

    def __init__(self) -> None:
        self.by_instruction: dict[Instruction, Requests] = {}
        self._patterns = Patterns(_count, SECTOR)
        self._touched: dict[str, Array] = {}

    def access(self, access: Access) -> None:
        """Count one instruction of all warps that execute it."""
        if access.space != "global":
            return
        counted = self._patterns(access)
        self._touch(access)
        before = self.by_instruction.get(access.instruction, Requests())
        self.by_instruction[access.instruction] = before + counted

    def _touch(self, access: Access) -> None:
        sectors = access.memory.size // SECTOR
        touched = self._touched.setdefault(access.kind, np.zeros(sectors, np.bool_))
        if touched.size < sectors:
            touched.resize(sectors, refcheck=False)
        touched[access.addresses // SECTOR] = True

    def distinct_bytes(self, kind: str) -> int:
        """Bytes of the sectors that some ``load``, ``store`` or ``atomic`` touched.

        That is the least that memory must move, if a cache kept every sector for ever.
        """
        return SECTOR * int(np.count_nonzero(self._touched.get(kind, 0)))

    def total(self, *opcodes: str) -> Requests:
        """Of loads (``"ld"``), stores (``"st"``), or whatever opcodes are named; all if none."""
        parts = self.by_instruction.items()
        chosen = [counted for i, counted in parts if not opcodes or i.opcode in opcodes]
        return sum(chosen, start=Requests())


def _count(access: Access, addresses: Array) -> Requests:
    warp = access.columns // 32
    return Requests(
        _distinct(warp, 0 * warp),
        _distinct(warp, addresses // SECTOR),
        _distinct(warp, addresses) * access.nbytes,
        access.columns.size * access.nbytes,
    )


def _distinct(warp: Array, what: Array) -> int:
    """How many pairs differ; the warps are ascending."""
    keys = np.sort((warp << 44) + what)
    return int(np.count_nonzero(np.diff(keys))) + 1
