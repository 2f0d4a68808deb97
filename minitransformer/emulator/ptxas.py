"""Registers, spills and shared memory, from the assembler that makes machine code of PTX."""

import importlib.util
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from minitransformer.errors import InputError

INSTALL = "pip install nvidia-cuda-nvcc"


@dataclass(frozen=True)
class Resources:
    """What a kernel takes, as machine code."""

    registers: int
    """Of each thread."""
    shared: int
    """Bytes of each block."""
    spill_bytes: int
    """Stored and loaded by each thread because registers did not suffice."""
    stack: int
    """Bytes of local memory of each thread."""


def find_ptxas() -> Path:
    """The ``ptxas`` that pip installed. One from elsewhere may be too old for the PTX.

    Raises
    ------
    InputError
        If there is none, with the command that installs it.
    """
    package = importlib.util.find_spec("nvidia")
    for folder in (package.submodule_search_locations or []) if package else []:
        for path in sorted(Path(folder).glob("*/bin/**/ptxas*")):
            return path
    raise InputError(f"the assembler ptxas is missing: {INSTALL}")


def resources(ptx: str, capability: tuple[int, int]) -> Resources:
    """Assemble a PTX text with one kernel and read what it takes.

    Raises
    ------
    InputError
        If there is no assembler, or it refuses the text.
    """
    major, minor = capability
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx, encoding="utf-8", newline="\n")
        target = f"--gpu-name=sm_{major}{minor}"
        command = [str(find_ptxas()), "-v", target, "-o", f"{source}.o", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"ptxas refuses the kernel: {done.stderr.strip()[:400]}")
    return read(done.stderr)


def read(report: str) -> Resources:
    """What ``ptxas -v`` says."""

    def number(pattern: str) -> int:
        return sum(int(found) for found in re.findall(pattern, report))

    return Resources(
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes smem"),
        number(r"(\d+) bytes spill"),
        number(r"(\d+) bytes stack frame"),
    )
