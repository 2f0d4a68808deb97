"""The library's own source, as exercises show it and as they hide it."""

import ast
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any, get_args

from minitransformer.exercises.exercise import Exercise

Function = Callable[..., Any]


def solution(exercise: Exercise) -> str:
    """Source of the functions that an exercise asks for, and of the helpers that they call."""
    parts = {plain(function): None for function in exercise.functions}
    for function in list(parts):
        parts |= dict.fromkeys(_helpers(function))
    return "\n\n".join(textwrap.dedent(inspect.getsource(part)) for part in parts)


def plain(function: Function) -> types.FunctionType:
    """The text of a function behind its dispatcher, its compiler or its checks."""
    function = inspect.unwrap(getattr(function, "impls", {}).get("numpy", function))
    written: types.FunctionType = inspect.unwrap(getattr(function, "py_func", function))
    return written


def definition(function: Function) -> ast.FunctionDef:
    """Syntax tree of a function."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(plain(function)))).body
    assert isinstance(tree, ast.FunctionDef)
    return tree


def body(function: Function) -> list[ast.stmt]:
    """Statements of a function, without its docstring."""
    statements = definition(function).body
    return statements[ast.get_docstring(definition(function)) is not None :]


def named_tuples(function: Function) -> list[type]:
    """The NamedTuples that a function takes or returns, such as its cache."""
    annotations = plain(function).__annotations__.values()
    candidates = [
        kind for annotation in annotations for kind in (annotation, *get_args(annotation))
    ]
    return [
        kind
        for kind in dict.fromkeys(filter(inspect.isclass, candidates))
        if issubclass(kind, tuple) and hasattr(kind, "_fields")
    ]


def _helpers(function: types.FunctionType) -> Iterator[types.FunctionType]:
    """Yield the functions of its own module that a function calls, and those that they call."""
    module = vars(sys.modules[function.__module__])
    for name in function.__code__.co_names:
        helper = module.get(name)
        if isinstance(helper, types.FunctionType) and helper.__module__ == function.__module__:
            yield plain(helper)
            yield from _helpers(plain(helper))
