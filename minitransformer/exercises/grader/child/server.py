"""Serve calls of the functions that a student's file defines."""

import collections
import contextlib
import hashlib
import importlib
import os
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from minitransformer.exercises.grader.child.changes import changes, fingerprints, write_back
from minitransformer.exercises.grader.child.device import marking_allocators
from minitransformer.exercises.grader.child.guard import Guard, hide_solution
from minitransformer.exercises.grader.child.values import (
    Remote,
    read_message,
    write_message,
)

KEPT_CACHES = 512
ANSWER = "answer"


class Server:
    """The student's side of the conversation."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source, self._sink = source, sink
        self._module = types.ModuleType(ANSWER)
        self._caches: collections.OrderedDict[int, Any] = collections.OrderedDict()
        self._guard: Guard | None = None
        self._source_lines: list[str] = []

    def run(self) -> None:
        """Answer requests until the other side hangs up."""
        while True:
            try:
                request = self._receive()
            except EOFError:
                return
            try:
                reply = getattr(self, f"_do_{request.pop('do')}")(**request)
            except BaseException as error:
                reply = {"error": self._describe(error)}
            self._send(reply)

    def _do_load(
        self,
        text: str,
        library: str,
        preload: list[str],
        hidden: list[list[str]],
        tools: list[str],
        memory: int,
    ) -> dict[str, Any]:
        self._source_lines = text.splitlines()
        for name in preload:
            importlib.import_module(name)
        if "numba.cuda" in tools:
            cuda = sys.modules["numba.cuda"]
            vars(cuda).update(marking_allocators(cuda))
        for module, qualname in hidden:
            hide_solution(module, qualname)
        np.seterr(all="ignore")
        limit_memory(memory)
        self._guard = Guard(self._stop, library, tools)
        code = compile(text, f"<{ANSWER}>", "exec")
        sys.modules[ANSWER] = self._module
        self._guard.arm()
        exec(code, vars(self._module))
        self._guard.check_modules()
        return {"defined": sorted(k for k, v in vars(self._module).items() if callable(v))}

    def _do_call(
        self, name: str, args: list[Any], kwargs: dict[str, Any], keeps_cache: str
    ) -> dict[str, Any]:
        caches = [self._caches.get(arg.number) for arg in args if isinstance(arg, Remote)]
        actual = [caches[0] if isinstance(arg, Remote) else arg for arg in args]
        given = {"args": tuple(actual if not caches else actual[:1]), "kwargs": kwargs}
        before = fingerprints(given)
        result = getattr(self._module, name)(*actual, **kwargs)
        reply: dict[str, Any] = {}
        if keeps_cache:
            result, reply["cache"] = self._split(result, keeps_cache)
        if caches:
            reply["digest"] = _digest(caches[0])
        reply["changed"] = changes(given, before)
        reply["result"] = result
        return reply

    def _do_finish(self) -> dict[str, Any]:
        assert self._guard is not None
        self._guard.check_modules()
        return {}

    def _split(self, result: Any, keeps_cache: str) -> tuple[Any, Any]:
        """Keep the cache here; what leaves is its number and a digest of what it holds."""
        if isinstance(result, tuple) and len(result) == 2:
            y, cache = result
        elif keeps_cache == "if there":
            y, cache = result, None
        else:
            return result, None
        number = next(reversed(self._caches), -1) + 1
        self._caches[number] = cache
        if len(self._caches) > KEPT_CACHES:
            self._caches.popitem(last=False)
        return y, {"number": number, "digest": _digest(cache)}

    def _describe(self, error: BaseException) -> dict[str, Any]:
        """Say what was raised and where in the student's file, without running their code."""
        frames = traceback.walk_tb(error.__traceback__)
        codes = [(f.f_code, line) for f, line in frames if f.f_code.co_filename == f"<{ANSWER}>"]
        code, line = codes[-1] if codes else (None, None)
        is_known = line is not None and 0 < line <= len(self._source_lines)
        return {
            "type": type(error).__name__,
            "message": _text(error),
            "function": code.co_name if code else None,
            "line": line,
            "text": self._source_lines[line - 1].strip() if is_known and line else None,
        }

    def _stop(self, name: str, deed: str) -> None:
        self._send({"stopped": name, "deed": deed})
        os._exit(3)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            write_message(self._sink, message, _no_number)
        except (RecursionError, MemoryError, OverflowError) as error:
            write_message(self._sink, {"error": {"type": type(error).__name__}}, _no_number)

    def _receive(self) -> dict[str, Any]:
        return read_message(self._source, self._function)

    def _function(self, number: int) -> Callable[..., Any]:
        """A function of the other process: calling it asks there, and waits."""

        def ask(*args: Any, **kwargs: Any) -> Any:
            self._send({"ask": number, "args": list(args), "kwargs": kwargs})
            reply = self._receive()
            if "raised" in reply:
                raise ValueError(reply["raised"])
            write_back(reply["changed"], {"args": args, "kwargs": kwargs})
            return reply["result"]

        return ask


def _no_number(function: Callable[..., Any]) -> int:
    """A callable that the student returned is not called from outside."""
    return -1


def _text(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except BaseException:
        return ""


def _digest(cache: Any) -> bytes | Any:
    """What a cache holds, in 16 bytes; as far as can be seen, if it is no tree of arrays."""
    total = hashlib.blake2b(digest_size=16)
    with contextlib.suppress(Exception):
        _add_to_digest(total, cache)
    return np.frombuffer(total.digest(), np.uint8)


def _add_to_digest(total: Any, value: Any) -> None:
    total.update(type(value).__name__.encode())
    if isinstance(value, np.ndarray | np.generic):
        total.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    elif isinstance(value, dict):
        for item in value.items():
            _add_to_digest(total, item)
    elif isinstance(value, list | tuple):
        for item in value:
            _add_to_digest(total, item)
    elif hasattr(value, "__dict__"):
        _add_to_digest(total, vars(value))
    else:
        total.update(repr(value).encode())


def limit_memory(bytes_allowed: int) -> None:
    """Let allocations beyond the limit fail, where the system can do so."""
    try:
        import resource
    except ImportError:
        return
    for limit, most in ((resource.RLIMIT_AS, bytes_allowed), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # then the watcher takes its place
            resource.setrlimit(limit, (most, most))


def main() -> None:
    """Keep the two pipes for ourselves; what the answer prints goes to the third."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    os.dup2(2, 1)
    Server(source, sink).run()
