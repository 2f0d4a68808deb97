"""What a student gets: the library's signature and shapes, a docstring that teaches, no body."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.source import definition, named_tuples, plain

WIDTH = 92
RULE = re.compile(r"\n\n(\w+)\n-+\n")
KNOWN_NAMES = {"Any", "np", "bool", "float", "int", "str", "tuple"}
IMPORTS = {
    "function": "",
    "test": "",
    "numba": "from numba import njit\n",
    "cuda": "from numba import cuda\n",
}


def stub(exercise: Exercise, introduction: str = "") -> str:
    """Source of the file in which a student writes the answer.

    It runs as it stands: only the call of the function raises NotImplementedError, and the worked
    example is a doctest.

    Parameters
    ----------
    exercise
        What is to be written.
    introduction
        Text for the head of the file.
    """
    head = f'"""{exercise.title}.\n\n{introduction}"""\n\n' if introduction else ""
    kinds = [fields_only(kind) for kind in named_tuples(exercise.function)]
    return "\n\n\n".join([head + _imports(exercise, kinds), *kinds, _task(exercise)])


def docstring(exercise: Exercise) -> str:
    """Goal, formula, shapes and worked example."""
    sections = {
        "Formula": inspect.cleandoc(exercise.formula),
        **shapes(exercise),
        "Example": inspect.cleandoc(exercise.example),
    }
    blocks = [f"{name}\n{'-' * len(name)}\n{text}" for name, text in sections.items()]
    return "\n\n".join([textwrap.fill(exercise.goal, WIDTH), *blocks])


def shapes(exercise: Exercise) -> dict[str, str]:
    """The sections on parameters and results, from the library's docstrings."""
    own = _sections(exercise.function)
    if "Parameters" not in own:
        own = _sections_of_backward(*exercise.functions)
    return {name: own[name] for name in ("Parameters", "Returns") if name in own}


def fields_only(kind: type) -> str:
    """Source of a NamedTuple without its methods, and without names that a student lacks."""
    source = inspect.getsource(kind)
    lines = source.splitlines()
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    head = "\n".join(lines[: tree.body[0].end_lineno])
    fields = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    return head + "\n\n" + "\n".join(_field(lines[node.lineno - 1], node) for node in fields)


def _field(line: str, node: ast.AnnAssign) -> str:
    names = {part.id for part in ast.walk(node.annotation) if isinstance(part, ast.Name)}
    return line if names <= KNOWN_NAMES else line.replace(ast.unparse(node.annotation), "Any")


def _task(exercise: Exercise) -> str:
    tree = definition(exercise.function)
    decorators = [
        f"@{ast.unparse(each)}\n"
        for each in tree.decorator_list
        if exercise.kind in ("numba", "cuda")
    ]
    text = f'"""{docstring(exercise)}\n"""\nraise NotImplementedError("{exercise.id}: your turn")\n'
    signature = f"def {tree.name}({_without_annotations(tree.args)}):\n"
    return "".join(decorators) + signature + textwrap.indent(text, "    ")


def _without_annotations(arguments: ast.arguments) -> str:
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return ast.unparse(arguments).replace("'", '"')


def _imports(exercise: Exercise, kinds: list[str]) -> str:
    typing = [name for name in ("Any", "NamedTuple") if any(name in kind for kind in kinds)]
    first = f"from typing import {', '.join(typing)}\n\n" if typing else ""
    return f"{first}import numpy as np\n{IMPORTS[exercise.kind]}".rstrip()


def _sections(function: Callable[..., Any]) -> dict[str, str]:
    """Sections of a numpydoc docstring by name."""
    text = re.sub(r":\w+:`([^`]*)`", r"\1", inspect.getdoc(plain(function)) or "")
    _, *parts = RULE.split(text.replace("``", "`"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _sections_of_backward(
    forward: Callable[..., Any], backward: Callable[..., Any]
) -> dict[str, str]:
    """Shapes of gradients: those of what forward returns and of what it takes."""
    taken, returned = (_entries(_sections(forward)[name]) for name in ("Parameters", "Returns"))
    (cache,) = named_tuples(backward)
    listed = re.findall(r"``\((.*?)\)``", inspect.getdoc(plain(backward)) or "")[0]
    gradients = [f"{name} : {taken[name[1:]]}" for name in re.findall(r"\w+", listed)]
    return {
        "Parameters": f"dy : {next(iter(returned.values()))}\n"
        f"    Gradient of the loss at the result.\ncache : {cache.__name__}",
        "Returns": "\n".join(gradients) + f"\n    In a tuple: ({listed})",
    }


def _entries(section: str) -> dict[str, str]:
    """Shape by name, from the lines of a section that are not indented."""
    pairs = [line.split(" : ") for line in section.splitlines() if " : " in line and line[0] != " "]
    return {name: shape for names, shape in pairs for name in names.split(", ")}
