"""What this machine offers to training, and the command that mends what is missing.

The doctor itself needs nothing but the standard library, so that it can still speak when the
packages cannot.
"""

from collections.abc import Callable, Iterator

from minitransformer.doctor import compute, machine, packages
from minitransformer.doctor.report import Finding, exit_status, render

__all__ = ["Finding", "diagnose", "exit_status", "render"]

LOOKS = (
    machine.hardware,
    machine.folders,
    packages.requirements,
    compute.blas,
    compute.numba,
    compute.backends,
)


def diagnose() -> list[Finding]:
    """Look at everything that training depends on; a look that fails is a finding too."""
    return [finding for look in LOOKS for finding in _guarded(look)]


def _guarded(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:  # a doctor that crashes helps nobody
        value = f"could not look: {type(error).__name__}: {error}"
        yield Finding(look.__name__, look.__name__, value, "hint")
