"""Load an answer in its process: what it may import, and what it must not call."""

import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any

from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader.answer import Answer
from minitransformer.exercises.grader.limits import Limits
from minitransformer.exercises.grader.process import LIBRARY, StudentProcess
from minitransformer.exercises.source import plain

_CLOSED = ("testing", "exercises", "backends", "cli", "doctor")
_TOOLS: Mapping[str, list[str]] = {"numba": ["numba"], "cuda": ["numba.cuda"]}


def load(answer: Answer, exercise: Exercise, process: StudentProcess, limits: Limits) -> None:
    """Send an answer to its process, with what it may use and what it must not call."""
    tools = _TOOLS.get(exercise.kind, [])
    process.request(
        "load",
        text=answer.text,
        library=str(LIBRARY),
        preload=[*tools, *sorted(set(_modules(answer.imports)))],
        hidden=[[f.__module__, f.__qualname__] for f in _solutions(answer, exercise)],
        tools=tools,
        memory=limits.memory,
    )


def _solutions(answer: Answer, exercise: Exercise) -> Iterable[Any]:
    """The library's functions that the answer must not call: those that it is to define."""
    for function in exercise.functions:
        if function is exercise.function or function.__name__ in answer.calls:
            yield plain(function)


def _modules(imports: Iterable[str]) -> Iterable[str]:
    """Modules of the library that an answer imports and may import."""
    for name in imports:
        parts = _home(name).split(".")
        if parts[0] != LIBRARY.name:
            continue
        while len(parts) > 1 and not _is_module(".".join(parts)):
            parts.pop()
        if len(parts) == 1:
            yield f"{LIBRARY.name}.ops"
        elif parts[1] not in _CLOSED:
            yield ".".join(parts)


def _home(name: str) -> str:
    """Full name of what is imported, also by way of the library's shortcuts."""
    library, _, rest = name.partition(".")
    if library != LIBRARY.name or not rest or "." in rest:
        return name
    found = getattr(importlib.import_module(library), rest, None)
    return f"{found.__module__}.{rest}" if hasattr(found, "__module__") else name


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
