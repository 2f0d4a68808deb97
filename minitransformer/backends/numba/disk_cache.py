"""Where compiled kernels are kept between runs.

Numba compiles a function again when the function's own file has changed. But kernels contain what
they call, from other files. So all are kept in one folder, named after every source file here: an
edit anywhere means a new folder, and the old one is removed.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba

SOURCES = Path(__file__).parent
PREFIX = "kernels-"
WARM = "warm"
"""File that says that all kernels have been compiled."""


def folder() -> Path | None:
    """Where kernels are kept; None if Numba chooses.

    Beside the sources, or in ``NUMBA_CACHE_DIR`` if that is set. Where sources are read-only nobody
    edits them, and Numba's own choice serves.
    """
    chosen = numba.config.CACHE_DIR
    root = Path(chosen) / "minitransformer" if chosen else SOURCES / "__pycache__"
    return root / f"{PREFIX}{digest(SOURCES)}" if is_writeable(root) else None


def is_warm() -> bool:
    """Whether :func:`mark_warm` has been called for these sources, or cannot be."""
    return FOLDER is None or (FOLDER / WARM).exists()


def mark_warm() -> None:
    """Remember that all kernels have been compiled."""
    if FOLDER is not None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / WARM).touch()


@contextmanager
def own_folder() -> Iterator[None]:
    """Keep the kernels that are decorated in this block in our folder, and remove older ones."""
    before = numba.config.CACHE_DIR
    if FOLDER is not None:
        for old in FOLDER.parent.glob(f"{PREFIX}*"):
            if old != FOLDER:
                shutil.rmtree(old, ignore_errors=True)
        numba.config.CACHE_DIR = str(FOLDER)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def digest(sources: Path) -> str:
    """Return 16 digits that change with the name or text of any Python file in a folder."""
    total = hashlib.sha256()
    for path in sorted(sources.glob("*.py")):
        total.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def is_writeable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


FOLDER = folder()
