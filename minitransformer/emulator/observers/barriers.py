"""Barriers that not all threads of a block reach."""

from typing import TYPE_CHECKING

import numpy as np

from minitransformer.emulator.observers.base import Bug, BugFinder

if TYPE_CHECKING:
    from minitransformer.emulator.active import Active
    from minitransformer.emulator.machine import Machine


class BarrierDivergence(BugFinder):
    """Finds barriers that threads miss because they have returned.

    Recent GPUs no longer wait for such threads, and the kernel ends as if all were well; older
    ones hang. (Threads that wait at *different* barriers stop the emulation.)
    """

    def barrier(self, machine: "Machine", at: int, released: "Active") -> None:
        """Look for threads that exist but are not there."""
        instruction = machine.kernel.code[at]
        if "warp" in instruction.modifiers:
            return
        blocks = released.mask.reshape(machine.blocks, machine.lanes).any(1)
        missing = machine.exists & ~released.mask & np.repeat(blocks, machine.lanes)
        if missing.any():
            absent = machine.place(int(np.argmax(missing)))
            present = machine.place(int(released.indices[0]))
            self.report(
                at,
                Bug(
                    "barrier divergence",
                    f"{absent} never reaches the barrier at which {present} waits: it has returned",
                    instruction.location,
                ),
            )
