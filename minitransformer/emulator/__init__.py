"""A GPU in NumPy: runs PTX, the assembly language of NVIDIA GPUs, and sees what it does.

The code is what the compiler emits for a real GPU. All threads of a group of blocks execute an
instruction together, as one operation on arrays, so that kernels of realistic size run in seconds.
"""

from minitransformer.emulator.accesses import OutOfBoundsError
from minitransformer.emulator.barriers import BarrierDivergenceError
from minitransformer.emulator.linking import parse
from minitransformer.emulator.memory import GlobalMemory
from minitransformer.emulator.observers.base import Access, Observer
from minitransformer.emulator.program import (
    EmulationError,
    PtxKernel,
    PtxModule,
    UnsupportedError,
)
from minitransformer.emulator.running import run

__all__ = [
    "Access",
    "BarrierDivergenceError",
    "EmulationError",
    "GlobalMemory",
    "Observer",
    "OutOfBoundsError",
    "PtxKernel",
    "PtxModule",
    "UnsupportedError",
    "parse",
    "run",
]
