"""Watching kernels: everything that does not depend on the clock, for each kernel of a run."""

from dataclasses import dataclass, field

from minitransformer.emulator.observers import (
    BarrierDivergence,
    Bug,
    BugFinder,
    DataRaces,
    Divergence,
    GlobalTraffic,
    InstructionMix,
    Observer,
    SharedBanks,
    UninitialisedReads,
)
from minitransformer.emulator.observers.traffic import SECTOR


@dataclass
class Measurement:
    """What the observers of one kernel saw."""

    traffic: GlobalTraffic = field(default_factory=GlobalTraffic)
    banks: SharedBanks = field(default_factory=SharedBanks)
    divergence: Divergence = field(default_factory=Divergence)
    mix: InstructionMix = field(default_factory=InstructionMix)
    finders: tuple[BugFinder, ...] = field(
        default_factory=lambda: (DataRaces(), UninitialisedReads(), BarrierDivergence())
    )

    @property
    def observers(self) -> tuple[Observer, ...]:
        """For :func:`run`."""
        return (self.traffic, self.banks, self.divergence, self.mix, *self.finders)

    @property
    def moved_bytes(self) -> int:
        """Between the warps and global memory, in whole sectors, as if there were no cache."""
        return SECTOR * self.traffic.total().sectors

    @property
    def least_bytes(self) -> int:
        """Each sector that is read once, and each that is written once."""
        return sum(map(self.traffic.distinct_bytes, ("load", "store", "atomic")))

    @property
    def bugs(self) -> list[Bug]:
        """Of all sorts."""
        return [bug for finder in self.finders for bug in finder.bugs]
