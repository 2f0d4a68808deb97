"""The student's process, seen from outside: requests, replies, limits, and how it ended."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from minitransformer import errors
from minitransformer.exercises.grader.child.changes import changes, fingerprints
from minitransformer.exercises.grader.child.values import (
    BrokenMessageError,
    read_message,
    write_message,
)
from minitransformer.exercises.grader.limits import Job, Limits, memory_of, own_group

LIBRARY = Path(errors.__file__).resolve().parent
_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from minitransformer.exercises.grader.child.server import main; main()"
)
_KEPT_VARIABLES = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "NUMBER_OF_PROCESSORS")
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_PATH = os.pathsep.join([str(Path(sys.base_prefix, "Library", "bin")), os.defpath])
"""Where NumPy's libraries lie in a conda environment on Windows, and nothing of the caller's."""
_LOOK_EVERY = 0.2
_ASLEEP = 30.0
MOST_NUMBERS = 2**14
"""So many may an answer hand to one of our functions."""


class AnswerError(Exception):
    """The student's function raised an exception."""

    def __init__(self, details: dict[str, Any]) -> None:
        self.type = str(details.get("type"))
        self.text = str(details.get("message") or "")
        self.line: int | None = details.get("line")
        self.code = details.get("text")
        self.function = details.get("function")
        super().__init__(f"{self.type}: {self.text}")


class Stopped(BaseException):
    """The student's process was ended before it gave a result, or ended itself.

    It is no Exception, so that no law takes it for a wrong result.
    """

    def __init__(self, name: str, deed: str) -> None:
        self.name, self.deed = name, deed
        super().__init__(f"Your answer {deed}")


class StudentProcess:
    """One process for one answer; use it in a ``with`` block."""

    def __init__(self, limits: Limits, environment: dict[str, str] | None = None) -> None:
        self._limits = limits
        self._environment = environment or {}
        self._functions: list[Callable[..., Any]] = []
        self._end: Stopped | None = None
        self._printed = 0
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(
            prefix="minitransformer-", ignore_cleanup_errors=True
        )
        path = [str(Path(entry).resolve()) for entry in sys.path if entry]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-X", "utf8", "-c", _START.format(path=path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._folder.name,
            env=self._clean_environment(),
            **own_group(),
        )
        self._job = Job(self._process, self._limits.memory)
        self._spent, self._asked_at = 0.0, time.monotonic()
        self._threads = [
            threading.Thread(target=watch, daemon=True) for watch in (self._listen, self._watch)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._job.end()
        self._process.wait()
        self._is_over.set()
        self._job.close()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        self._folder.cleanup()

    @property
    def _seconds(self) -> float:
        """How long the answer has been at work; what we do with its results does not count."""
        return self._spent + (time.monotonic() - self._asked_at if self._asked_at else 0.0)

    def request(self, do: str, **details: Any) -> dict[str, Any]:
        """Ask the student's process for something.

        Raises
        ------
        AnswerError
            If their code raised an exception.
        Stopped
            If there is no reply.
        """
        message: dict[str, Any] = {"do": do, **details}
        del self._functions[:]
        try:
            while True:
                reply = self._exchange(message)
                if "ask" not in reply:
                    break
                message = self._reply(reply)
        except BrokenMessageError:
            raise self._stop("breaks_the_protocol", "sent something that is no result") from None
        except (EOFError, OSError):
            raise self._how_it_ended() from None
        if "stopped" in reply:
            raise self._stop(str(reply["stopped"]), str(reply["deed"]))
        if "error" in reply:
            error = AnswerError(reply["error"])
            if error.type in _FATAL:
                raise self._stop(*_FATAL[error.type])
            raise error
        return reply

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        self._asked_at = self._asked_at or time.monotonic()
        try:
            write_message(self._sink, message, self._keep)
            return read_message(self._source, lambda number: None)
        finally:
            self._spent, self._asked_at = self._seconds, 0.0

    @property
    def _sink(self) -> Any:
        return self._process.stdin

    @property
    def _source(self) -> Any:
        return self._process.stdout

    def _keep(self, function: Callable[..., Any]) -> int:
        self._functions.append(function)
        return len(self._functions) - 1

    def _reply(self, question: dict[str, Any]) -> dict[str, Any]:
        """Call one of our functions that was an argument; this work is theirs, and so is the time.

        It is refused where the numbers are so many that it could take all memory.
        """
        self._asked_at = time.monotonic()
        try:
            function = self._functions[question["ask"]]
            given = {"args": tuple(question["args"]), "kwargs": question["kwargs"]}
            if (count := _count(given)) > MOST_NUMBERS:
                raise ValueError(
                    f"the arguments hold {count:,} numbers, expected {MOST_NUMBERS:,} or fewer"
                )
            before = fingerprints(given)
            result = function(*given["args"], **given["kwargs"])
            return {"result": result, "changed": changes(given, before)}
        except Exception as error:
            return {"raised": f"{type(error).__name__}: {error}"}

    def _stop(self, name: str, deed: str) -> Stopped:
        self._end = self._end or Stopped(name, deed)
        self._job.end()
        return self._end

    def _how_it_ended(self) -> Stopped:
        status = self._process.wait()
        if self._end is not None:
            return self._end
        if status < 0 or status > 255:
            return self._stop("crash", "crashed the interpreter")
        return self._stop(
            "exit", f"ended the interpreter (status {status}) before it gave a result"
        )

    def _listen(self) -> None:
        """Count what is printed; it is never read as a result."""
        stream: Any = self._process.stderr
        while chunk := stream.read1(65536):
            self._printed += len(chunk)
            if self._printed > self._limits.output:
                self._stop("too_much_output", f"prints more than {self._limits.output:,} bytes")
                return

    def _watch(self) -> None:
        """Stop the process when its time or its memory is used up."""
        last = time.monotonic()
        while self._process.poll() is None:
            now = time.monotonic()
            if now - last > _ASLEEP:
                self._spent -= now - last  # this machine slept, and so did the answer
            last = now
            if self._seconds > self._limits.seconds:
                seconds = f"{self._limits.seconds:g} seconds"
                self._stop("too_slow", f"was not ready after {seconds}. Is there an endless loop?")
            elif memory_of(self._process) > self._limits.memory:
                self._stop(*_FATAL["MemoryError"])
            self._is_over.wait(_LOOK_EVERY)

    def _clean_environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        home = dict.fromkeys(("HOME", "USERPROFILE", "TEMP", "TMP", "TMPDIR"), self._folder.name)
        threads = dict.fromkeys(_ONE_THREAD, "1")
        return {**kept, **home, **threads, "PATH": _PATH, **self._environment}


def _count(tree: Any) -> int:
    """How many numbers there are in arguments."""
    if isinstance(tree, dict):
        return sum(map(_count, tree.values()))
    if isinstance(tree, list | tuple):
        return sum(map(_count, tree))
    return np.size(tree) if isinstance(tree, np.ndarray) else 1


_FATAL = {
    "MemoryError": ("too_much_memory", "needs more memory than it may use"),
    "RecursionError": (
        "deep_recursion",
        "calls itself too often. Is there a recursion without an end?",
    ),
    "SystemExit": ("exit", "ends the program instead of giving a result"),
}
