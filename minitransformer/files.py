"""Writing files so that a crash or a full disk never costs the file that was there before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from minitransformer.errors import InputError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` in one step at the end, and only if all went well.

    The bytes go to `<name>.tmp` beside `path`, are forced to the disk, and are then renamed. A
    reader, or a process killed at any moment, finds either the old file or the new one, whole.

    Parameters
    ----------
    path : str or Path
        The file to write; its folder must exist.

    Yields
    ------
    BinaryIO
        The temporary file.

    Raises
    ------
    InputError
        If the system cannot write: no such folder, no permission, disk full.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary.is_file():
            temporary.unlink()
        if isinstance(error, OSError):
            raise InputError(
                f"cannot write {path}: {error.strerror or error}; what was there before is "
                "untouched. Make room or choose another place."
            ) from error
        raise
