"""What a machine has for GPUs: the compiler, for which pip is enough, and the driver.

Nothing here needs another package, so that it can be asked before anything else works.
"""

import ctypes
import sys
from importlib import metadata
from typing import NamedTuple

from minitransformer.errors import InputError

COMPILER = ("numba-cuda", "nvidia-cuda-nvcc")
"""Distributions without which no kernel is compiled."""
DISASSEMBLERS = ("nvidia-cuda-cuobjdump", "nvidia-cuda-nvdisasm")
"""Distributions that show what became of a kernel."""
TOOLKIT = "cuda-toolkit"
"""Distribution whose version is that of CUDA."""

INSTALL = f'pip install "numba-cuda[cu13]" {" ".join((*COMPILER[1:], *DISASSEMBLERS))}'
WITHOUT_GPU = "without a GPU choose the device emulated, or simulated for tiny arrays"

LIBRARIES = {"win32": "nvcuda.dll"}
SUCCESS = 0


class Driver(NamedTuple):
    """What the driver from NVIDIA says."""

    cuda: tuple[int, int]
    """Newest version of CUDA that it supports."""
    gpus: int


class Complaint(NamedTuple):
    """What is missing, and what mends it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def installed(name: str) -> str | None:
    """Version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def driver() -> Driver | None:
    """Ask the driver; None if there is none."""
    try:
        library = ctypes.CDLL(LIBRARIES.get(sys.platform, "libcuda.so.1"))
    except OSError:
        return None
    version, gpus = ctypes.c_int(), ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(version)) != SUCCESS:
        return None
    if library.cuInit(0) != SUCCESS or library.cuDeviceGetCount(ctypes.byref(gpus)) != SUCCESS:
        return Driver(_major_minor(version.value), 0)
    return Driver(_major_minor(version.value), gpus.value)


def _major_minor(version: int) -> tuple[int, int]:
    """12040 is CUDA 12.4."""
    return version // 1000, version % 1000 // 10


def compiler_complaint() -> Complaint | None:
    """Say why no kernel can be compiled."""
    missing = ", ".join(name for name in COMPILER if installed(name) is None)
    return Complaint(f"the compiler for GPUs is missing ({missing})", INSTALL) if missing else None


def driver_complaint() -> Complaint | None:
    """Say why no GPU can be used."""
    found = driver()
    if found is None:
        return Complaint(
            "there is no driver from NVIDIA",
            f"install that of your GPU from https://www.nvidia.com/drivers; {WITHOUT_GPU}",
        )
    if not found.gpus:
        return Complaint("the driver from NVIDIA finds no GPU", WITHOUT_GPU)
    toolkit = int((installed(TOOLKIT) or "0").split(".")[0])
    if toolkit > found.cuda[0]:
        major, minor = found.cuda
        return Complaint(
            f"the driver supports CUDA {major}.{minor}, but the compiler is of CUDA {toolkit}",
            f'update the driver, or pip install "numba-cuda[cu{major}]"',
        )
    return None


def require(*complaints: Complaint | None) -> None:
    """Raise the first complaint that there is.

    Raises
    ------
    InputError
        In one sentence, with what to do.
    """
    for complaint in complaints:
        if complaint:
            raise InputError(str(complaint))
