"""Numba's simulator as a device: kernels run as Python, one thread for each of the GPU's.

It finds plain mistakes, in tiny arrays; it is slow, and says nothing about what the compiler makes
of a kernel.
"""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import config, cuda
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

from minitransformer.backends.cuda.arrays import DeviceArray
from minitransformer.backends.cuda.device import Triple
from minitransformer.errors import InputError

if TYPE_CHECKING:
    from minitransformer.backends.cuda.kernel import DeviceKernel

JUNK = 0xFF  # in floats it is NaN: what reads memory that nobody wrote shows


class SimulatedDevice:
    """Host memory that only kernels may touch."""

    name = "simulated"
    granularity = 1

    def allocate(self, size: int) -> np.ndarray:
        return np.full(size, JUNK, np.uint8)

    def free(self, memory: np.ndarray) -> None:
        """Python collects it."""

    def upload(self, array: np.ndarray, memory: np.ndarray, offset: int) -> None:
        memory[offset : offset + array.nbytes] = array.reshape(-1).view(np.uint8)

    def download(self, memory: np.ndarray, offset: int, array: np.ndarray) -> None:
        array.reshape(-1).view(np.uint8)[...] = memory[offset : offset + array.nbytes]

    def launch(
        self, kernel: "DeviceKernel", grid: Triple, block: Triple, arguments: tuple[Any, ...]
    ) -> None:
        own = [_view(each) if isinstance(each, DeviceArray) else each for each in arguments]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a GPU says nothing of infinity
            cuda.jit(kernel.function)[grid, block](*own)


def _view(array: DeviceArray) -> Any:
    stop = array.offset + array.size * array.dtype.itemsize
    memory = array.block.memory[array.offset : stop]
    return FakeCUDAArray(memory.view(array.dtype).reshape(array.shape))


def start() -> SimulatedDevice:
    """Check that Numba was told to simulate."""
    if not config.ENABLE_CUDASIM:
        raise InputError(
            "the device 'simulated' needs NUMBA_ENABLE_CUDASIM=1 in the environment before Python "
            "starts: Numba was imported without it"
        )
    return SimulatedDevice()
