"""Times of functions that take turns."""

import time
from collections.abc import Callable, Sequence

TURNS = 6
TURN = 0.08
"""Seconds of a turn, in whole calls, at least one."""
REST = 0.15
"""Seconds before a turn. Threads that have run out of work look for more before they go to sleep,
and hold the core that another pool's threads need. After 0.04 seconds those of OpenBLAS still cost
flash attention a third of its speed; after 0.15, nothing."""


def take_turns(functions: Sequence[Callable[[], object]], turns: int = TURNS) -> list[list[float]]:
    """Time functions in turns, so that whatever slows the machine for a while slows them all.

    Returns
    -------
    Seconds of every call, for each function.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(turns):
        for function, times in zip(functions, seconds, strict=True):
            time.sleep(REST)
            end = time.perf_counter() + TURN
            while True:
                began = time.perf_counter()
                function()
                times.append(time.perf_counter() - began)
                if began + times[-1] >= end:
                    break
    return seconds
