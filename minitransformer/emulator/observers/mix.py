"""Instruction mix: what is executed, and how often; also within the loop that matters."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from minitransformer.emulator.observers.base import Observer
from minitransformer.emulator.program import Array, Instruction, PtxKernel

if TYPE_CHECKING:
    from minitransformer.emulator.active import Active
    from minitransformer.emulator.machine import Machine

_FLOAT = ("f16", "f32", "f64")
_ARITHMETIC = {"add", "sub", "mul", "div", "min", "max", "neg", "abs"}
_SPECIAL = {"sqrt", "rcp", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh"}
_WARP = {"shfl", "vote", "match", "activemask", "redux"}


def category(instruction: Instruction) -> str:
    """What an instruction is for: one of a dozen words."""
    opcode, words = instruction.opcode, instruction.modifiers
    if opcode in ("ld", "ldu", "st", "atom", "red"):
        space = next((w for w in words if w in ("global", "shared", "local", "param")), "generic")
        return f"{space} {'load' if opcode in ('ld', 'ldu') else 'store'}"
    is_float = bool(words) and words[-1] in _FLOAT
    for name, belongs in (
        ("fma", opcode in ("fma", "mad") and is_float),
        ("float", opcode in _ARITHMETIC and is_float),
        ("special", opcode in _SPECIAL),
        ("branch", opcode in ("bra", "ret", "exit")),
        ("barrier", opcode in ("bar", "barrier")),
        ("warp exchange", opcode in _WARP),
        ("conversion", opcode == "cvt"),
        ("move", opcode in ("mov", "cvta")),
        ("compare", opcode in ("setp", "selp", "set", "slct")),
    ):
        if belongs:
            return name
    return "integer"


def flops(instruction: Instruction) -> int:
    """Floating-point operations of one thread: a fused multiply-add counts as two."""
    return {"fma": 2, "float": 1, "special": 1}.get(category(instruction), 0)


class InstructionMix(Observer):
    """Counts executions of every instruction, by threads and by warps."""

    def __init__(self) -> None:
        self.kernel: PtxKernel | None = None
        self.by_threads: Array = np.zeros(0, np.int64)
        self.by_warps: Array = np.zeros(0, np.int64)

    def begin(self, machine: "Machine") -> None:
        """Make room for the kernel's instructions."""
        if self.kernel is not machine.kernel:
            self.kernel = machine.kernel
            self.by_threads = np.zeros(len(machine.kernel.code), np.int64)
            self.by_warps = np.zeros_like(self.by_threads)

    def executed(self, machine: "Machine", first: int, last: int, active: "Active") -> None:
        """Count a stretch of code."""
        self.by_threads[first:last] += active.count
        self.by_warps[first:last] += active.warps

    @property
    def code(self) -> tuple[Instruction, ...]:
        """Instructions of the kernel that was observed."""
        return self.kernel.code if self.kernel else ()

    @property
    def flops(self) -> int:
        """Floating-point operations of all threads."""
        return int(np.dot([flops(step) for step in self.code], self.by_threads))

    @property
    def lane_efficiency(self) -> float:
        """The part of a warp's 32 lanes that is switched on, on average."""
        return float(self.by_threads.sum() / max(32 * self.by_warps.sum(), 1))

    def counts(self, first: int = 0, last: int | None = None) -> Counter[str]:
        """Executions by warps, by category, of a part of the code."""
        counted: Counter[str] = Counter()
        stop = len(self.code) if last is None else last
        for step, times in zip(self.code[first:stop], self.by_warps[first:stop], strict=True):
            counted[category(step)] += int(times)
        return counted

    def inner_loop(self) -> tuple[int, int] | None:
        """The innermost loop that executes most: its first instruction and the one behind it."""
        loops = _loops(self.code, self.kernel.labels if self.kernel else {})
        inner = [a for a in loops if not any(_within(b, a) for b in loops if b != a)]
        return max(inner, key=lambda loop: self.by_warps[slice(*loop)].sum(), default=None)

    def inner_share(self, name: str) -> float:
        """The part of the inner loop's executions that is of a category; 0 without a loop."""
        loop = self.inner_loop()
        counted = self.counts(*loop) if loop else Counter()
        return counted[name] / max(counted.total(), 1)


def _loops(code: tuple[Instruction, ...], labels: dict[str, int]) -> set[tuple[int, int]]:
    """Every branch backwards closes one."""
    jumps = [(labels[str(i.operands[0])], at + 1) for at, i in enumerate(code) if i.opcode == "bra"]
    return {(first, last) for first, last in jumps if first < last}


def _within(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
