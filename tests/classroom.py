"""Answers made of the library's own text, and a judge that spares them a process of their own."""

import ast
import inspect
import io
import sys
from collections.abc import Callable, Mapping
from typing import Any, Self

from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader.child.server import ANSWER, Server
from minitransformer.exercises.grader.child.values import read_message, write_message
from minitransformer.exercises.grader.process import StudentProcess
from minitransformer.exercises.source import plain
from minitransformer.testing.mutants import Mutant


def library_as_answer(exercise: Exercise, mutant: Mutant | None = None) -> str:
    """The module in which the function stands, without what makes it dispatchable or is closed.

    Where a mistake is in a helper, the op's other half, which calls it too, is left out.
    """
    function = plain(exercise.function)
    module = inspect.getsource(sys.modules[function.__module__])
    if mutant is not None:
        for part in (*mutant.helpers, function):
            source = inspect.getsource(inspect.unwrap(part))
            module = module.replace(source, _edited(source, mutant.edits))
    tree = ast.parse(module)
    tree.body = [node for node in tree.body if not _is_closed(node)]
    if mutant is not None and mutant.helpers:
        tree.body = [node for node in tree.body if not _is_other_half(node, function.__name__)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = [
                each for each in node.decorator_list if not ast.unparse(each).startswith("op(")
            ]
            node.returns = None
    return ast.unparse(tree)


def _is_closed(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and "minitransformer.testing" in str(node.module)


def _is_other_half(node: ast.stmt, name: str) -> bool:
    halves = {f"{name.rpartition('_')[0]}_{half}" for half in ("forward", "backward")}
    return isinstance(node, ast.FunctionDef) and node.name in halves - {name}


def _edited(source: str, edits: Mapping[str, str]) -> str:
    for right, wrong in edits.items():
        source = source.replace(right, wrong)
    return source


class _Here(Server):
    """The student's side of the conversation, in this process: nothing is limited or watched."""

    def __init__(self, call: Callable[..., dict[str, Any]]) -> None:
        super().__init__(io.BytesIO(), io.BytesIO())
        self._call = call

    def answer_to(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = getattr(self, f"_do_{request.pop('do')}")(**request)
        except Exception as error:
            reply = {"error": self._describe(error)}
        return reply

    def _do_load(self, text: str, **details: Any) -> dict[str, Any]:
        self._source_lines = text.splitlines()
        sys.modules[ANSWER] = self._module
        exec(compile(text, f"<{ANSWER}>", "exec"), vars(self._module))
        return {}

    def _do_finish(self) -> dict[str, Any]:
        return {}

    def _function(self, number: int) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._call(number, args, kwargs)


class InProcess(StudentProcess):
    """A student's process that is none: messages go to and fro as ever, but stay here."""

    def __enter__(self) -> Self:
        self._server = _Here(lambda number, args, kwargs: self._functions[number](*args, **kwargs))
        return self

    def __exit__(self, *details: Any) -> None:
        sys.modules.pop(ANSWER, None)

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        there = self._server.answer_to(_sent(message, self._keep, self._server._function))
        return _sent(there, lambda function: -1, lambda number: None)


def _sent(message: Any, keep: Any, function: Any) -> dict[str, Any]:
    """What arrives of a message."""
    pipe = io.BytesIO()
    write_message(pipe, message, keep)
    pipe.seek(0)
    return read_message(pipe, function)
