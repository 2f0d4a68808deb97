"""Several instructions in one operation on arrays.

Unrolled loops are long runs of one instruction with other registers each time. In a small group of
threads, NumPy spends more time on starting such an operation than on numbers: so a run whose
instructions do not depend on each other is executed as one, on a table with a row for each.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minitransformer.emulator.active import Active
from minitransformer.emulator.arithmetic import Operation, operation
from minitransformer.emulator.program import Array, Instruction, PtxKernel
from minitransformer.emulator.registers import Registers
from minitransformer.emulator.steps import Step

OPCODES = {"fma", "mul", "add", "sub"}
LEAST = 4
"""Instructions that are worth it."""
MOST_NUMBERS = 32768
"""Of a table, so that it stays in the cache."""


def fused_steps(
    kernel: PtxKernel, registers: Registers, threads: int
) -> Iterator[tuple[int, int, Step]]:
    """First and last of the instructions that become one, and what executes them."""
    targets = set(kernel.labels.values())
    at = 0
    while at < len(kernel.code):
        block = kernel.code[at : at + max(MOST_NUMBERS // threads, 1)]
        ends = [i for i in range(1, len(block)) if at + i in targets]
        run = list(_run(block[: ends[0] if ends else None], registers))
        if len(run) >= LEAST:
            yield at, at + len(run), _fused(run, registers)
        at += max(len(run), 1)


def _run(code: Sequence[Instruction], registers: Registers) -> Iterator[Operation]:
    """Operations that are alike, from the first on, as long as none needs what one has written."""
    alike = (code[0].opcode, code[0].modifiers, None)
    written: set[str] = set()
    for step in code:
        if step.opcode not in OPCODES or (step.opcode, step.modifiers, step.guard) != alike:
            return
        work = operation(step)
        used = (*work.inputs, *work.outputs)
        if not all(registers.fits(name, kind) for name, kind in used):
            return
        if written.intersection(name for name, _ in used):
            return
        written.update(name for name, _ in work.outputs)
        yield work


def _fused(operations: Sequence[Operation], registers: Registers) -> Step:
    function = operations[0].function
    tables = [_table(operations, registers, i) for i in range(len(operations[0].inputs))]
    ((_, kind),) = operations[0].outputs
    target, rows = registers.table([work.outputs[0][0] for work in operations], kind)

    def execute(active: Active) -> None:
        values = function(*(table() for table in tables))
        target[rows] = values if active.dense else np.where(active.mask, values, target[rows])

    return execute


def _table(operations: Sequence[Operation], registers: Registers, i: int) -> Callable[[], Any]:
    """Reads the i-th source of every operation."""
    names = [work.inputs[i][0] for work in operations]
    kind = operations[0].inputs[i][1]
    if len(set(names)) == 1:
        row: Array = registers.source(names[0], kind)
        return lambda: row
    block, rows = registers.table(names, kind)
    return lambda: block[rows]
