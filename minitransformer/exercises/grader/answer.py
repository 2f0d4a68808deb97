"""A student's file: what it defines, which exercise that answers, and what it imports."""

import ast
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minitransformer.errors import InputError
from minitransformer.exercises.exercise import Exercise

LARGEST_FILE = 2**20


class NotGradableError(InputError):
    """There is nothing to judge; the message says why."""


@dataclass(frozen=True)
class Answer:
    """A file that a student hands in.

    Attributes
    ----------
    path : Path
        Where it was found.
    text : str
        What it says.
    calls : mapping of str to set of str
        The functions that it defines, and which names each of them uses.
    imports : frozenset of str
        Full names of the modules, or of what is taken from them.
    parameters : mapping of str to tuple of str
        The names of each function's parameters; empty if it takes any number of them.
    untouched : frozenset of str
        The functions that do nothing but raise NotImplementedError, as in the stub.
    """

    path: Path
    text: str
    calls: Mapping[str, frozenset[str]]
    imports: frozenset[str]
    parameters: Mapping[str, tuple[str, ...]]
    untouched: frozenset[str]


def read_answer(path: Path) -> Answer:
    """Read and parse a file, without running it.

    Raises
    ------
    NotGradableError
        If it cannot be read or is no Python.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise NotGradableError(f"{path.name} has more than {LARGEST_FILE:,} bytes")
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            text = _code_of_notebook(text)
        tree = ast.parse(text)
    except OSError as error:
        raise NotGradableError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise NotGradableError(f"{path.name} is not text in UTF-8") from error
    except SyntaxError as error:
        where = f"line {error.lineno} of {path.name}"
        line = f": {error.text.strip()}" if error.text else ""
        raise NotGradableError(f"{where} is no Python ({error.msg}){line}") from error
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise NotGradableError(f"{path.name} is no Python: {error}") from error
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    untouched = frozenset(node.name for node in functions if _is_untouched(node))
    parameters = {node.name: _parameters(node.args) for node in functions}
    return Answer(path, text, _uses(functions), frozenset(_imports(tree)), parameters, untouched)


def which_exercise(answer: Answer, exercises: Iterable[Exercise]) -> Exercise:
    """Find the exercise that a file answers, by the functions that it defines.

    A function that another one of the file calls is a helper. Of a forward and its backward, the
    backward is the exercise.

    Raises
    ------
    NotGradableError
        If there is none, or more than one.
    """
    known = {exercise.function.__name__: exercise for exercise in exercises}
    defined = [name for name in answer.calls if name in known]
    for keep in (_not_called, _not_half):
        defined = [name for name in defined if keep(name, defined, answer)]
    stem = answer.path.stem
    if len(defined) > 1 and stem in (known[name].id for name in defined):
        defined = [name for name in defined if known[name].id == stem]
    if len(defined) == 1:
        return known[defined[0]]
    if not defined:
        raise NotGradableError(
            f"{answer.path.name} defines no function of an exercise; its functions are "
            f"{', '.join(answer.calls) or 'none'} (see minitransformer exercises list)"
        )
    ids = [known[name].id for name in defined]
    raise NotGradableError(
        f"{answer.path.name} answers {len(ids)} exercises, {', '.join(ids)}: "
        f"say which with --exercise {ids[0]}"
    )


def _not_called(name: str, defined: Collection[str], answer: Answer) -> bool:
    others = (other for other in defined if other != name)
    return not any(name in answer.calls[other] for other in others)


def _not_half(name: str, defined: Collection[str], answer: Answer) -> bool:
    return not (
        name.endswith("_forward") and f"{name.removesuffix('_forward')}_backward" in defined
    )


def _code_of_notebook(text: str) -> str:
    """Put the student's cells together, without what only a notebook understands.

    The cells that are locked are ours: they call the grader.
    """
    cells = [cell for cell in json.loads(text)["cells"] if _is_of_student(cell)]
    lines = [line for cell in cells for line in "".join(cell["source"]).splitlines()]
    return "\n".join("" if line.startswith(("%", "!")) else line for line in lines) + "\n"


def _is_of_student(cell: Mapping[str, Any]) -> bool:
    nbgrader = cell.get("metadata", {}).get("nbgrader", {})
    return cell["cell_type"] == "code" and not nbgrader.get("locked", False)


def _parameters(arguments: ast.arguments) -> tuple[str, ...]:
    named = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return () if arguments.vararg or arguments.kwarg else tuple(each.arg for each in named)


def _is_untouched(node: ast.FunctionDef) -> bool:
    """Whether nothing but a docstring stands before `raise NotImplementedError`."""
    *before, last = node.body
    is_text = all(
        isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in before
    )
    return is_text and isinstance(last, ast.Raise) and "NotImplementedError" in ast.dump(last)


def _uses(functions: list[ast.FunctionDef]) -> dict[str, frozenset[str]]:
    """Which names each function uses, also by way of the others."""
    uses = {
        node.name: {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        for node in functions
    }
    for _ in uses:
        for names in uses.values():
            names.update(*(uses[name] for name in tuple(names) if name in uses))
    return {name: frozenset(names - {name}) for name, names in uses.items()}


def _imports(tree: ast.AST) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
