"""Counting once what comes again: unrolled code repeats one pattern of addresses, moved along."""

from collections.abc import Callable
from typing import Generic, TypeVar

from minitransformer.emulator.observers.base import Access
from minitransformer.emulator.program import Array

Counted = TypeVar("Counted")
KEPT = 64


class Patterns(Generic[Counted]):
    """Remembers what was counted for a pattern of addresses.

    Parameters
    ----------
    count
        Of threads, their addresses and the access; moving all addresses by ``period`` bytes must
        not change it.
    period
        Bytes.
    """

    def __init__(self, count: Callable[[Access, Array], Counted], period: int) -> None:
        self._count, self._period = count, period
        self._known: dict[tuple[object, ...], Counted] = {}

    def __call__(self, access: Access) -> Counted:
        """Look the pattern of an access up, or count it."""
        start = access.addresses.min() // self._period * self._period
        addresses = access.addresses - start
        threads = access.columns.tobytes()
        key = (addresses.tobytes(), threads, access.nbytes, access.kind)
        if key not in self._known:
            if len(self._known) == KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = self._count(access, addresses)
        return self._known[key]
