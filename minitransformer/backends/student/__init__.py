"""The student's own functions as a backend: what a folder of answers does not have, NumPy does.

The folder is the one named by the environment variable ``MINITRANSFORMER_ANSWERS``, or else the
current one. Answers run here in this very process: check them first.
"""

import functools
import importlib.util
import inspect
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minitransformer.ops  # noqa: F401  (fills the table of ops)
from minitransformer.backend import COMPOSED, OPS, Op, kernel
from minitransformer.errors import InputError

FOLDER = "MINITRANSFORMER_ANSWERS"
Functions = dict[str, Callable[..., Any]]


class StudentCache(NamedTuple):
    """Whatever a student's forward remembers for the student's backward."""

    content: Any


def prepare() -> None:
    """Load the folder of answers, unless somebody has registered functions already."""
    if not any("student" in op.impls for op in _replaceable().values()):
        load(Path(os.environ.get(FOLDER) or Path.cwd()))


def load(folder: Path) -> list[str]:
    """Register all that the files of a folder define and the program calls; return the names.

    These are ops and what is composed of them or goes with them, as far as their modules were
    imported: whole blocks, masks, positions, clipping, the schedule, tokens and their corruption.

    Raises
    ------
    InputError
        If there is none, or a file cannot be run.
    """
    found: list[str] = []
    known = _replaceable()
    for path in sorted(folder.glob("*.py")):
        functions = _functions_of(path, known)
        for name in functions:
            if name.endswith("_forward") and _backward_of(name) in functions:
                _register_pair(known[name], known[_backward_of(name)], functions)
            elif name.endswith("_backward") and name.replace("_backward", "_forward") in functions:
                pass  # with its forward
            elif name not in found:
                _register(known[name], functions[name])
            found.append(name)
    if not found:
        raise InputError(
            f"backend student: no file in {folder.resolve()} defines an op; go to the folder of "
            f"your answers, or let {FOLDER} name it (minitransformer exercises start makes one)"
        )
    return found


def _replaceable() -> dict[str, Op[..., Any]]:
    return {**OPS, **COMPOSED}


def _backward_of(name: str) -> str:
    return f"{name.removesuffix('_forward')}_backward"


def _functions_of(path: Path, known: Collection[str]) -> Functions:
    """Run a file, if its text defines what is known, and take what is more than a stub."""
    text = path.read_text(encoding="utf-8")
    if not any(f"def {name}(" in text for name in known):
        return {}
    spec = importlib.util.spec_from_file_location(f"answers.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    defined = {name: vars(module).get(name) for name in known}
    return {
        name: function
        for name, function in defined.items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and "NotImplementedError" not in function.__code__.co_names
    }


def _register_pair(forward: Op[..., Any], backward: Op[..., Any], functions: Functions) -> None:
    """Both halves, with a cache of their own."""

    @functools.wraps(forward.impls["numpy"])
    def run_forward(*args: Any, **kwargs: Any) -> tuple[Any, StudentCache]:
        given = _bind(forward, args, kwargs)
        y, cache = functions[forward.__name__](*given.args, **given.kwargs)
        return _apart(y, given.arguments), StudentCache(cache)

    @functools.wraps(backward.impls["numpy"])
    def run_backward(dy: Any, cache: StudentCache) -> Any:
        return _apart(functions[backward.__name__](dy, cache.content), {"dy": dy})

    kernel("student", forward, StudentCache)(run_forward)
    kernel("student", backward, StudentCache)(run_backward)


def _register(op: Op[..., Any], function: Callable[..., Any]) -> None:
    """One function alone; a forward without its backward leaves the cache to the textbook."""
    textbook = op.impls["numpy"]

    @functools.wraps(textbook)
    def run(*args: Any, **kwargs: Any) -> Any:
        given = _bind(op, args, kwargs)
        result = function(*given.args, **given.kwargs)
        if op.__name__.endswith("_backward"):
            return _apart(result, given.arguments)
        if not op.__name__.endswith("_forward"):
            return result
        y = result[0] if isinstance(result, tuple) and len(result) == 2 else result
        return _apart(y, given.arguments), textbook(*args, **kwargs)[1]

    kernel("student", op)(run)


def _bind(op: Op[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Arguments by position, where possible: the student may have given them other names."""
    return inspect.signature(op.impls["numpy"]).bind(*args, **kwargs)


def _apart(result: Any, given: dict[str, Any]) -> Any:
    """Copy results that share memory with an argument."""
    if isinstance(result, tuple):
        return tuple(_apart(part, given) for part in result)
    arrays = (each for each in given.values() if isinstance(each, np.ndarray))
    if isinstance(result, np.ndarray) and any(np.may_share_memory(result, a) for a in arrays):
        return result.copy()
    return result
