"""In which order the threads of a group of blocks run.

All threads at one instruction execute it together. Where a branch sends them apart, those at the
earlier instruction go first, until they meet the others again: loops run until the last thread
leaves them. At a barrier a block waits for all its threads, at a warp exchange a warp does.
"""

from collections.abc import Callable

import numpy as np

from minitransformer.emulator import barriers, warps
from minitransformer.emulator.active import Active
from minitransformer.emulator.barriers import BarrierDivergenceError
from minitransformer.emulator.linking import jumps
from minitransformer.emulator.machine import CONTROL, Machine
from minitransformer.emulator.program import Array, EmulationError, Instruction

Handler = Callable[[int, Active], int | None]
"""Executes a control instruction; where all active threads go on together, or None."""


PATIENCE = 10_000
"""Instructions after which a loop is left for a moment, to see whether the limit is reached."""


class Scheduler:
    """Runs a machine from the kernel's first instruction until no thread is left."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        code = machine.kernel.code
        found = [(at, self._handler(instruction)) for at, instruction in enumerate(code)]
        self.handlers: dict[int, Handler] = {at: handler for at, handler in found if handler}
        self.handlers[len(code)] = self._exit
        stops = np.array(sorted(self.handlers))
        self.next_stop = stops[np.searchsorted(stops, np.arange(len(code) + 1))].tolist()
        self.alive: Array = np.zeros_like(machine.exists)
        self.ready: dict[int, Active] = {}
        self.barriers = barriers.BlockBarriers(machine)
        self.at_exchange: dict[int, Active] = {}
        self.somebody_left = False

    def run(self, step_limit: int) -> None:
        """Run all blocks that the machine has taken on.

        Raises
        ------
        EmulationError
            If a group of threads executes more than ``step_limit`` instructions.
        """
        self.alive = self.machine.exists.copy()
        self.ready, self.at_exchange = {0: Active(self.alive.copy())}, {}
        self.barriers.waiting.clear()
        left = step_limit
        while self.ready or self._release():
            at = min(self.ready)
            left -= self._advance(at, self.ready.pop(at))
            if left < 0:
                step = self._instruction(min(self.ready, default=at))
                raise EmulationError(
                    f"no end after {step_limit:,} instructions; threads are still at {step}; is "
                    "there a loop without an end, or one that waits for another block? If not, "
                    "raise step_limit"
                )

    def _advance(self, at: int | None, active: Active) -> int:
        """Run threads until they meet others, or part, or wait; how many instructions that took."""
        others = min(self.ready, default=-1)
        steps, observers, count = self.machine.steps, self.machine.observers, 0
        while at is not None:
            stop = self.next_stop[at]
            if at < others < stop:
                stop = others
            for step in steps[at:stop]:
                step(active)
            count += stop - at + 1
            control = stop != others and stop < len(steps)
            for observer in observers:
                observer.executed(self.machine, at, stop + control, active)
            at = stop
            if at == others:
                break
            at = self.handlers[at](at, active)
            if at is not None and (at >= others >= 0 or count > PATIENCE):
                break
        if at is not None:
            self._add(self.ready, at, active)
        return count

    def _add(self, places: dict[int, Active], at: int, active: Active) -> None:
        if active.count:
            places[at] = places[at].joined(active) if at in places else active

    def _instruction(self, at: int) -> Instruction:
        code = self.machine.kernel.code
        return code[min(at, len(code) - 1)]

    def _handler(self, instruction: Instruction) -> Handler | None:
        opcode, words = instruction.opcode, instruction.modifiers
        if opcode == "bra":
            return self._branch(instruction)
        if opcode in ("ret", "exit"):
            handler: Handler = self._exit
        elif opcode == "brx":
            handler = self._branch_by_table(instruction)
        elif opcode == "bar" and words[0] == "warp":
            handler = self._exchange(instruction)
        elif opcode in CONTROL:
            barriers.require_whole_block(instruction)
            handler = self._wait
        elif warps.members(instruction):
            return self._exchange(instruction)  # its step knows of its guard
        else:
            return None
        return self._guarded(handler, instruction)

    def _guarded(self, handler: Handler, instruction: Instruction) -> Handler:
        if instruction.guard is None:
            return handler
        predicate, negated = self.machine.guard(instruction.guard)

        def execute(at: int, active: Active) -> int | None:
            chosen = active.where(predicate != negated)
            self._add(self.ready, at + 1, active.where(~chosen.mask))
            after = handler(at, chosen) if chosen.count else None
            if after is not None:
                self._add(self.ready, after, chosen)
            return None

        return execute

    def _branch(self, instruction: Instruction) -> Handler:
        target = self.machine.kernel.labels[str(instruction.operands[0])]
        if instruction.guard is None:
            return lambda at, active: target
        predicate, negated = self.machine.guard(instruction.guard)

        def execute(at: int, active: Active) -> int | None:
            jumps = predicate != negated
            taken = jumps if active.dense else jumps & active.mask
            count = int(np.count_nonzero(taken))
            if count == active.count:
                return target
            if count == 0:
                return at + 1
            jump, rest = Active(taken.copy()), active.where(~taken)
            for observer in self.machine.observers:
                observer.branch(self.machine, at, jump, rest)
            self._add(self.ready, target, jump)
            self._add(self.ready, at + 1, rest)
            return None

        return execute

    def _branch_by_table(self, instruction: Instruction) -> Handler:
        """``brx.idx``: each thread jumps to the label of its index."""
        machine = self.machine
        targets = [machine.kernel.labels[name] for name in jumps(instruction)]
        numbers = machine.source(str(instruction.operands[0]), "u32")

        def execute(at: int, active: Active) -> None:
            chosen = np.broadcast_to(numbers, active.mask.shape)
            if (active.of(chosen) >= len(targets)).any():
                raise EmulationError(f"{instruction} jumps beyond its {len(targets)} labels")
            for number in np.unique(active.of(chosen)).tolist():
                jump, active = active.where(chosen == number), active.where(chosen != number)
                self._add(self.ready, targets[number], jump)
                for observer in machine.observers if active.count else ():
                    observer.branch(machine, at, jump, active)

        return execute

    def _exit(self, at: int, active: Active) -> None:
        self.alive &= ~active.mask
        self.somebody_left = True

    def _wait(self, at: int, active: Active) -> int | None:
        if active.count == np.count_nonzero(self.alive):
            self.barriers.finish(at, active)
            return at + 1
        self._add(self.barriers.waiting, at, active)
        return None

    def _release(self) -> bool:
        """Let those blocks go on whose threads have all come to the barrier; false if none are."""
        for at, active in self.barriers.release(self.alive).items():
            self._add(self.ready, at + 1, active)
        if not self.ready and self.somebody_left:  # and is not waited for any more
            self.ready, self.at_exchange, self.somebody_left = self.at_exchange, {}, False
        if not self.ready and self.at_exchange:
            at, active = next(iter(self.at_exchange.items()))
            raise BarrierDivergenceError(
                f"{self.machine.place(int(active.indices[0]))} waits for other lanes of its warp "
                f"that never come to {self._instruction(at)}"
            )
        return bool(self.ready)

    def _tell(self, instruction: Instruction, at: int, active: Active) -> None:
        """``syncwarp`` orders memory; the exchanges of values do not."""
        if instruction.opcode == "bar":
            for observer in self.machine.observers:
                observer.barrier(self.machine, at, active)

    def _exchange(self, instruction: Instruction) -> Handler:
        """Waits until all lanes that the instruction names, and that are left, have come."""
        machine = self.machine
        named = machine.source(str(warps.members(instruction)), "b32")
        lane = machine.special["%laneid"]

        def execute(at: int, active: Active) -> int | None:
            if not active.dense and active.count < np.count_nonzero(self.alive):
                if at in self.at_exchange:
                    active = active.joined(self.at_exchange.pop(at))
                rows = np.broadcast_to(named, active.mask.shape)
                wanted = np.bitwise_or.reduceat(
                    np.where(active.mask, rows, 0), np.arange(0, rows.size, warps.WARP)
                )
                needed = (np.repeat(wanted, warps.WARP) >> lane & 1).astype(bool) & self.alive
                missing = (needed & ~active.mask).reshape(-1, warps.WARP).any(1)
                complete = np.repeat(~missing, warps.WARP)
                self._add(self.at_exchange, at, active.where(~complete))
                ready = active.where(complete)
            else:
                ready = active
            if ready.count:
                machine.steps[at](ready)
                self._tell(instruction, at, ready)
            if ready is active:
                return at + 1
            self._add(self.ready, at + 1, ready)
            return None

        return execute
