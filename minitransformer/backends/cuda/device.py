"""Devices: what can hold arrays and run kernels, and which of them does."""

import functools
import importlib
import os
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from minitransformer.errors import InputError
from minitransformer.placement import DEVICE_VARIABLE

if TYPE_CHECKING:
    from minitransformer.backends.cuda.kernel import DeviceKernel

Triple: TypeAlias = tuple[int, int, int]
Size: TypeAlias = int | tuple[int, ...]

DEVICES = {
    "gpu": "a GPU from NVIDIA",
    "simulated": "Numba's simulator: kernels run in Python, for tiny arrays",
    "emulated": "kernels are compiled for a GPU and their PTX is executed here",
}


class Device(Protocol):
    """What a device can do; everything else is made of these."""

    name: str
    granularity: int
    """Sizes of allocations are rounded up to a multiple of so many bytes."""

    def allocate(self, size: int) -> Any:
        """Reserve so many bytes, more than 0; what is returned stands for them below."""

    def forget(self, memory: Any) -> None:
        """Treat memory as fresh: where errors are looked for, what it held must not be found."""

    def free(self, memory: Any) -> None:
        """Give back what :meth:`allocate` returned."""

    def upload(self, array: np.ndarray, memory: Any, offset: int) -> None:
        """Copy a contiguous array from the host to a place so many bytes behind the start."""

    def download(self, memory: Any, offset: int, array: np.ndarray) -> None:
        """Copy from the device into a contiguous array of the host, after all kernels' end."""

    def launch(
        self, kernel: "DeviceKernel", grid: Triple, block: Triple, arguments: tuple[Any, ...]
    ) -> None:
        """Run a kernel."""


def device_name() -> str:
    """Name of the device that ``MINITRANSFORMER_CUDA_DEVICE`` asks for, by default ``gpu``.

    Raises
    ------
    InputError
        If there is no device of this name.
    """
    name = os.environ.get(DEVICE_VARIABLE) or "gpu"
    if name not in DEVICES:
        known = ", ".join(DEVICES)
        raise InputError(f"device ({DEVICE_VARIABLE}) is {name!r}, expected one of {known}")
    return name


@functools.cache
def current_device() -> Device:
    """Return the one device of this process, which the first call starts.

    Raises
    ------
    InputError
        If it cannot be started, with what to do about it.
    """
    name = device_name()
    device: Device = importlib.import_module(f"minitransformer.backends.cuda.{name}").start()
    return device
