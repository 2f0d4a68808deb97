"""A GPU from NVIDIA as the device, by way of Numba."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import config, cuda
from numba.np.numpy_support import as_dtype

from minitransformer import toolchain
from minitransformer.backends.cuda.arrays import DeviceArray
from minitransformer.backends.cuda.device import Triple
from minitransformer.errors import InputError

if TYPE_CHECKING:
    from minitransformer.backends.cuda.kernel import DeviceKernel


class View:
    """An array of the device as Numba and others see it: an address, a shape and a type."""

    def __init__(self, array: DeviceArray) -> None:
        start, _ = array.block.memory.__cuda_array_interface__["data"]
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.storage.str,
            "data": (start + array.offset if array.size else 0, False),
            "strides": None,
            "version": 3,
        }


class GpuDevice:
    """One GPU. Kernels and copies go into one queue, and are done in its order."""

    name = "gpu"
    granularity = 512  # bytes; what CUDA aligns memory to

    def __init__(self) -> None:
        config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small models are small kernels
        self._compiled: dict[DeviceKernel, Any] = {}

    def allocate(self, size: int) -> Any:
        try:
            return cuda.device_array(size, np.uint8)
        except Exception as error:  # the driver's own kind of error
            if "OUT_OF_MEMORY" not in str(error):
                raise
            raise MemoryError(f"the GPU has no room for {size} bytes more") from error

    def forget(self, memory: Any) -> None:
        """Nothing: that would be a pass through memory."""

    def free(self, memory: Any) -> None:
        """Numba gives it back when nobody holds it."""

    def upload(self, array: np.ndarray, memory: Any, offset: int) -> None:
        bytes_ = array.reshape(-1).view(np.uint8)
        memory[offset : offset + bytes_.size].copy_to_device(bytes_)

    def download(self, memory: Any, offset: int, array: np.ndarray) -> None:
        bytes_ = array.reshape(-1).view(np.uint8)
        memory[offset : offset + bytes_.size].copy_to_host(bytes_)

    def launch(
        self, kernel: "DeviceKernel", grid: Triple, block: Triple, arguments: tuple[Any, ...]
    ) -> None:
        if kernel not in self._compiled:
            signature = f"void({kernel.signature})"
            jit = cuda.jit(signature, lineinfo=True, launch_bounds=kernel.bounds)
            self._compiled[kernel] = jit(kernel.function)
        own = [
            View(each) if isinstance(each, DeviceArray) else as_dtype(kind).type(each)
            for each, kind in zip(arguments, kernel.types, strict=True)
        ]
        self._compiled[kernel][grid, block](*own)


def start() -> GpuDevice:
    """Check that compiler, driver and GPU are there and fit together."""
    if config.ENABLE_CUDASIM:
        raise InputError(
            "the device 'gpu' needs the compiler, which NUMBA_ENABLE_CUDASIM=1 replaces: remove it "
            "from the environment, or choose the device 'simulated'"
        )
    toolchain.require(toolchain.compiler_complaint(), toolchain.driver_complaint())
    return GpuDevice()
