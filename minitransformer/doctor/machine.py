"""The machine: Python, processor, memory, the terminal, and folders that must be writable."""

import ctypes
import importlib
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minitransformer.doctor.report import PACKAGE, Finding, set_variable

TELLING_FEATURES = re.compile(r"avx|fma|f16c|bf16|amx|neon|sve|dotprod|i8mm")


def hardware() -> Iterator[Finding]:
    """What kind of machine this is."""
    yield Finding("machine", "python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("machine", "system", platform.platform())
    yield Finding("machine", "processor", _processor())
    yield Finding("machine", "cores", str(_cores()))
    if memory := _memory():
        yield Finding("machine", "memory", f"{memory / 2**30:.1f} GiB")
    encoding = (sys.stdout.encoding or "unknown").lower()
    if encoding.replace("-", "") == "utf8":
        yield Finding("machine", "terminal", encoding)
    else:
        value = f"{encoding}: some generated characters cannot be shown"
        yield Finding("machine", "terminal", value, "hint", set_variable("PYTHONUTF8", "1"))


def _processor() -> str:
    try:
        llvm = importlib.import_module("llvmlite.binding")
    except ImportError:
        return platform.processor() or platform.machine()
    features = [name for name, present in llvm.get_host_cpu_features().items() if present]
    telling = sorted(filter(TELLING_FEATURES.search, features))
    return f"{platform.machine()} {llvm.get_host_cpu_name()} ({' '.join(telling)})"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int | None:
    """Physical memory in bytes, if the system tells."""
    if sys.platform == "win32":
        kibibytes = ctypes.c_ulonglong()
        known = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kibibytes))
        return kibibytes.value * 1024 if known else None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def folders() -> Iterator[Finding]:
    """Where training reads and writes."""
    here = Path.cwd()
    if is_writable(here):
        free = shutil.disk_usage(here).free / 2**30
        yield Finding("folders", "this folder", f"{here} ({free:.1f} GiB free)")
    else:
        fix = "change to a folder that you may write to"
        yield Finding("folders", "this folder", f"cannot write in {here}", "problem", fix)
    cache = Path(os.environ.get("NUMBA_CACHE_DIR") or PACKAGE / "__pycache__")
    if is_writable(cache):
        yield Finding("folders", "kernel cache", str(cache))
    else:
        value = f"cannot write in {cache}: kernels would be compiled at every start"
        fix = set_variable("NUMBA_CACHE_DIR", str(Path.home() / ".cache" / "numba"))
        yield Finding("folders", "kernel cache", value, "hint", fix)
    if importlib.util.find_spec("pydoc_data"):
        yield Finding("folders", "default text", "pydoc_data.topics")
    else:
        value = "this Python was shipped without pydoc_data.topics"
        yield Finding("folders", "default text", value, "hint", "minitransformer train --data FILE")


def is_writable(folder: Path) -> bool:
    """Whether a file can be made in the folder, or in the nearest parent that exists."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False
