"""Shared memory: how often a warp must wait because threads want the same bank."""

from dataclasses import dataclass

import numpy as np

from minitransformer.emulator.observers.base import Access, Observer
from minitransformer.emulator.observers.patterns import Patterns
from minitransformer.emulator.program import Array, Instruction

BANKS = 32
WORD = 4


@dataclass
class Passes:
    """Sums over the executions of one instruction, or of several."""

    requests: int = 0
    """Instructions that a warp executed."""
    passes: int = 0
    """Times that the banks were read or written for them."""
    needed: int = 0
    """Passes if no two threads had wanted different words of one bank."""

    @property
    def conflicts(self) -> int:
        """Passes that another layout would have saved."""
        return self.passes - self.needed

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(
            self.requests + other.requests,
            self.passes + other.passes,
            self.needed + other.needed,
        )


class SharedBanks(Observer):
    """Counts bank conflicts.

    Word ``w`` of four bytes lies in bank ``w % 32``. In one pass each bank delivers one word, to
    all threads that want it. Accesses of 8 bytes go by half warps, of 16 bytes by quarters.
    An atomic update also waits for others of the same word.
    """

    def __init__(self) -> None:
        self.by_instruction: dict[Instruction, Passes] = {}
        self._patterns = Patterns(_count, WORD)

    def access(self, access: Access) -> None:
        """Count one instruction of all warps that execute it."""
        if access.space != "shared":
            return
        counted = self._patterns(access)
        before = self.by_instruction.get(access.instruction, Passes())
        self.by_instruction[access.instruction] = before + counted

    def total(self) -> Passes:
        """Of all instructions."""
        return sum(self.by_instruction.values(), start=Passes())


def _count(access: Access, addresses: Array) -> Passes:
    words = max(access.nbytes // WORD, 1)
    part = access.columns // (32 // words)  # those served together
    word = (addresses // WORD)[:, None] + np.arange(words)
    lane = access.columns % 32 if access.kind == "atomic" else 0 * access.columns
    distinct = np.unique((part[:, None] << 40) + (word << 5) + lane[:, None])
    bank = (distinct >> 40) * BANKS + (distinct >> 5) % BANKS
    banks, waiting = np.unique(bank, return_counts=True)
    starts = np.flatnonzero(np.r_[True, np.diff(banks // BANKS) != 0])
    passes = np.maximum.reduceat(waiting, starts)
    return Passes(np.unique(access.columns // 32).size, int(passes.sum()), starts.size)
