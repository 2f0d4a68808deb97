"""Divergence: branches that send threads of one warp different ways."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from minitransformer.emulator.observers.base import Observer
from minitransformer.emulator.program import Instruction

if TYPE_CHECKING:
    from minitransformer.emulator.active import Active
    from minitransformer.emulator.machine import Machine


class Divergence(Observer):
    """Counts how often warps come to a conditional branch, and how often they part there."""

    def __init__(self) -> None:
        self.branches: Counter[Instruction] = Counter()
        self.divergent: Counter[Instruction] = Counter()

    def executed(self, machine: "Machine", first: int, last: int, active: "Active") -> None:
        """Count the warps at a branch, which ends every stretch of code."""
        instruction = machine.kernel.code[last - 1] if last > first else None
        if instruction and instruction.opcode == "bra" and instruction.guard:
            self.branches[instruction] += active.warps

    def branch(self, machine: "Machine", at: int, taken: "Active", rest: "Active") -> None:
        """Count the warps with threads on both sides."""
        sides = [active.mask.reshape(-1, 32).any(1) for active in (taken, rest)]
        count = int(np.count_nonzero(sides[0] & sides[1]))
        if count:
            self.divergent[machine.kernel.code[at]] += count

    @property
    def rate(self) -> float:
        """The part of the branches at which a warp parts."""
        return self.divergent.total() / max(self.branches.total(), 1)
