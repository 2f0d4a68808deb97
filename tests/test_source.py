"""What no source file may contain: unpickling, and constants that change an array's dtype."""

import ast
from pathlib import Path

import numpy as np
import pytest

import minitransformer

PACKAGE = Path(minitransformer.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


UNPICKLERS = {"pickle", "shelve", "marshal", "joblib"}


def unpickling(source: str) -> list[str]:
    """Expressions that could run code hidden in a data file."""
    if not any(name in source for name in UNPICKLERS):
        return []
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules = {node.module}
        else:
            modules = set()
        allows = isinstance(node, ast.keyword) and node.arg == "allow_pickle"
        if modules & UNPICKLERS or (allows and ast.unparse(node.value) != "False"):
            found.append(ast.unparse(node))
    return found


def upcasting_constants(source: str) -> list[str]:
    """NumPy functions of mere numbers: float64 scalars, which turn float32 arrays into float64."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) in {"np", "numpy"}
        and makes_scalar(getattr(np, node.func.attr, None))
        and node.args
        and all(is_number(argument) for argument in node.args)
    ]


def makes_scalar(function: object) -> bool:
    return isinstance(function, np.ufunc) or function is np.float64


def is_number(node: ast.expr) -> bool:
    """Whether an expression is made of literals and of mathematical constants only."""
    leaves = [leaf for leaf in ast.walk(node) if isinstance(leaf, ast.Constant | ast.Name)]
    return all(isinstance(leaf, ast.Constant) or leaf.id in {"math", "np"} for leaf in leaves)


def test_nothing_is_unpickled() -> None:
    found = {name: unpickling(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
    assert not {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import load",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
    ],
)
def test_unpickling_is_found(source: str) -> None:
    assert len(unpickling(source)) == 1


def test_loading_without_pickle_is_allowed() -> None:
    assert unpickling("np.load(path, allow_pickle=False)") == []


@pytest.mark.parametrize("path", [path for path in FILES if path.startswith(("ops/", "nn/"))])
def test_constants_keep_the_dtype(path: str) -> None:
    assert upcasting_constants(FILES[path].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source", ["np.sqrt(2)", "x * np.sqrt(2.0 / np.pi)", "np.float64(0.5)", "np.exp(-math.pi)"]
)
def test_an_upcasting_constant_is_found(source: str) -> None:
    assert len(upcasting_constants(source)) == 1


@pytest.mark.parametrize("source", ["math.sqrt(2)", "np.sqrt(x)", "np.exp(-x)", "np.zeros(3)"])
def test_other_calls_are_allowed(source: str) -> None:
    assert upcasting_constants(source) == []
