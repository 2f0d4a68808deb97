"""Kernels: plain Python functions that a compiler turns into a program for thousands of threads.

A kernel is written once and started on any of three devices: a GPU, Numba's simulator, or the
emulator, which executes the very PTX that the compiler made for the GPU.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, cuda
from numba.core import sigutils, types
from numba.np.numpy_support import as_dtype

from minitransformer.backends.cuda import ptx_cache
from minitransformer.backends.cuda.arrays import DeviceArray
from minitransformer.backends.cuda.device import Size, Triple, current_device
from minitransformer.backends.cuda.storage import STORAGES

SIMULATED = bool(config.ENABLE_CUDASIM)
"""Whether kernels run as they stand, in Python, thread by thread."""

THREADS = 4 if SIMULATED else 256
"""Threads of a block where nothing else asks for a number; a power of two."""

MOST_BLOCKS = 1024
"""Enough to fill the largest GPU; what is left over, the threads do in a loop."""

CAPABILITY = (8, 0)
"""The GPUs that are compiled for where there is none: Ampere, such as an A100, and all later."""


class DeviceKernel:
    """A kernel with fixed types, ready to be compiled, started, or read.

    Parameters
    ----------
    function
        One thread's program; it returns nothing and writes into its arguments.
    signature
        Types of the arguments, such as ``"float32[:, ::1], int64"``. All arrays are contiguous.
    suffix
        Of the name, where one function is several kernels.
    blocks
        Blocks of ``THREADS`` that a multiprocessor shall have room for, so that some of them work
        while others wait. It has 65,536 registers; the compiler makes do with a thread's share.

    Attributes
    ----------
    function, signature
        As given.
    bounds : tuple[int, int] or None
        Threads of a block, and blocks, for the compiler.
    name : str
        The function's, and the suffix.
    """

    def __init__(
        self, function: Callable[..., None], signature: str, suffix: str = "", blocks: int = 0
    ) -> None:
        self.function = function
        self.signature = signature
        self.bounds = (THREADS, blocks) if blocks else None
        self.name = function.__name__ + suffix
        self.__doc__ = function.__doc__
        self.types: tuple[Any, ...] = sigutils.normalize_signature(f"void({signature})")[0]
        self._ptx: dict[tuple[int, int], str] = {}

    def launch(self, grid: Size, block: Size, *arguments: Any) -> None:
        """Start ``grid`` blocks of ``block`` threads on the current device.

        Parameters
        ----------
        grid, block
            Numbers along one to three axes. No blocks: nothing happens.
        arguments
            Device arrays and numbers, of the types in the signature.

        Raises
        ------
        TypeError
            If an argument is not of its type.
        """
        self._check(arguments)
        blocks, threads = _triple(grid), _triple(block)
        if math.prod(blocks):
            current_device().launch(self, blocks, threads, arguments)

    def stride(self, size: int, *arguments: Any) -> None:
        """Start about as many threads as there are items; each takes every so many-th item.

        ``for i in range(cuda.grid(1), size, cuda.gridsize(1))`` is the kernel's loop. Neighbouring
        threads work on neighbouring items: a warp's 32 loads of 4 bytes then fall into one run of
        128 bytes, which memory delivers at once (coalescing). And any number of blocks will do.
        """
        self.launch(min(math.ceil(size / THREADS), MOST_BLOCKS), THREADS, *arguments)

    def _check(self, arguments: tuple[Any, ...]) -> None:
        if len(arguments) != len(self.types):
            raise TypeError(f"{self.name}: got {len(arguments)} arguments for ({self.signature})")
        for position, (argument, expected) in enumerate(zip(arguments, self.types, strict=True)):
            if isinstance(expected, types.Array) != isinstance(argument, DeviceArray) or (
                isinstance(argument, DeviceArray)
                and (argument.storage, len(argument.shape))
                != (as_dtype(expected.dtype), expected.ndim)
            ):
                raise TypeError(
                    f"{self.name}: argument {position} is {argument!r}, expected {expected}"
                )

    def ptx(self, capability: tuple[int, int] = CAPABILITY) -> str:
        """Compile to PTX, NVIDIA's portable assembly, with the lines of the source in it.

        It needs neither a GPU nor a driver, but the compiler of the ``cuda`` extra.
        """
        if capability not in self._ptx:
            module = self.function.__module__
            key = f"{module}.{self.name}-{self.signature}-{capability}"
            kept = module.startswith("minitransformer.")  # whose edits the cache would notice
            self._ptx[capability] = (
                ptx_cache.remember(key, lambda: self._compile(capability))
                if kept
                else self._compile(capability)
            )
        return self._ptx[capability]

    def _compile(self, capability: tuple[int, int]) -> str:
        text, _ = cuda.compile_ptx(
            self.function,
            self.types,
            cc=capability,
            lineinfo=True,
            launch_bounds=self.bounds,
        )
        return str(text)

    def __repr__(self) -> str:
        return f"DeviceKernel({self.name}, {self.signature!r})"


KERNELS: list[DeviceKernel] = []
"""All kernels that were defined so far."""


def device_kernel(
    signature: str, suffix: str = "", blocks: int = 0
) -> Callable[[Callable[..., None]], DeviceKernel]:
    """Make a function a kernel with these types of arguments; see :class:`DeviceKernel`."""

    def make(function: Callable[..., None]) -> DeviceKernel:
        KERNELS.append(DeviceKernel(function, signature, suffix, blocks))
        return KERNELS[-1]

    return make


def stored_as(
    storage: str, signature: str, blocks: int = 0
) -> Callable[[Callable[..., None]], DeviceKernel]:
    """Make a function a kernel for one way to keep floats: ``stored`` in its types stands for it.

    Such a function reads ``widen(x[i])`` and writes ``narrow(number, x)``, see :mod:`.widening`.
    """
    suffix = "" if storage == "float32" else f"_{storage}"
    return device_kernel(signature.replace("stored", str(STORAGES[storage])), suffix, blocks)


def kernel_of_each_storage(
    signature: str,
) -> Callable[[Callable[..., None]], dict[np.dtype[Any], DeviceKernel]]:
    """Make a function a kernel for each way to keep floats; see :func:`stored_as`."""

    def make(function: Callable[..., None]) -> dict[np.dtype[Any], DeviceKernel]:
        return {STORAGES[name]: stored_as(name, signature)(function) for name in STORAGES}

    return make


device_function = cuda.jit(device=True, inline="always")
"""Decorates a function that kernels call; its text takes the place of the call."""


def _triple(size: Size) -> Triple:
    x, y, z = (*((size,) if isinstance(size, int) else size), 1, 1)[:3]
    return int(x), int(y), int(z)
