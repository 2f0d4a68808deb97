"""Barriers: where the threads of a block wait for each other."""

import numpy as np

from minitransformer.emulator.active import Active
from minitransformer.emulator.machine import Machine
from minitransformer.emulator.program import Array, EmulationError, Instruction, UnsupportedError


class BarrierDivergenceError(EmulationError):
    """Threads of one block wait at different barriers, or for a thread that never comes."""


class BlockBarriers:
    """Who waits where. A thread that has returned is not waited for."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.waiting: dict[int, Active] = {}

    def release(self, alive: Array) -> dict[int, Active]:
        """Take those from the waiting whose blocks are complete.

        Raises
        ------
        BarrierDivergenceError
            If threads of one block wait at different barriers.
        """
        machine = self.machine
        waiting = np.zeros_like(alive)
        for active in self.waiting.values():
            waiting |= active.mask
        missing = (alive & ~waiting).reshape(machine.blocks, machine.lanes).any(1)
        complete = np.repeat(~missing, machine.lanes)
        parts = {at: active.where(complete) for at, active in self.waiting.items()}
        released = {at: active for at, active in parts.items() if active.count}
        self._require_one_barrier(released)
        rest = {at: active.where(~complete) for at, active in self.waiting.items()}
        self.waiting = {at: active for at, active in rest.items() if active.count}
        for at, active in released.items():
            self.finish(at, active)
        return released

    def _require_one_barrier(self, released: dict[int, Active]) -> None:
        code = self.machine.kernel.code
        first = np.full(self.machine.blocks, -1)
        for at, active in released.items():
            blocks = np.flatnonzero(active.mask.reshape(first.size, -1).any(1))
            clash = blocks[first[blocks] >= 0]
            if clash.size:
                before = int(first[clash[0]])
                ones, others = (
                    step.indices[self.machine.block_of[step.indices] == clash[0]][0]
                    for step in (released[before], active)
                )
                raise BarrierDivergenceError(
                    f"barrier divergence: {self.machine.place(int(ones))} waits at "
                    f"{code[before].location}, {self.machine.place(int(others))} at "
                    f"{code[at].location}"
                )
            first[blocks] = at

    def finish(self, at: int, active: Active) -> None:
        """Do what is due when all threads of some blocks have met."""
        instruction = self.machine.kernel.code[at]
        if "red" in instruction.modifiers:
            self._reduce(instruction, active)
        for observer in self.machine.observers:
            observer.barrier(self.machine, at, active)

    def _reduce(self, instruction: Instruction, active: Active) -> None:
        """``bar.red``: how many threads of a block, or whether all or any, hold a predicate."""
        machine, kind = self.machine, instruction.modifiers[-1]
        target = machine.registers.destination(str(instruction.operands[0]), kind)
        flag, negated = machine.guard(str(instruction.operands[-1]))
        votes = ((flag != negated) & active.mask).reshape(machine.blocks, machine.lanes)
        idle = ~active.mask.reshape(machine.blocks, machine.lanes)
        results = {
            "popc": lambda: votes.sum(1),
            "or": lambda: votes.any(1),
            "and": lambda: (votes | idle).all(1),
        }
        found = next(results[word] for word in instruction.modifiers if word in results)()
        np.copyto(target, np.repeat(found, machine.lanes), where=active.mask, casting="unsafe")


def require_whole_block(instruction: Instruction) -> None:
    """Refuse barriers for a part of a block: no word of ``numba.cuda`` is one."""
    words = instruction.modifiers
    if "arrive" in words or ("red" not in words and len(instruction.operands) > 1):
        raise UnsupportedError(f"{instruction} is a barrier for a part of a block")
