"""The register file: a row of bits for each register, a column for each thread."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minitransformer.emulator.program import DTYPES, Array, size_of


class Registers:
    """All registers of the threads that run at the same time.

    A register is a bag of bits. Each instruction sees it as the type that it names: a float32 and
    an unsigned integer are two views of one row.
    """

    def __init__(self, types: Mapping[str, str], threads: int) -> None:
        sizes = {name: 0 if kind == "pred" else size_of(kind) for name, kind in types.items()}
        self._rows: dict[str, Array] = {}
        self._blocks: dict[str, tuple[Array, int]] = {}
        for size in sorted(set(sizes.values())):
            names = [name for name in types if sizes[name] == size]
            block = np.zeros((len(names), threads), f"u{size}" if size else np.bool_)
            self._rows.update(zip(names, block, strict=True))
            self._blocks.update((name, (block, i)) for i, name in enumerate(names))

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def fits(self, name: str, kind: str) -> bool:
        """Whether this is a register as wide as a type."""
        return name in self._rows and self._rows[name].dtype.itemsize == size_of(kind)

    def source(self, name: str, kind: str) -> Array:
        """The row of a register as a type, which may be narrower: then its low bits."""
        row, dtype = self._rows[name], np.dtype(DTYPES[kind])
        narrow = row.dtype.itemsize // dtype.itemsize
        return row.view(dtype)[::narrow] if narrow > 1 else row.view(dtype)

    def destination(self, name: str, kind: str) -> Array:
        """The row to write a type to; in a wider register its sign fills the upper bits."""
        row, dtype = self._rows[name], np.dtype(DTYPES[kind])
        if row.dtype.itemsize > dtype.itemsize and dtype.kind in "iu":
            return row.view(f"{dtype.kind}{row.dtype.itemsize}")
        return row.view(dtype)[:: row.dtype.itemsize // dtype.itemsize]

    def table(self, names: Sequence[str], kind: str) -> tuple[Array, Any]:
        """All registers of one width, as a type, and which of its rows those of the names are."""
        block, first = self._blocks[names[0]]
        rows = [self._blocks[name][1] for name in names]
        run = list(range(first, first + len(rows)))
        return block.view(DTYPES[kind]), slice(first, first + len(rows)) if rows == run else rows

    def address(self, name: str) -> Array:
        """The row of a register of 32 or 64 bits as an address."""
        row = self._rows[name]
        return row.view(np.int64) if row.dtype.itemsize == 8 else row.view(np.uint32)


def special_registers(
    block: tuple[int, int, int], grid: tuple[int, int, int], lanes: int, blocks: int
) -> dict[str, Array]:
    """What a thread can read about its place; ``%ctaid`` is filled in for each group of blocks.

    Parameters
    ----------
    block, grid
        Threads of a block and blocks of the grid, along x, y, z.
    lanes
        Threads of a block, rounded up to whole warps.
    blocks
        That run at the same time.
    """
    thread = np.tile(np.arange(lanes, dtype=np.uint32), blocks)
    lane = thread % 32
    one = np.uint32(1)
    below = (one << lane) - one
    rows = {"%laneid": lane, "%warpid": thread // 32, "%nwarpid": np.full_like(lane, lanes // 32)}
    rows |= {
        "%lanemask_eq": one << lane,
        "%lanemask_lt": below,
        "%lanemask_le": below | one << lane,
        "%lanemask_gt": ~(below | one << lane),
        "%lanemask_ge": ~below,
    }
    inner = 1
    for axis, size, count in zip("xyz", block, grid, strict=True):
        rows[f"%tid.{axis}"] = thread // np.uint32(inner) % np.uint32(size)
        rows[f"%ntid.{axis}"] = np.full_like(thread, size)
        rows[f"%nctaid.{axis}"] = np.full_like(thread, count)
        rows[f"%ctaid.{axis}"] = np.zeros_like(thread)
        inner *= size
    return rows


def used_registers(types: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Only those registers that some instruction names, in the order of first use."""
    return {name: types[name] for name in dict.fromkeys(names) if name in types}
