"""Atomic updates: each thread reads and writes before the next one does.

Hardware promises no order among the threads; here it is that of their numbers.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minitransformer.emulator.accesses import Reference
from minitransformer.emulator.active import Active
from minitransformer.emulator.program import Array, Instruction, UnsupportedError

if TYPE_CHECKING:
    from minitransformer.emulator.machine import Machine

_UPDATES: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "exch": lambda old, new: new,
    "inc": lambda old, limit: np.where(old >= limit, 0, old + 1),
    "dec": lambda old, limit: np.where((old == 0) | (old > limit), limit, old - 1),
    "cas": lambda old, expected, new: np.where(old == expected, new, old),
}


def step(machine: "Machine", instruction: Instruction) -> Callable[[Active], None]:
    """An ``atom``, which returns the value before the update, or a ``red``, which does not."""
    operands = list(instruction.operands)
    returned = str(operands.pop(0)) if instruction.opcode == "atom" else "_"
    reference = Reference(machine, instruction, operands.pop(0))
    name = next((word for word in instruction.modifiers if word in _UPDATES), None)
    if name is None:
        raise UnsupportedError("this update is not known")
    update, kind = _UPDATES[name], instruction.modifiers[-1]
    sources = [machine.source(str(operand), kind) for operand in operands]
    target = None if returned == "_" else machine.registers.destination(returned, kind)

    def transfer(active: Active, view: Array, index: Array) -> None:
        values = [active.of(row) for row in sources]
        before = np.empty(index.size, view.dtype)
        for turn in turns(index):
            place = index[turn]
            before[turn] = view[place]
            view[place] = update(before[turn], *(value[turn] for value in values))
        if target is not None:
            target[active.indices] = before

    return lambda active: reference.visit(active, transfer)


def turns(index: Array) -> list[Array]:
    """Cut accesses into turns in which no place occurs twice, each place in the given order.

    Examples
    --------
    >>> turns(np.array([7, 5, 7, 7]))
    [array([0, 1]), array([2]), array([3])]
    """
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    begins = np.r_[True, ordered[1:] != ordered[:-1]]
    first = np.maximum.accumulate(np.where(begins, np.arange(index.size), 0))
    turn = np.arange(index.size) - first  # how many before it touch the same place
    by_turn = np.argsort(turn, kind="stable")
    cuts = np.searchsorted(turn[by_turn], np.arange(1, int(turn.max()) + 1))
    return [np.sort(part) for part in np.split(order[by_turn], cuts)]
