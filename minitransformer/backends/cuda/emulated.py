"""The emulator as a device: the PTX that a GPU would run is executed here, step by step.

Nothing is pretended but the clock: it is the compiler's own output, with its registers, its shared
memory and its rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import config

from minitransformer import toolchain
from minitransformer.backends.cuda.arrays import DeviceArray
from minitransformer.backends.cuda.device import Triple
from minitransformer.emulator import GlobalMemory, Observer, PtxKernel, parse, run
from minitransformer.errors import InputError

if TYPE_CHECKING:
    from minitransformer.backends.cuda.kernel import DeviceKernel


class EmulatedDevice:
    """The emulator's global memory, and the kernels that it has parsed."""

    name = "emulated"
    granularity = 1  # what reads beyond an array's last byte is found

    def __init__(self) -> None:
        self.memory = GlobalMemory()
        self._parsed: dict[DeviceKernel, PtxKernel] = {}
        self.watch: Callable[[DeviceKernel, Triple, Triple], Sequence[Observer]] | None = None
        """Called before a launch; the observers that it returns are told what happens."""

    def allocate(self, size: int) -> int:
        return self.memory.allocate(size)  # filled with NaN

    def forget(self, memory: int) -> None:
        self.memory.poison(memory)

    def free(self, memory: int) -> None:
        self.memory.free(memory)

    def upload(self, array: np.ndarray, memory: int, offset: int) -> None:
        self.memory.write(memory + offset, array)

    def download(self, memory: int, offset: int, array: np.ndarray) -> None:
        array.reshape(-1)[...] = self.memory.read(memory + offset, array.dtype, array.size)

    def launch(
        self, kernel: "DeviceKernel", grid: Triple, block: Triple, arguments: tuple[Any, ...]
    ) -> None:
        if kernel not in self._parsed:
            (self._parsed[kernel],) = parse(kernel.ptx()).kernels.values()
        parameters = [number for each in arguments for number in flattened(each)]
        observers = self.watch(kernel, grid, block) if self.watch else ()
        run(self._parsed[kernel], grid, block, parameters, self.memory, observers)


def flattened(argument: Any) -> Iterator[Any]:
    """Yield what Numba passes for an argument: an array of n axes is 5 + 2 n numbers.

    These are two that Python's own arrays have a use for, the number of elements, the bytes of one,
    the address, the shape, and the strides in bytes.
    """
    if not isinstance(argument, DeviceArray):
        yield argument
        return
    itemsize = argument.storage.itemsize
    yield from (0, 0, argument.size, itemsize, argument.block.memory + argument.offset)
    yield from argument.shape
    stride, strides = itemsize, []
    for size in reversed(argument.shape):
        strides.append(stride)
        stride *= size
    yield from reversed(strides)


def start() -> EmulatedDevice:
    """Check that there is a compiler, and that it was not replaced by the simulator."""
    if config.ENABLE_CUDASIM:
        raise InputError(
            "the device 'emulated' needs the compiler, which NUMBA_ENABLE_CUDASIM=1 replaces: "
            "remove it from the environment"
        )
    toolchain.require(toolchain.compiler_complaint())
    return EmulatedDevice()
