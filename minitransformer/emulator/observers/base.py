"""What observers are told while a kernel runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minitransformer.emulator.program import Array, Instruction, Location

if TYPE_CHECKING:
    from minitransformer.emulator.active import Active
    from minitransformer.emulator.machine import Machine


@dataclass(frozen=True, slots=True)
class Access:
    """One memory instruction of all threads that execute it together."""

    machine: "Machine"
    instruction: Instruction
    space: str
    """``global``, ``shared`` or ``local``."""
    kind: str
    """``load``, ``store`` or ``atomic``."""
    nbytes: int
    """Bytes that each thread touches."""
    columns: Array
    """The threads: ``column // machine.lanes`` is the block, of those that run together."""
    addresses: Array
    """One for each thread, within its space."""
    places: Array
    """Where in ``memory`` these are: blocks, or threads, with memory of their own lie apart."""
    memory: Array
    """The bytes of the space."""


class Observer:
    """Base class: is told everything, remembers nothing."""

    def begin(self, machine: "Machine") -> None:
        """A group of blocks begins."""

    def executed(self, machine: "Machine", first: int, last: int, active: "Active") -> None:
        """The instructions ``first`` to ``last - 1`` of the kernel were executed."""

    def access(self, access: Access) -> None:
        """Memory was touched; loads are told afterwards, stores and atomics before."""

    def branch(self, machine: "Machine", at: int, taken: "Active", rest: "Active") -> None:
        """A branch sent threads apart: who jumps, who does not."""

    def barrier(self, machine: "Machine", at: int, released: "Active") -> None:
        """All threads of some blocks, or the named lanes of some warps, have met."""

    def end(self, machine: "Machine") -> None:
        """The group of blocks is done."""


@dataclass(frozen=True)
class Bug:
    """A mistake in a kernel that did not stop it."""

    kind: str
    """``data race``, ``uninitialised read`` or ``barrier divergence``."""
    message: str
    """With the threads, blocks and source lines."""
    location: Location

    def __str__(self) -> str:
        return f"{self.location}: {self.kind}: {self.message}"


class BugFinder(Observer):
    """Observer that collects bugs, one of each sort: the same lines do not report twice."""

    def __init__(self) -> None:
        self.bugs: list[Bug] = []
        self._known: set[object] = set()

    def report(self, key: object, bug: Bug) -> None:
        """Add a bug, unless one with the same key is known."""
        if key not in self._known:
            self._known.add(key)
            self.bugs.append(bug)
