"""Python source, and what its tokenizer says of every character."""

import hashlib
import io
import sysconfig
import tokenize
from collections.abc import Iterator, Sequence
from keyword import iskeyword
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minitransformer.errors import InputError

LABELS = ("nothing", "keyword", "name", "number", "string", "comment", "operator")
"""What a character can be part of; blanks and line ends are part of nothing."""

PACKAGES = (
    "asyncio",
    "concurrent/futures",
    "ctypes",
    "email",
    "encodings",
    "html",
    "http",
    "importlib",
    "json",
    "logging",
    "multiprocessing",
    "unittest",
    "urllib",
    "xml/dom",
    "xml/etree",
)
"""Parts of the standard library that are folders; their files are read too."""

_KINDS = {
    tokenize.NUMBER: "number",
    tokenize.STRING: "string",
    tokenize.COMMENT: "comment",
    tokenize.OP: "operator",
}
_KINDS |= {  # the parts of an f-string, from Python 3.12 on
    number: "string"
    for number, name in tokenize.tok_name.items()
    if name.startswith(("FSTRING_", "TSTRING_"))
}


def label_characters(source: str) -> NDArray[np.uint8]:
    """The place in `LABELS` of what each character is part of.

    Parameters
    ----------
    source
        A whole Python file.

    Returns
    -------
    (T,)

    Raises
    ------
    InputError
        If it is not Python.
    """
    lines = source.splitlines(keepends=True)
    starts = np.cumsum([0, *map(len, lines)])
    labels = np.zeros(len(source), np.uint8)
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            name = _KINDS.get(token.type)
            if token.type == tokenize.NAME:
                name = "keyword" if iskeyword(token.string) else "name"
            if name:
                first, last = (starts[row - 1] + column for row, column in (token.start, token.end))
                labels[first:last] = LABELS.index(name)
    except (tokenize.TokenError, SyntaxError) as error:
        raise InputError(f"the source is not Python: {error}") from error
    return labels


def label_pieces(source: str, pieces: Sequence[str]) -> NDArray[np.uint8]:
    """The place in `LABELS` of each piece: what its first character that is not blank is part of.

    Parameters
    ----------
    source
        A whole Python file.
    pieces : N strings
        The same, cut up; some may be empty.

    Returns
    -------
    (N,)

    Raises
    ------
    InputError
        If it is not Python.
    """
    labels = label_characters(source)
    borders = np.cumsum([len(piece) for piece in pieces])[:-1]
    parts = np.split(labels, borders)
    return np.array([part[np.argmax(part > 0)] if len(part) else 0 for part in parts], np.uint8)


def standard_library(characters: int) -> Iterator[str]:
    """Files of this Python's standard library, in an order that mixes subjects.

    Parameters
    ----------
    characters
        No further file is taken once there are as many; files in ASCII of middling size only.
    """
    root = Path(sysconfig.get_path("stdlib"))
    files = [*root.glob("*.py"), *(path for name in PACKAGES for path in root.glob(f"{name}/*.py"))]
    names = sorted(
        (path.relative_to(root).as_posix() for path in files),
        key=lambda name: hashlib.sha256(name.encode()).digest(),
    )
    taken = 0
    for name in names:
        source = (root / name).read_bytes()
        if source.isascii() and 1_000 < len(source) < 80_000 and taken < characters:
            taken += len(source)
            yield source.decode().expandtabs().replace("\r\n", "\n").replace("\f", "")
