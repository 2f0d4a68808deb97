"""Numba's simulator as a device: kernels run as Python, their threads by turns.

It finds plain mistakes, in tiny arrays; it is slow, and says nothing about what the compiler makes
of a kernel.
"""

import threading
import warnings
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numba import config, cuda
from numba.cuda.simulator import kernel as simulator
from numba.cuda.simulator.kernelapi import Dim3

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

    def forget(self, memory: np.ndarray) -> None:
        memory[...] = JUNK

    def free(self, memory: np.ndarray) -> None:
        """Python collects it."""

    def upload(self, array: np.ndarray, memory: np.ndarray, offset: int) -> None:
        memory[offset : offset + array.nbytes] = array.reshape(-1).view(np.uint8)

    def download(self, memory: np.ndarray, offset: int, array: np.ndarray) -> None:
        array.reshape(-1).view(np.uint8)[...] = memory[offset : offset + array.nbytes]

    def launch(
        self, kernel: "DeviceKernel", grid: Triple, block: Triple, arguments: tuple[Any, ...]
    ) -> None:
        own = [View(each) if isinstance(each, DeviceArray) else each for each in arguments]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a GPU says nothing of infinity
            cuda.jit(kernel.function)[grid, block](*own)


class View:
    """An array as kernels see it: numbers at places, and a shape."""

    __slots__ = ("dtype", "numbers", "shape", "size")

    def __init__(self, array: DeviceArray) -> None:
        stop = array.offset + array.size * array.storage.itemsize
        memory = array.block.memory[array.offset : stop]
        self.numbers = memory.view(array.storage).reshape(array.shape)
        self.shape, self.size, self.dtype = array.shape, array.size, array.storage

    def __getitem__(self, place: Any) -> Any:
        return self.numbers[place]

    def __setitem__(self, place: Any, number: Any) -> None:
        self.numbers[place] = number


class Turns:
    """Runs the threads of a block by turns: each goes on until it ends, or comes to a barrier.

    The simulator's own ``BlockManager``, whose place it takes, runs them all at once and looks
    around without end whether they have come to a barrier. By turns most kernels need one thread
    of Python's, and the order is the same in every run.

    Parameters
    ----------
    function
        The kernel.
    grid, block
        Numbers of blocks and of threads.
    debug
        Has no meaning here.
    """

    def __init__(
        self, function: Callable[..., None], grid: Triple, block: Triple, debug: bool
    ) -> None:
        self._function = function
        self._not_begun = deque(np.ndindex(*block))
        self._at_barrier: deque[Thread] = deque()
        self._ended = closed_gate()
        self._error: Exception | None = None

    def run(self, block: Triple, *arguments: Any) -> None:
        """Run the block of this index."""
        self._block, self._arguments = Dim3(*block), arguments
        self._pass_on()
        self._ended.acquire()
        if self._error is not None:
            raise self._error

    def work(self, thread: "Thread") -> None:
        """Run one thread of the GPU after the other, as none of them has come to a barrier."""
        thread.blockIdx = self._block
        try:
            while self._not_begun:
                thread.threadIdx = Dim3(*self._not_begun.popleft())
                self._function(*self._arguments)
        except Stopped:
            pass
        except Exception as error:
            error.add_note(f"in thread {thread.threadIdx} of block {thread.blockIdx}")
            self._error = error
            self._not_begun.clear()
        Thread.idle.append(thread)
        self._pass_on()

    def wait(self, thread: "Thread") -> None:
        """Let all others come to the barrier, too."""
        self._at_barrier.append(thread)
        self._pass_on()
        thread.turn.acquire()
        if self._error is not None:
            raise Stopped

    def _pass_on(self) -> None:
        """Say whose turn it is; the caller ends or waits."""
        if self._not_begun:
            thread = Thread.idle.pop() if Thread.idle else Thread()
            thread.turns = self
            thread.turn.release()
        elif self._at_barrier:
            self._at_barrier.popleft().turn.release()
        else:
            self._ended.release()


class Stopped(Exception):  # noqa: N818  # nothing is wrong with this thread
    """Another thread of the block has failed."""


class Thread(threading.Thread):
    """Where the simulator looks when a kernel asks ``cuda`` which thread it is.

    It waits for its turn, in one block after another.
    """

    idle: ClassVar[list["Thread"]] = []
    turns: Turns
    blockIdx: Dim3  # noqa: N815  # the name in CUDA
    threadIdx: Dim3  # noqa: N815

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.turn = closed_gate()
        self.start()

    def run(self) -> None:
        while True:
            self.turn.acquire()
            self.turns.work(self)

    def syncthreads(self) -> None:
        self.turns.wait(self)


def closed_gate() -> threading.Lock:
    """Return a lock at which one thread waits until another opens it."""
    gate = threading.Lock()
    gate.acquire()
    return gate


def start() -> SimulatedDevice:
    """Check that Numba was told to simulate, and how."""
    if not config.ENABLE_CUDASIM:
        raise InputError(
            "the device 'simulated' needs NUMBA_ENABLE_CUDASIM=1 in the environment before Python "
            "starts: Numba was imported without it"
        )
    simulator.BlockManager = Turns
    return SimulatedDevice()
