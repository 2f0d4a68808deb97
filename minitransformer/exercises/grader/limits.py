"""How much an answer may use, on any system."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What an answer may use before it is stopped.

    Attributes
    ----------
    seconds : float
        Until the verdict: so long may the answer work, and not as long is looked for its mistake.
    memory : int
        Bytes.
    output : int
        Bytes that may be printed.
    """

    seconds: float = 8.0
    memory: int = 2 * 2**30
    output: int = 2**20


class Deadline:
    """The time until which work goes on that can be left unfinished."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._end

    def until_over(self, items: Iterable[T]) -> Iterator[T]:
        """The items, as long as there is time."""
        return takewhile(lambda _: not self.is_over, items)


def own_group() -> dict[str, Any]:
    """Arguments of Popen that make a process the head of a group, which can be ended as a whole."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def memory_of(process: subprocess.Popen[bytes]) -> int:
    """Bytes in use, where only asking helps: macOS does not keep a limit on memory."""
    if sys.platform != "darwin":
        return 0
    command = ["ps", "-o", "rss=", "-p", str(process.pid)]
    kilobytes = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return 1024 * int(kilobytes.strip() or 0)


class Job:
    """A process and all that it starts; on Windows they have a limit on memory together."""

    def __init__(self, process: subprocess.Popen[bytes], memory: int) -> None:
        self._process = process
        if sys.platform == "win32":
            self._handle = _make_job(int(process._handle), memory)

    def end(self) -> None:
        """End all of it."""
        if sys.platform == "win32":
            ctypes.windll.kernel32.TerminateJobObject(self._handle, 1)
            self._process.kill()
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()

    def close(self) -> None:
        """Give back what the system lent."""
        if sys.platform == "win32":
            ctypes.windll.kernel32.CloseHandle(self._handle)


if sys.platform == "win32":
    from ctypes import wintypes

    _KILL_ON_CLOSE, _PROCESS_MEMORY, _EXTENDED = 0x2000, 0x100, 9

    class _Basic(ctypes.Structure):
        _fields_ = (
            ("process_time", ctypes.c_int64),
            ("job_time", ctypes.c_int64),
            ("flags", wintypes.DWORD),
            ("least_working_set", ctypes.c_size_t),
            ("most_working_set", ctypes.c_size_t),
            ("processes", wintypes.DWORD),
            ("affinity", ctypes.c_size_t),
            ("priority", wintypes.DWORD),
            ("scheduling", wintypes.DWORD),
        )

    class _Extended(ctypes.Structure):
        _fields_ = (
            ("basic", _Basic),
            ("io", ctypes.c_uint64 * 6),
            ("process_memory", ctypes.c_size_t),
            ("job_memory", ctypes.c_size_t),
            ("peak_process_memory", ctypes.c_size_t),
            ("peak_job_memory", ctypes.c_size_t),
        )

    def _make_job(process: int, memory: int) -> Any:
        kernel = ctypes.windll.kernel32
        kernel.CreateJobObjectW.restype = wintypes.HANDLE
        job = wintypes.HANDLE(kernel.CreateJobObjectW(None, None))
        limits = _Extended()
        limits.basic.flags = _KILL_ON_CLOSE | _PROCESS_MEMORY
        limits.process_memory = memory
        size = ctypes.sizeof(limits)
        kernel.SetInformationJobObject(job, _EXTENDED, ctypes.byref(limits), size)
        kernel.AssignProcessToJobObject(job, wintypes.HANDLE(process))
        return job
