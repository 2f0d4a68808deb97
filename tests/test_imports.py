"""The direction of imports, and what importing costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import minitransformer

PACKAGE = Path(minitransformer.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

# A module imports only from its own package and from the lines above its own.
LAYERS = (
    ("backends", "errors", "launch", "__version__"),
    (
        "audio",
        "backend",
        "emulator",
        "files",
        "folders",
        "ladders",
        "memory",
        "placement",
        "toolchain",
    ),
    ("ops", "records", "schedules", "tokenizers"),
    ("data", "nn"),
    ("generation",),
    ("kernels", "models", "optim"),
    ("distributed",),
    ("checkpoints", "configuration", "evaluation"),
    ("finetuning", "recipes", "tasks", "training"),
    ("learning_rate_finder", "pretrained", "runs"),
    ("testing",),
    ("exercises", "show"),
    ("doctor",),
    ("cli",),
    ("__main__", "minitransformer"),
)
RANKS = {module: rank for rank, modules in enumerate(LAYERS) for module in modules}


def forbidden_imports(source: str, importer: str) -> list[str]:
    """Full names of what ``source``, at the path ``importer`` in the package, may not import."""
    own = layer_of(module_name(importer))
    rank = RANKS[own]  # a new module needs a place in LAYERS
    package = module_name(importer.rpartition("/")[0])
    names = [name for name in imported_names(source, package) if is_ours(name)]
    return [name for name in names if layer_of(name) != own and RANKS[layer_of(name)] >= rank]


def module_name(path: str) -> str:
    """Dotted name of a file or folder in the package."""
    parts = ["minitransformer", *path.removesuffix(".py").split("/")]
    return ".".join(filter(None, parts)).removesuffix(".__init__")


def imported_names(source: str, package: str) -> Iterator[str]:
    """Full names of all that a module of ``package`` imports, at the top or later."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) + 1 - node.level] if node.level else []
            origin = [*above, *filter(None, [node.module])]
            yield from (".".join([*origin, alias.name]) for alias in node.names)


def is_ours(name: str) -> bool:
    return name.split(".")[0] == "minitransformer"


def layer_of(name: str) -> str:
    """Top-level module that one of our names belongs to, also by way of a public shortcut."""
    root, *rest = name.split(".")
    if rest[:1] == ["backends"] and rest[1:]:
        return "kernels"
    return minitransformer._OWNERS.get(rest[0], rest[0]) if rest else root


def test_imports_go_down() -> None:
    found = {
        importer: forbidden_imports(path.read_text(encoding="utf-8"), importer)
        for importer, path in FILES.items()
    }
    assert not {importer: names for importer, names in found.items() if names}


@pytest.mark.parametrize(
    "source",
    [
        "from minitransformer.models import GPT",
        "from minitransformer.models.gpt import GPT",
        "import minitransformer.models.gpt",
        "import minitransformer",
        "from minitransformer import models",
        "from minitransformer import GPT",
        "from minitransformer.testing import gradcheck",
        "from minitransformer.data import Batch",
        "from ..models import GPT",
        "from .. import models",
        "def late():\n    from minitransformer.cli import main",
    ],
)
def test_an_import_upwards_is_found(source: str) -> None:
    assert len(forbidden_imports(source, "nn/layers.py")) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np",
        "from minitransformer import __version__, ops, set_backend",
        "from minitransformer.ops import matmul_forward",
        "from ..ops import matmul_forward",
        "from . import module",
        "from .module import Module",
    ],
)
def test_an_import_downwards_is_allowed(source: str) -> None:
    assert forbidden_imports(source, "nn/layers.py") == []
    assert forbidden_imports(source, "nn/__init__.py") == []


def test_the_seam_knows_no_kernels_and_kernels_know_the_seam() -> None:
    kernel = "backends/numba/softmax.py"
    assert forbidden_imports("from minitransformer.backends import numba", "backend.py")
    assert not forbidden_imports("import minitransformer.backends", "backend.py")
    assert not forbidden_imports("from minitransformer.ops import softmax_forward", kernel)
    assert not forbidden_imports("from minitransformer.nn import PreNormBlock", kernel)
    assert forbidden_imports("from minitransformer.models import GPT", kernel)
    assert forbidden_imports("from minitransformer.backends.numba import gemm", "nn/blocks.py")


def test_a_module_without_a_layer_is_found() -> None:
    with pytest.raises(KeyError, match="novelty"):
        forbidden_imports("import math", "novelty.py")


def test_public_names_are_where_the_type_checker_sees_them() -> None:
    declared = [
        name
        for name in imported_names(FILES["__init__.py"].read_text(encoding="utf-8"), "")
        if is_ours(name)
    ]
    owned = [f"minitransformer.{owner}.{name}" for name, owner in minitransformer._OWNERS.items()]
    modules = [f"minitransformer.{module}" for module in minitransformer._EXPORTS]
    assert sorted(declared) == sorted(owned + modules)


@pytest.mark.parametrize("name", [*minitransformer.__all__, "__version__"])
def test_public_name_exists(name: str) -> None:
    assert getattr(minitransformer, name) is not None
    assert name in dir(minitransformer)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'minitransformer' has no attribute 'perceptron'"):
        minitransformer.perceptron  # noqa: B018


def run_python(code: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", code, *arguments]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return finished.stdout.split()


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, time; start = time.process_time(); import minitransformer; "
        "print(time.process_time() - start, *sys.modules)"
    )
    runs = [run_python(code) for _ in range(3)]
    assert min(float(seconds) for seconds, *_ in runs) < 0.3
    for _, *loaded in runs:
        assert not {"numpy", "numba", "matplotlib", "importlib.metadata"} & set(loaded)


# Importing a module imports its package first, so that only the top level starts from nothing.
IMPORT_EACH = """
import importlib, sys
for name in sys.argv[1:]:
    if name.count(".") == 1:
        for loaded in [each for each in sys.modules if each.startswith("minitransformer")]:
            del sys.modules[loaded]
    importlib.import_module(name)
    print(name)
"""


@pytest.mark.systems
def test_every_module_can_be_the_first_import() -> None:
    names = [module_name(path) for path in FILES]
    assert run_python(IMPORT_EACH, *names) == names
