"""What a student's answer may not do, and who notices: an audit hook, which cannot be removed.

It is no prison. The verdict is safe because the other process computes it; the guard keeps honest
answers honest, the machine clean, and says calmly what it saw.
"""

import _thread
import builtins
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FRAMEWORKS = (
    *("torch", "jax", "tensorflow", "scipy", "keras", "flax", "mlx", "cupy", "paddle", "mxnet"),
    *("autograd", "theano", "tinygrad", "chainer", "thinc", "sklearn", "transformers", "onnx"),
)
STOPPED: dict[str, str] = {
    "subprocess.": "starts another program",
    "os.system": "starts another program",
    "os.exec": "starts another program",
    "os.posix_spawn": "starts another program",
    "os.spawn": "starts another program",
    "os.startfile": "starts another program",
    "os.fork": "starts another process",
    "pty.": "starts another process",
    "_thread.": "starts a thread",
    "os.kill": "sends a signal to a process",
    "signal.": "sends a signal to a process",
    "socket.": "opens a network connection",
    "ctypes.": "calls machine code",
    "gc.": "looks through the memory of its process",
    "_winapi.": "starts another process",
    "winreg.": "looks into the registry",
    "resource.": "changes the limits of its process",
}
"""What an event that begins like this means."""
_NEEDED_BY_TOOLS = ("_thread.", "ctypes.", "gc.", "signal.")
_CHANGES = (
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link"),
    *("os.symlink", "os.truncate", "os.utime", "os.chflags", "os.setxattr", "shutil."),
)
_SOLUTION = "minitransformer.solution"
DEEPEST = 20_000
"""Calls within calls that an answer may ask for."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

Stop = Callable[[str, str], None]


class Guard:
    """Watch this process, and stop it at the first thing that an answer may not do.

    Parameters
    ----------
    stop
        Told the name of the offence and the rest of a sentence "your answer ..."; never returns.
    library
        Folder of the library, whose files hold the solutions.
    tools
        Modules that this exercise is about, as numba, which do much that is refused otherwise.
    """

    def __init__(self, stop: Stop, library: str, tools: Iterable[str]) -> None:
        self._stop = stop
        self._library = _real(library)
        self._tools = frozenset(tools)
        home = _real(os.getcwd())
        self._writable = (home,)
        prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path}
        self._readable = (home, *sorted(_real(prefix) for prefix in prefixes if prefix))
        self._before: dict[int, tuple[str, dict[str, Any]]] = {}
        self._is_busy = threading.local()
        self._stopped = {
            beginning: deed
            for beginning, deed in STOPPED.items()
            if not (self._tools and beginning in _NEEDED_BY_TOOLS)
        }

    def arm(self) -> None:
        """Begin to watch; there is no way back."""
        subprocess._fork_exec = None  # type: ignore[attr-defined]  # it raises no audit event
        sys.modules["_posixsubprocess"] = None  # type: ignore[assignment]
        if not self._tools:
            self._forbid_threads()
        self._limit_recursion()
        self._before = {id(vars(m)): (n, dict(vars(m))) for n, m in _watched_modules()}
        sys.addaudithook(self._hook)

    def _forbid_threads(self) -> None:
        """Replace what starts a thread: older Pythons raise no audit event there."""

        def refuse(*args: Any, **kwargs: Any) -> None:
            self._stop("starts_a_thread", STOPPED["_thread."])

        for module in (_thread, threading):
            for name in dir(module):
                if name.lstrip("_") in ("start_new_thread", "start_new", "start_joinable_thread"):
                    setattr(module, name, refuse)

    def _limit_recursion(self) -> None:
        """Let a recursion without an end come to one before it has filled the memory."""
        set_limit = sys.setrecursionlimit

        def set_lower_limit(limit: int) -> None:
            set_limit(min(limit, DEEPEST))

        sys.setrecursionlimit = set_lower_limit

    def check_modules(self) -> None:
        """Stop if the answer has changed NumPy, Python or the library for others."""
        for space, (name, before) in self._before.items():
            module = sys.modules.get(name)
            now = vars(module) if module is not None else {}
            changed = [k for k, v in before.items() if now.get(k, v) is not v or k not in now]
            public = [key for key in changed if not key.startswith("_")]
            if public or id(now) != space:
                what = f"{name}.{public[0]}" if public else name
                self._stop("changes_library", f"changes {what}, on which everything else relies")

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if getattr(self._is_busy, "yes", False):
            return
        self._is_busy.yes = True
        try:
            self._look_at(event, args)
        finally:
            self._is_busy.yes = False

    def _look_at(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            self._look_at_file(*args)
        elif event == "import":
            self._look_at_import(str(args[0]))
        elif event == _SOLUTION:
            self._stop("calls_the_library", f"calls the library's own {args[0]}")
        elif event.startswith(_CHANGES):
            if not all(self._is_inside(path, self._writable) for path in args if _is_path(path)):
                self._stop("changes_files", "changes files outside its own folder")
        else:
            for beginning, deed in self._stopped.items():
                if event.startswith(beginning):
                    self._stop(deed.replace(" ", "_"), deed)

    def _look_at_import(self, name: str) -> None:
        root = name.partition(".")[0]
        if root in FRAMEWORKS and not (self._tools and root == "scipy"):  # Numba looks for it
            self._stop("calls_a_framework", f"imports {root}, but is to be your own work")
        if root == "minitransformer":
            self._stop("calls_the_library", f"imports {name}, which is closed to answers")

    def _look_at_file(self, path: Any, mode: Any, flags: Any) -> None:
        if not _is_path(path):  # an open descriptor
            return
        name = Path(os.fsdecode(path)).name
        writes = isinstance(flags, int) and bool(flags & _WRITING)
        if writes and not self._is_inside(path, self._writable) and path != os.devnull:
            self._stop("writes_files", f"writes the file {name}, outside its own folder")
        elif self._is_inside(path, (self._library,)):
            if _is_quoting():
                raise PermissionError("the library's source is closed")
            self._stop("reads_the_library", f"reads the library's file {name}")
        elif not (self._tools or self._is_inside(path, self._readable) or _is_device(path)):
            self._stop("reads_files", f"reads the file {name}, outside its own folder")

    def _is_inside(self, path: Any, folders: tuple[str, ...]) -> bool:
        real = _real(os.fsdecode(path))
        return any(real == folder or real.startswith(folder + os.sep) for folder in folders)


def hide_solution(module: str, qualname: str) -> None:
    """Replace the code of a library's function, so that whoever calls it is noticed."""
    target: Any = sys.modules.get(module)
    for name in qualname.split("."):
        target = getattr(target, name, None)
    textbook = getattr(target, "impls", {}).get("numpy", target)
    while hasattr(textbook, "__wrapped__"):
        textbook = textbook.__wrapped__
    if textbook is not None:
        textbook.__code__ = _solution(qualname).__code__
        textbook.__defaults__ = textbook.__kwdefaults__ = None
        for name in [name for name in getattr(target, "impls", {}) if name != "numpy"]:
            del target.impls[name]


def _solution(name: str) -> Any:
    """A function that raises the alarm and knows nothing of where it will stand."""
    space: dict[str, Any] = {}
    alarm = f"__import__('sys').audit({_SOLUTION!r}, {name!r})"
    exec(f"def solution(*args, **kwargs):\n    {alarm}", space)
    return space["solution"]


def _watched_modules() -> Iterator[tuple[str, Any]]:
    yield "builtins", builtins
    for name, module in [("numpy", np), ("numpy.linalg", np.linalg), ("numpy.random", np.random)]:
        yield name, module
    for name, module in list(sys.modules.items()):
        if name.startswith("minitransformer.") and ".grader" not in name:
            yield name, module


def _is_quoting() -> bool:
    """Whether a warning or a traceback looks for the line of code that it is about."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") in ("warnings", "traceback"):
            return True
        frame = frame.f_back
    return False


def _is_path(value: Any) -> bool:
    return isinstance(value, str | bytes | os.PathLike)


def _is_device(path: Any) -> bool:
    return os.fsdecode(path) in (os.devnull, "/dev/urandom", "/dev/random")


def _real(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))
