"""Launching a kernel: the grid is cut into groups of blocks, and these run one after another."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitransformer.emulator.machine import Dimensions, Machine
from minitransformer.emulator.memory import GlobalMemory
from minitransformer.emulator.observers.base import Observer
from minitransformer.emulator.program import PtxKernel
from minitransformer.emulator.scheduling import Scheduler

GROUP = 8192
"""Threads that run at the same time: so few that their registers stay in the cache."""
KEPT = 2 * GROUP
"""Threads whose registers a kernel keeps between launches, in all shapes."""
MAX_THREADS = 1024
MAX_BLOCKS = 65_535
"""Along y and z; along x there may be two billion."""
STEP_LIMIT = 20_000_000


def run(
    kernel: PtxKernel,
    grid: int | Sequence[int],
    block: int | Sequence[int],
    parameters: Sequence[int | float],
    memory: GlobalMemory,
    observers: Sequence[Observer] = (),
    *,
    dynamic_shared: int = 0,
    step_limit: int = STEP_LIMIT,
) -> None:
    """Execute a kernel as a GPU would.

    Parameters
    ----------
    kernel
        From :func:`parse`.
    grid, block
        Blocks of the grid and threads of a block: a number, or up to three, x first.
    parameters
        Numbers in the order of the PTX, addresses included.
    memory
        Where the addresses point into.
    observers
        Are told what happens, such as each access to memory.
    dynamic_shared
        Bytes of shared memory beyond what the kernel declares.
    step_limit
        Instructions that a group of threads may execute.

    Raises
    ------
    EmulationError
        If a thread touches memory that is nobody's, or threads wait in vain for each other, or
        the kernel does not end, or has an instruction outside the subset; names the thread, the
        block and the line of the source.
    ValueError
        If the shape of the launch or the number of parameters is wrong.
    """
    grid, block = _dimensions("grid", grid), _dimensions("block", block)
    threads, blocks = int(np.prod(block)), int(np.prod(grid))
    if threads > MAX_THREADS:
        raise ValueError(f"run: {threads} threads in a block, expected at most {MAX_THREADS}")
    if max(grid[1:]) > MAX_BLOCKS:
        raise ValueError(
            f"run: {max(grid[1:]):,} blocks, expected at most {MAX_BLOCKS:,} along y and z"
        )
    if len(parameters) != len(kernel.parameters):
        raise ValueError(
            f"run: {len(parameters)} parameters, {kernel.name} expects {len(kernel.parameters)}"
        )
    names = (variable.name for variable in kernel.parameters)
    values = dict(zip(names, parameters, strict=True))
    together = _blocks_together(blocks, -(-threads // 32) * 32)
    scheduler = _scheduler(kernel, grid, block, together, dynamic_shared)
    machine = scheduler.machine
    with np.errstate(all="ignore"):
        for first in range(0, blocks, together):
            count = min(together, blocks - first)
            machine.begin(grid, first, count, values, memory, tuple(observers))
            for observer in observers:
                observer.begin(machine)
            scheduler.run(step_limit)
            for observer in observers:
                observer.end(machine)


def _dimensions(name: str, given: int | Sequence[int]) -> Dimensions:
    sizes = (given,) if isinstance(given, int) else tuple(given)
    if not 1 <= len(sizes) <= 3 or any(size < 1 for size in sizes):
        raise ValueError(f"run: {name} is {given}, expected one to three positive numbers")
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z


def _blocks_together(blocks: int, lanes: int) -> int:
    """As many as fit in a group; if possible so that no group has fewer than the others."""
    most = min(blocks, max(1, GROUP // lanes))
    even = next(count for count in range(most, 0, -1) if blocks % count == 0)
    return even if 2 * even > most else most


def _scheduler(
    kernel: PtxKernel, grid: Dimensions, block: Dimensions, blocks: int, dynamic: int
) -> Scheduler:
    """The kernel made ready for this shape; some are kept for the next launches."""
    key = (block, blocks, dynamic)
    kept: dict[Any, Scheduler] = kernel.machines
    if key not in kept:
        kept[key] = Scheduler(Machine(kernel, grid, block, blocks, dynamic))
        while len(kept) > 1 and sum(each.machine.columns for each in kept.values()) > KEPT:
            kept.pop(next(iter(kept)))
    return kept[key]
