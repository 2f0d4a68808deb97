"""Slips that can happen in any formula: small edits of the library's text, made by rule.

They stand behind the named mutants, which know more about what their author believed.
"""

import ast
import copy
import inspect
import itertools
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True)
class Slip:
    """One sort of slip: its name, what its author believed, and a hint."""

    name: str
    misconception: str
    hint: str


SIGN = Slip(
    "plus_and_minus_exchanged",
    "One sign more or less is a detail.",
    "Go through the formula term by term: which of them are subtracted?",
)
AXIS = Slip(
    "wrong_axis",
    "Any axis will do for this sum, mean or maximum.",
    "Along which axis does the formula run: over the features of a row, or over the rows?",
)
MEAN = Slip(
    "mean_and_sum_exchanged",
    "A mean and a sum differ by a constant only.",
    "By what does the formula divide, and where?",
)
STRICT = Slip(
    "comparison_off_by_one",
    "Whether the limit itself belongs to it does not matter.",
    "Try the input that lies exactly at the limit.",
)
PRODUCT = Slip(
    "multiplied_for_divided",
    "Multiplying and dividing are much the same.",
    "Check the units: should the result grow or shrink when this factor grows?",
)


def slips_of(function: types.FunctionType) -> Iterator[tuple[Slip, Function]]:
    """All versions of a function with one slip in it, outside of while loops: they must end."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.While)]
    looping = {part for loop in loops for part in ast.walk(loop)}
    for number, node in enumerate(ast.walk(tree)):
        for slip, _ in _edits(node) if node not in looping else ():
            changed = copy.deepcopy(tree)
            target = next(itertools.islice(ast.walk(changed), number, None))
            dict(_edits(target))[slip]()
            yield slip, _compile(changed, function)


def _edits(node: ast.AST) -> list[tuple[Slip, Callable[[], None]]]:
    """What can slip at one place of the text, and how to do it."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        operators = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
        other = operators.get(type(node.op))
        slip = SIGN if other in (ast.Add, ast.Sub) else PRODUCT
        return [(slip, lambda: setattr(node, "op", other()))] if other else []
    if isinstance(node, ast.Assign):
        minuses = [part for part in ast.walk(node) if isinstance(part, ast.BinOp)]
        minuses = [part for part in minuses if isinstance(part.op, ast.Sub)]
        return [(SIGN, lambda: _add_instead(minuses))] if len(minuses) > 1 else []
    if isinstance(node, ast.keyword) and node.arg == "axis":
        axis = ast.Constant(0)
        is_last = ast.unparse(node.value) == "-1"
        return [(AXIS, lambda: setattr(node, "value", axis))] if is_last else []
    if isinstance(node, ast.Attribute) and node.attr in ("mean", "sum"):
        other_name = "sum" if node.attr == "mean" else "mean"
        return [(MEAN, lambda: setattr(node, "attr", other_name))]
    if isinstance(node, ast.Compare):
        limits = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
        strict = limits.get(type(node.ops[0]))
        return [(STRICT, lambda: setattr(node, "ops", [strict()]))] if strict else []
    return []


def _add_instead(minuses: list[ast.BinOp]) -> None:
    for minus in minuses:
        minus.op = ast.Add()


def _compile(tree: ast.Module, function: types.FunctionType) -> Function:
    ast.fix_missing_locations(tree)
    space: dict[str, Any] = dict(vars(sys.modules[function.__module__]))
    exec(compile(tree, "<slip>", "exec"), space)
    built: Function = space[function.__name__]
    return built


def confusions_of(textbook: Function) -> Iterator[tuple[Slip, Function]]:
    """All versions of a function that confuse what they are given."""
    parameters = inspect.signature(textbook).parameters
    for name, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            slip = Slip(
                f"{name}_ignored",
                f"{name} has a default, so it need not be looked at.",
                f"It is an argument: where in the formula does {name} stand?",
            )
            yield slip, _given(textbook, lambda a, n=name, d=parameter.default: {**a, n: d})
    for name in [name for name in parameters if name in ("mask", "keep")]:
        slip = Slip(
            f"{name}_inverted",
            f"True in {name} means: leave this one out.",
            "Here True means: this one takes part.",
        )
        yield slip, _given(textbook, lambda a, n=name: {**a, n: None if a[n] is None else ~a[n]})
    for one, other in itertools.combinations(parameters, 2):
        slip = Slip(
            f"{one}_and_{other}_exchanged",
            f"{one} and {other} do the same work.",
            "Read the formula again: which of the two stands where?",
        )
        yield slip, _given(textbook, lambda a, i=one, j=other: {**a, i: a[j], j: a[i]})


def _given(textbook: Function, change: Callable[..., Mapping[str, Any]]) -> Function:
    signature = inspect.signature(textbook)

    def confused(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return textbook(**change(bound.arguments))

    return confused
