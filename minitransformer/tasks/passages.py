"""What pydoc tells of the standard library: passages, and the package that each is about."""

import ast
import hashlib
import sysconfig
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from minitransformer.data import default_text
from minitransformer.errors import InputError
from minitransformer.tasks.pairs import read_pairs

SECTIONS = ("asyncio", "email", "http", "importlib", "logging", "unittest", "urllib", "xml")
"""Packages of the standard library that are explained in many docstrings."""

PARTS = ("validation", *("held out",) * 2, *("train",) * 5)
"""What an eighth of the passages each is for."""

SHORTEST = 60
"""Characters of a docstring that says enough to tell its package by."""

DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
"""What has a docstring."""


class Passage(NamedTuple):
    """A docstring of a package, in one line."""

    part: str  # "train", "validation" or "held out"
    section: str  # one of SECTIONS
    text: str


class Docstring(NamedTuple):
    """What is written in front of a module, a class or a function."""

    section: str  # its package, or "" if its module is in none
    paragraphs: tuple[str, ...]  # each in one line

    @property
    def text(self) -> str:
        """All of it in one line."""
        return " ".join(self.paragraphs)


def load_passages(path: Path) -> list[Passage]:
    """Read passages from a file: in each line a part, a section and a text, tabs between them.

    Raises
    ------
    InputError
        If the file is missing or damaged, or a section is none of SECTIONS.
    """
    passages = [Passage(*row) for row in read_pairs(path)]
    for line, passage in enumerate(passages, start=1):
        if passage.section not in SECTIONS:
            raise InputError(
                f"{path}, line {line}: the section is {passage.section!r}, expected one of "
                f"{', '.join(SECTIONS)}"
            )
    return passages


@cache
def docstrings() -> tuple[Docstring, ...]:
    """All docstrings of the packages, and of the modules that are in no package.

    Raises
    ------
    InputError
        If this Python was installed without its standard library in source.
    """
    root = Path(sysconfig.get_path("stdlib"))
    folders = {"": root.glob("*.py")} | {name: root.glob(f"{name}/**/*.py") for name in SECTIONS}
    found = [
        Docstring(section, paragraphs)
        for section, paths in folders.items()
        for path in sorted(paths)
        for paragraphs in _paragraphs_of(path)
    ]
    if not found:
        raise InputError("this Python has no standard library in source; nothing to learn")
    return tuple(found)


def _paragraphs_of(path: Path) -> Iterator[tuple[str, ...]]:
    with tokenize.open(path) as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS):
            yield _paragraphs(ast.get_docstring(node) or "")


def read_passages() -> list[Passage]:
    """All passages of all sections: 5/8 to learn from, 1/8 to choose settings by, 1/4 held out.

    What a passage is for depends on nothing but its text, so that it is the same in every run.

    Raises
    ------
    InputError
        If a section has no passage in one of the parts.
    """
    texts = {each.text: each.section for each in reversed(docstrings())}
    passages = [
        Passage(PARTS[hashlib.sha256(text.encode()).digest()[0] % len(PARTS)], section, text)
        for text, section in texts.items()
        if section and len(text) >= SHORTEST
    ]
    kinds = {(passage.section, passage.part) for passage in passages}
    for section in SECTIONS:
        if not {(section, part) for part in PARTS} <= kinds:
            raise InputError(
                f"the class {section!r} is missing in the data: this Python's standard library has "
                "too few docstrings on it"
            )
    return passages


def unlabelled_text() -> str:
    """All docstrings and the language reference, but for the paragraphs of held-out passages."""
    held_out = {passage.text for passage in read_passages() if passage.part == "held out"}
    hidden = {
        paragraph for each in docstrings() if each.text in held_out for paragraph in each.paragraphs
    }
    told = [paragraph for each in docstrings() for paragraph in each.paragraphs]
    kept = dict.fromkeys(p for p in (*_paragraphs(default_text()), *told) if p not in hidden)
    return "\n".join(kept)


def _paragraphs(text: str) -> tuple[str, ...]:
    lines = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return tuple(line for line in lines if line)
