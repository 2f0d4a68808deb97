"""The machine: what it is, and what else it does while something is measured."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minitransformer.doctor.machine import hardware

psutil: Any = importlib.import_module("psutil") if importlib.util.find_spec("psutil") else None
"""The module, or None if it is not installed."""

PACKAGES = ("numpy", "numba", "torch", "jax")
TOLERATED = 0.1
"""Cores that other processes may use without a warning."""


def describe() -> dict[str, str]:
    """Everything about the machine that a time depends on."""
    found = {finding.name: finding.value for finding in hardware()}
    versions = {name: _version(name) for name in PACKAGES if importlib.util.find_spec(name)}
    return {
        "processor": " ".join(filter(None, [_model_name(), found["processor"]])),
        "cores": found["cores"],
        "memory": found.get("memory", "unknown"),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **versions,
    }


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _model_name() -> str:
    """The processor's name in shops, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else ""


class Watch:
    """Sees how much processor time others took while contestants had their turns.

    Needs psutil; without it nothing is seen, and the warnings say so.
    """

    def __init__(self) -> None:
        self.wall = 0.0
        self.others = 0.0
        """Processor seconds of other processes, and of other virtual machines on this one."""

    @contextmanager
    def turn(self, pid: int | None = None) -> Iterator[None]:
        """Watch while the process ``pid`` works, or this one alone."""
        if psutil is None:
            yield
            return
        processes = [psutil.Process(each) for each in {pid or os.getpid(), os.getpid()}]
        before = self._busy(processes)
        began = time.perf_counter()
        yield
        self.wall += time.perf_counter() - began
        self.others += self._busy(processes) - before

    def _busy(self, ours: list[Any]) -> float:
        """Seconds of processor time since the machine started, without those of some processes."""
        all_times = psutil.cpu_times()
        idle = all_times.idle + getattr(all_times, "iowait", 0.0)
        guest = getattr(all_times, "guest", 0.0) + getattr(all_times, "guest_nice", 0.0)
        own = [process.cpu_times() for process in ours]
        return float(
            sum(all_times) - idle - guest - sum(times.user + times.system for times in own)
        )

    def warnings(self) -> list[str]:
        """What to know before believing the times."""
        if psutil is None:
            return ["psutil is not installed: whether other processes ran meanwhile is not known"]
        held = self.others / self.wall if self.wall else 0.0
        if held > TOLERATED:
            return [f"other processes held {held:.2f} cores meanwhile: not a quiet machine"]
        return []
