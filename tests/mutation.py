"""Change the ops by machine, one operator or number at a time, and see the laws reject each change.

    python -m tests.mutation                  every module of minitransformer.ops, some minutes
    python -m tests.mutation softmax linear   some of them

The changes are those of cosmic-ray. Its own runner writes each to disk and starts a process for it;
here they are tried in memory, by the laws of the ops concerned. The survivors are written, each
with the reason why it is none, to ``tests/mutation_survivors.txt``; reasons are kept from there. A
survivor without a reason, or less than 95% rejected, is an error.
"""

import argparse
import ast
import inspect
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from minitransformer import ops
from minitransformer.testing import SPECS, Subject
from minitransformer.testing.checks import prove
from minitransformer.testing.functions import FUNCTIONS, equals_reference
from minitransformer.testing.laws import reference
from minitransformer.testing.subject import TOLERANCES
from tests.bad_calls import BAD_CALLS, REAL, complaint, parameters

CHECKS = "checks"  # no arithmetic: only good and bad calls tell
PACKAGE = "minitransformer.ops"
SOURCES = {path.stem: path for path in sorted(Path(ops.__file__).parent.glob("[!_]*.py"))}
SURVIVORS = Path(__file__).with_name("mutation_survivors.txt")
WANTED = 0.95
WITHOUT = re.compile("VariableInserter|VariableReplacer|RemoveDecorator|ExceptionReplacer")
OPERATORS = [get_operator(name)() for name in sorted(operator_names()) if not WITHOUT.search(name)]
NO_REASON = "no reason is known: a hole in the laws"


class Change(NamedTuple):
    """A module with one change."""

    module: str
    old: str
    new: str
    text: str
    concerned: frozenset[str]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.module, self.old, self.new


def changes(module: str) -> Iterator[Change]:
    """Yield every change that is a program, statement by statement."""
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    statements = [
        ast.unparse(bare(node)) for node in tree.body if not isinstance(node, ast.ClassDef)
    ]
    for i, statement in enumerate(statements):
        concerned = concerned_by(statement, statements)
        nodes = list(ast_nodes(get_ast(statement)))
        for operator in OPERATORS:
            for occurrence in range(sum(len(list(operator.mutation_positions(n))) for n in nodes)):
                changed = mutate_code(statement, operator, occurrence)
                lines = zip(statement.splitlines(), changed.splitlines(), strict=True)
                old, new = next((a.strip(), b.strip()) for a, b in lines if a != b)
                text = "\n".join([*statements[:i], changed, *statements[i + 1 :]])
                if is_program(text):
                    yield Change(module, old, new, text, concerned)


def concerned_by(statement: str, statements: list[str]) -> frozenset[str]:
    """Names of what a statement defines, and of all that is built on it."""
    found: set[str] = set()
    new = defined(statement)
    while new - found:
        found |= new
        word = re.compile(rf"\b({'|'.join(map(re.escape, found))})\b")
        new = {name for other in statements if word.search(other) for name in defined(other)}
    return frozenset(found)


def defined(statement: str) -> set[str]:
    names = (ast.unparse(getattr(node, "targets", [node])[0]) for node in ast.parse(statement).body)
    functions = re.search(r"^def (\w+)", statement, re.MULTILINE)
    return {functions[1]} if functions else {name for name in names if name.isidentifier()}


