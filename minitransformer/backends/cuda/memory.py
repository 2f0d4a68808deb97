"""Device memory that is kept for reuse: training asks for the same sizes in every step.

To reserve memory on a GPU is slow and waits for everything that runs. So blocks that are no longer
used stay here, by size, for the next array of that size.
"""

import weakref
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer.backends.cuda.device import Device


@dataclass
class Counters:
    """What went on between host and device since the start."""

    uploads: int = 0
    uploaded_bytes: int = 0
    downloads: int = 0
    downloaded_bytes: int = 0
    allocations: int = 0
    """Calls to the device for memory, not those that a kept block served."""


class Block:
    """Memory on the device that belongs to whoever holds this; it is given back with the last."""

    def __init__(self, pool: "Pool", memory: Any, size: int) -> None:
        self.pool = pool
        self.memory = memory
        weakref.finalize(self, pool.take_back, memory, size).atexit = False


class Pool:
    """A caching allocator, and the two ways for arrays between host and device.

    Attributes
    ----------
    device : Device
    counters : Counters
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.counters = Counters()
        self._kept: dict[int, list[Any]] = defaultdict(list)

    def block(self, size: int) -> Block:
        """Return so many bytes, whose contents are whatever was there."""
        grain = self.device.granularity
        size = max(-(-size // grain), 1) * grain
        kept = self._kept[size]
        if not kept:
            return Block(self, self._allocate(size), size)
        memory = kept.pop()
        self.device.forget(memory)
        return Block(self, memory, size)

    def _allocate(self, size: int) -> Any:
        self.counters.allocations += 1
        try:
            return self.device.allocate(size)
        except MemoryError:  # what is kept in other sizes may be enough
            self.release()
            return self.device.allocate(size)

    def take_back(self, memory: Any, size: int) -> None:
        """Keep a block that nobody holds."""
        self._kept[size].append(memory)

    def release(self) -> None:
        """Give all blocks that nobody holds back to the device."""
        for blocks in self._kept.values():
            for memory in blocks:
                self.device.free(memory)
        self._kept.clear()

    def upload(self, array: np.ndarray, block: Block, offset: int = 0) -> None:
        """Copy from the host."""
        self.counters.uploads += 1
        self.counters.uploaded_bytes += array.nbytes
        self.device.upload(np.ascontiguousarray(array), block.memory, offset)

    def download(self, block: Block, offset: int, array: np.ndarray) -> None:
        """Copy to the host."""
        self.counters.downloads += 1
        self.counters.downloaded_bytes += array.nbytes
        self.device.download(block.memory, offset, array)
