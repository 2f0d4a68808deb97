"""Memory of the device: bytes with addresses, and who owns which of them."""

import bisect
from typing import Any

import numpy as np
import numpy.typing as npt

from minitransformer.emulator.program import Array, Variable

PAGE = 256
"""Allocations begin at multiples of this, with at least as many bytes of nobody's between them."""
POISON = np.uint32(0xFFF5C3A9)
"""What every word of memory holds before it is written: a NaN that no computation gives."""


class Regions:
    """Ranges of addresses that may be touched, in ascending order."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.sizes: list[int] = []
        self.names: list[str] = []

    def add(self, start: int, size: int, name: str) -> None:
        """Allow a range."""
        place = bisect.bisect(self.starts, start)
        self.starts.insert(place, start)
        self.sizes.insert(place, size)
        self.names.insert(place, name)

    def remove(self, start: int) -> None:
        """Forbid the range that begins at ``start``."""
        place = self.starts.index(start)
        del self.starts[place], self.sizes[place], self.names[place]

    def find(self, address: int) -> tuple[int, int]:
        """Start and size of the range before the address; a range of nothing if there is none."""
        place = bisect.bisect(self.starts, address) - 1
        return (self.starts[place], self.sizes[place]) if place >= 0 else (0, 0)

    def outside(self, addresses: Array, nbytes: int) -> Array:
        """Which accesses of ``nbytes`` bytes touch what belongs to no range."""
        starts, sizes = np.array([0, *self.starts]), np.array([0, *self.sizes])
        place = np.searchsorted(starts, addresses, "right") - 1
        ends = (starts + sizes)[np.maximum(place, 0)]
        wrong: Array = (addresses < 0) | (addresses + nbytes > ends)
        return wrong

    def nearest(self, address: int) -> str:
        """What lies around an address, in words."""
        distances = [
            max(start - address, address - start - size, 0)
            for start, size in zip(self.starts, self.sizes, strict=True)
        ]
        if not distances:
            return "there is none at all"
        i = int(np.argmin(distances))
        start, size = self.starts[i], self.sizes[i]
        if address < start:
            gap = f"{start - address} bytes before"
        elif address >= start + size:
            gap = f"{address - start - size} bytes behind the end of"
        else:
            gap = "across the end of"
        return f"{gap} {self.names[i]} of {size} bytes at {start:#x}"


class GlobalMemory:
    """The memory that all threads of a device share, and that the host fills and reads.

    Examples
    --------
    >>> memory = GlobalMemory()
    >>> address = memory.allocate(12)
    >>> memory.write(address, np.arange(3, dtype=np.float32))
    >>> memory.read(address, np.float32, 3)
    array([0., 1., 2.], dtype=float32)
    """

    def __init__(self) -> None:
        self.regions = Regions()
        self.bytes: Array = _unwritten(1 << 20)
        self.views: dict[np.dtype[Any], Array] = {}
        self._variables: dict[Variable, int] = {}

    def allocate(self, nbytes: int, name: str = "an allocation") -> int:
        """Address of ``nbytes`` new bytes; an access outside them is an error.

        Parameters
        ----------
        nbytes
            At least 0.
        name
            For messages.
        """
        if nbytes < 0:
            raise ValueError(f"allocate: nbytes is {nbytes}, expected at least 0")
        start = self._gap(nbytes)
        if start + _padded(nbytes) > self.bytes.size:
            larger = _unwritten(2 * (start + _padded(nbytes)))
            larger[: self.bytes.size] = self.bytes
            self.bytes = larger
            self.views.clear()
        self.regions.add(start, nbytes, name)
        self.poison(start)
        return start

    def poison(self, address: int) -> None:
        """Make the allocation at an address as if nobody had ever written to it."""
        start, size = self.regions.find(address)
        self.bytes[start : start + _padded(size)].view(np.uint32)[...] = POISON

    def _gap(self, nbytes: int) -> int:
        """The first hole between allocations that is large enough, red zones included."""
        needed = _padded(nbytes)
        place = 16 * PAGE  # the first addresses belong to null pointers
        for start, size in zip(self.regions.starts, self.regions.sizes, strict=True):
            if start - place >= needed:
                break
            place = start + _padded(size)
        return place

    def free(self, address: int) -> None:
        """Give an allocation back; to touch it afterwards is an error.

        Raises
        ------
        ValueError
            If none begins there.
        """
        if address not in self.regions.starts:
            raise ValueError(f"free: {address:#x} is not the address of an allocation")
        self.regions.remove(address)

    def write(self, address: int, array: npt.ArrayLike) -> None:
        """Copy an array of the host to an address, in C order.

        Raises
        ------
        IndexError
            If the bytes are not all of one allocation.
        """
        values = np.ascontiguousarray(array)
        self._require("write", address, values.nbytes)
        self.bytes[address : address + values.nbytes] = values.reshape(-1).view(np.uint8)

    def read(self, address: int, dtype: npt.DTypeLike, count: int) -> Array:
        """Copy ``count`` values at an address to the host.

        Raises
        ------
        IndexError
            If the bytes are not all of one allocation.
        """
        nbytes = np.dtype(dtype).itemsize * count
        self._require("read", address, nbytes)
        return self.bytes[address : address + nbytes].copy().view(dtype)

    def view(self, dtype: np.dtype[Any]) -> Array:
        """All bytes as values of one type; valid until the next allocation."""
        if dtype not in self.views:
            self.views[dtype] = self.bytes.view(dtype)
        return self.views[dtype]

    def address_of(self, variable: Variable) -> int:
        """Where a variable of a module lives; at its first use it gets its initial values."""
        if variable not in self._variables:
            address = self.allocate(variable.nbytes, variable.name)
            self.write(address, np.zeros(variable.nbytes, np.uint8))
            self.write(address, np.frombuffer(variable.values, np.uint8))
            self._variables[variable] = address
        return self._variables[variable]

    def _require(self, what: str, address: int, nbytes: int) -> None:
        start, size = self.regions.find(address)
        if nbytes and not start <= address <= address + nbytes <= start + size:
            raise IndexError(
                f"{what}: {nbytes} bytes at {address:#x} are not within one allocation; the "
                f"address is {self.regions.nearest(address)}"
            )


def _unwritten(nbytes: int) -> Array:
    return np.full(-(-nbytes // PAGE) * PAGE // 4, POISON).view(np.uint8)


def _padded(nbytes: int) -> int:
    return -(-nbytes // PAGE) * PAGE + PAGE


def lay_out(variables: list[Variable]) -> tuple[Regions, dict[str, int], int]:
    """Addresses of the variables of a block or thread.

    Each lies at the bank where hardware has it too, with nobody's bytes behind it.

    Returns
    -------
    tuple
        The allowed ranges, the address of each variable, and the bytes in all.
    """
    regions, addresses, end = Regions(), {}, 0
    for i, variable in enumerate(variables):
        end = -(-end // variable.align) * variable.align
        addresses[variable.name] = end + i * PAGE
        regions.add(end + i * PAGE, variable.nbytes, variable.name)
        end += variable.nbytes
    total = end + len(variables) * PAGE
    return regions, addresses, -(-total // 16) * 16