def bare(tree: ast.AST) -> ast.AST:
    """Take away annotations and docstrings, which do nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            node.body = node.body[1:] if ast.get_docstring(node) else node.body
        if isinstance(node, ast.arg):
            node.annotation = None
    return tree


def is_program(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def survives(change: Change) -> bool:
    """Whether all laws accept a change, and all bad calls are refused as before."""
    with np.errstate(all="ignore"):
        try:
            functions = changed_functions(change)
            return all(refuses_and_accepts(*item) for item in functions.items()) and (
                change.module == CHECKS or all(obeys_laws(*item) for item in functions.items())
            )
        except Exception:
            return False


def changed_functions(change: Change) -> dict:
    """Load the changed module, or if it is that of the checks, all that use it.

    The real ones are not touched.
    """
    before = {name: module for name, module in sys.modules.items() if name.startswith("mini")}
    sys.modules["minitransformer.backend"] = seam = ModuleType("minitransformer.backend")
    seam.op = checked
    try:
        found = load(change.module, change.text)
        if change.module != CHECKS:
            return {name: f for name, f in found.items() if name in change.concerned}
        for module in SOURCES.keys() - {CHECKS}:
            found |= load(module, SOURCES[module].read_text(encoding="utf-8"))
        return found
    finally:
        sys.modules.update(before)


def checked(check=None, **options):
    """Stand-in for `minitransformer.backend.op`: checks, but enters no table."""

    def decorate(function):
        def call(*args, **kwargs):
            if check is not None:
                check(*args, **kwargs)
            return function(*args, **kwargs)

        call.__wrapped__ = function
        call.__qualname__ = call.__name__ = function.__name__
        call.impls = {"numpy": function}
        call.check = check
        if check is not None:
            check.__qualname__ = function.__name__
        return call

    return decorate


def load(module: str, text: str) -> dict:
    """Run a module's text. The types of caches stay the real ones, since dispatch asks for them."""
    name = f"{PACKAGE}.{module}"
    real = sys.modules[name]
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not isinstance(node, ast.ClassDef)]
    loaded = ModuleType(name)
    vars(loaded).update({n: value for n, value in vars(real).items() if inspect.isclass(value)})
    exec(compile(tree, f"<{name}>", "exec"), vars(loaded))
    sys.modules[name] = loaded
    functions = {n: f for n, f in vars(loaded).items() if inspect.isfunction(f)}
    return {n: f for n, f in functions.items() if f.__module__ in (name, __name__)}


def refuses_and_accepts(name: str, function) -> bool:
    """Whether bad calls are refused in the same words, and good ones are not."""
    check = getattr(function, "check", None)
    if check is not None and parameters(check) != parameters(function):
        return False
    for bad in BAD_CALLS.get(name, ()):
        if complaint(function, bad) != complaint(REAL[name], bad):
            return False
    op, _, half = name.rpartition("_")
    for arguments in SPECS[op].cases().values() if op in SPECS else ():
        if half == "forward":
            function(**arguments)
        else:
            y, cache = SPECS[op].forward(**arguments)
            function(y, cache)
    return True


def obeys_laws(name: str, function) -> bool:
    """Whether a function is as good as the real one, as far as there are laws for it."""
    if name in FUNCTIONS:
        spec = replace(FUNCTIONS[name], function=function)
        return all(equals_reference(spec, dtype=dtype) < 1 for dtype in TOLERANCES)
    op = name.rpartition("_")[0]
    if op not in SPECS:
        return True
    impls = getattr(ops, name).impls
    impls["changed"] = inspect.unwrap(function)
    try:
        subjects = [Subject(SPECS[op], "changed", dtype) for dtype in TOLERANCES]
        for arguments in SPECS[op].cases().values():  # the quickest way to most
            reference(subjects[0], arguments, np.random.default_rng(0))
        return all(prove(subject) < 1 for subject in subjects)
    finally:
        del impls["changed"]


def reasons() -> dict[tuple[str, str, str], str]:
    """Read why earlier survivors are none."""
    text = SURVIVORS.read_text(encoding="utf-8") if SURVIVORS.exists() else ""
    found = re.findall(r"^(\w+)\.py\n  - (.*)\n  \+ (.*)\n    (.*)\n", text, re.MULTILINE)
    return {(module, old, new): why for module, old, new, why in found}


def report(tried: int, survivors: list[Change], known: dict) -> str:
    share = 1 - len(survivors) / tried
    head = f"{tried} changes of minitransformer.ops, {share:.1%} rejected. Those that were not:\n"
    return head + "".join(
        f"\n{c.module}.py\n  - {c.old}\n  + {c.new}\n    {known.get(c.key, NO_REASON)}\n"
        for c in survivors
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help=f"by default all of {', '.join(SOURCES)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    tried = [change for module in options.modules or SOURCES for change in changes(module)]
    print(f"{len(tried)} changes", flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(survives, tried))
    survivors = [change for change, survived in zip(tried, outcomes, strict=True) if survived]
    text = report(len(tried), survivors, known := reasons())
    print(text)
    if not options.modules:
        SURVIVORS.write_text(text, encoding="utf-8", newline="\n")
    enough = len(survivors) <= (1 - WANTED) * len(tried)
    return 0 if enough and all(change.key in known for change in survivors) else 1


if __name__ == "__main__":
    sys.exit(main())
