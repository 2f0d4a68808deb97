"""Files of JSON lines, to which a long job appends what it measures."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minitransformer.errors import InputError
from minitransformer.files import atomic_write

Record = dict[str, Any]
"""What was measured, and as ``index`` the step after which."""


def append_record(path: Path, record: Record) -> None:
    """Add a line.

    Raises
    ------
    InputError
        If the file cannot be written, as when the disk is full.
    """
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(_line(record))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write all lines; an old file is replaced when the new one is complete."""
    with atomic_write(path) as file:
        file.write("".join(map(_line, records)).encode())


def read_records(path: Path) -> list[Record]:
    """Read all lines, none if there is no file; a last line that a crash cut off is dropped.

    Raises
    ------
    InputError
        If another line is damaged.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(_parse(line))
        except ValueError:
            if number < len(lines):
                raise InputError(
                    f"{path} is damaged in line {number}; mend or delete that line"
                ) from None
    return records


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"


def _parse(line: bytes) -> Record:
    record: Record = json.loads(line)
    if not (isinstance(record, dict) and isinstance(record.get("index"), int)):
        raise ValueError("not a record")
    return record
