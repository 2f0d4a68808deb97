"""Reading text: the English that Python ships, or the user's own files."""

import os
from collections.abc import Iterable
from pathlib import Path

from minitransformer.errors import InputError

SUFFIXES = (".txt", ".text", ".md", ".rst")
"""Files taken from a folder; a file that is named itself may be called anything."""


def default_text() -> str:
    """Return real English that needs no download: the language reference of this very Python.

    Returns
    -------
    str
        About 465,000 characters, sorted by topic; a little different in each version of Python.

    Raises
    ------
    InputError
        If this Python was installed without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise InputError(
            "this Python has no pydoc_data, the default text. Give a text file of your own."
        ) from error
    return "\n".join(topics[name] for name in sorted(topics))


def read_text(paths: str | Path | Iterable[str | Path]) -> str:
    r"""Read text files, and all text files in folders, as one text.

    Parameters
    ----------
    paths : path, or iterable of paths
        Files, in the order given, and folders, searched to any depth for the `SUFFIXES` in the
        order of their names.

    Returns
    -------
    str
        The files, one after another, a line break between each. A byte order mark is dropped;
        line ends ``\r\n`` and ``\r`` become ``\n``.

    Raises
    ------
    InputError
        If a file is missing or not UTF-8 (it names the offset of the first bad byte), a folder
        has no text file, or there is no text in all of them.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    text = "\n".join(_read_file(file) for path in paths for file in _text_files(Path(path)))
    if not text.strip():
        raise InputError(f"no text in {', '.join(map(str, paths)) or 'no files'}: nothing to learn")
    return text


def _text_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [
        Path(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if name.lower().endswith(SUFFIXES)
    ]
    if not found:
        raise InputError(f"the folder {path} has no text file ({', '.join(SUFFIXES)})")
    return sorted(found, key=Path.as_posix)


def _read_file(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    bad = _first_bad_byte(data)
    if bad is not None:
        raise InputError(
            f"{path} is not UTF-8 text: byte 0x{data[bad]:02X} at offset {bad}. "
            "If it is text at all, save it as UTF-8."
        )
    text = data.decode().removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _first_bad_byte(data: bytes) -> int | None:
    """Find where bytes stop being text: invalid UTF-8, or the NUL bytes of a binary file."""
    valid, nul = len(data), data.find(0)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        valid = error.start
    first = min(valid, nul) if nul >= 0 else valid
    return first if first < len(data) else None
