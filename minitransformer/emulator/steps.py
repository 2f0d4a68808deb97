"""An instruction as a function of the active threads, with its registers looked up."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minitransformer.emulator.active import Active
from minitransformer.emulator.program import Array

Step = Callable[[Active], None]


def single(function: Callable[..., Any], target: Array, sources: list[Any]) -> Step:
    """All lanes compute, those that are switched on keep the result, as in hardware."""
    is_ufunc = isinstance(function, np.ufunc)

    def execute(active: Active) -> None:
        if active.dense:
            if is_ufunc:
                function(*sources, out=target)
            else:
                target[...] = function(*sources)
        elif active.sparse:
            indices = active.indices
            target[indices] = function(*(row[indices] if row.ndim else row for row in sources))
        else:
            np.copyto(target, function(*sources), where=active.mask)

    return execute


def several(function: Callable[..., Any], targets: list[Array | None], sources: list[Any]) -> Step:
    """For instructions with several results, such as both halves of a register."""

    def execute(active: Active) -> None:
        for target, values in zip(targets, function(*sources), strict=True):
            if target is not None:
                np.copyto(target, values, where=active.mask)

    return execute


def guarded(step: Step, predicate: Array, negated: bool) -> Step:
    """Only for threads whose predicate holds, or does not if it is negated."""

    def execute(active: Active) -> None:
        chosen = active.where(~predicate if negated else predicate)
        if chosen.count:
            step(chosen)

    return execute


def nothing(active: Active) -> None:
    """Do nothing."""
