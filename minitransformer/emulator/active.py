"""Which threads execute an instruction."""

import numpy as np

from minitransformer.emulator.program import Array

SPARSE = 8
"""If fewer than one thread in this many is active, only these are computed."""


class Active:
    """The threads of a group that are at the same instruction: their lanes are switched on."""

    __slots__ = ("_indices", "count", "dense", "mask", "sparse")

    def __init__(self, mask: Array) -> None:
        self.mask = mask
        self.count = int(np.count_nonzero(mask))
        self.dense = self.count == mask.size
        self.sparse = self.count * SPARSE < mask.size
        self._indices: Array | None = None

    @property
    def indices(self) -> Array:
        """Columns of the active threads, ascending."""
        if self._indices is None:
            self._indices = np.flatnonzero(self.mask)
        return self._indices

    @property
    def warps(self) -> int:
        """Warps with at least one active thread."""
        return int(np.count_nonzero(self.mask.reshape(-1, 32).any(1)))

    def where(self, condition: Array) -> "Active":
        """Those of them for which a condition holds."""
        return Active(self.mask & condition)

    def joined(self, other: "Active") -> "Active":
        """These and others."""
        return Active(self.mask | other.mask)

    def of(self, row: Array) -> Array:
        """The values of the active threads; a number stands for one in each."""
        if row.ndim == 0:
            return np.full(self.count, row)
        return row if self.dense else row[self.indices]
