"""Where compiled PTX is kept between runs: a kernel takes most of a second to compile.

A kernel contains what it calls, from other files. So all are kept in one folder, named after every
source file of this backend and the versions of the compiler: an edit anywhere means a new folder.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

SOURCES = Path(__file__).parent
PREFIX = "ptx-"
COMPILERS = ("numba", "numba-cuda", "nvidia-nvvm", "nvidia-cuda-nvcc")
DAY = 24 * 60 * 60  # seconds; a folder of other sources may be in use for so long


def remember(key: str, compile_it: Callable[[], str]) -> str:
    """Return what was kept under this key, or else compile and keep it."""
    home = folder()
    if home is None:
        return compile_it()
    path = home / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.ptx"
    if path.exists():
        return path.read_text(encoding="utf-8")
    text = compile_it()
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="\n", dir=home, delete=False
    ) as new:
        new.write(text)
    os.replace(new.name, path)  # whole or not at all, whoever else compiles it
    return text


@cache
def folder() -> Path | None:
    """Where PTX is kept, made if need be; None where nothing can be written."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(chosen) / "minitransformer" if chosen else SOURCES / "__pycache__"
    home = root / f"{PREFIX}{digest()}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError:
        return None
    for old in root.glob(f"{PREFIX}*"):
        if old != home and old.stat().st_mtime < time.time() - DAY:
            shutil.rmtree(old, ignore_errors=True)
    return home


def digest() -> str:
    """Return 16 digits that change with the sources of this backend and with the compiler."""
    total = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.py")):
        total.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    for name in COMPILERS:
        total.update(f"{name} {_version(name)}".encode())
    return total.hexdigest()[:16]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
