"""Reads of memory that nobody has written."""

import numpy as np

from minitransformer.emulator.memory import POISON
from minitransformer.emulator.observers.base import Access, Bug, BugFinder


class UninitialisedReads(BugFinder):
    """Finds loads of words that still hold what memory holds before it is written.

    That pattern is a NaN with a payload that no computation gives.
    """

    def access(self, access: Access) -> None:
        """Look at the words that a load has read."""
        if access.kind == "store":
            return
        words = access.memory.view(np.uint32)
        first = access.places // 4
        unwritten = np.zeros(first.size, np.bool_)
        for i in range(max(access.nbytes // 4, 1)):
            unwritten |= words[first + i] == POISON
        if unwritten.any():
            i = int(np.argmax(unwritten))
            where = access.machine.place(int(access.columns[i]))
            self.report(
                access.instruction,
                Bug(
                    "uninitialised read",
                    f"{where} reads {access.space} memory at {int(access.addresses[i]):#x} that "
                    "nobody has written",
                    access.instruction.location,
                ),
            )
