"""Which device computes, and that all kernels run in the simulator, or on a GPU if there is one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minitransformer import toolchain
from minitransformer.errors import InputError
from minitransformer.placement import DEVICE_VARIABLE
from minitransformer.runs import select_backend

TESTS = Path(__file__).parent


def lane(device, *options, **variables):
    """Try all kernels on a device, in a process of its own: Numba is told when it is imported."""
    environment = {**os.environ, DEVICE_VARIABLE: device, **variables}
    files = sorted(map(str, TESTS.glob("test_cuda_*.py")))
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-m", "cuda", *options, *files]
    return subprocess.run(
        command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, timeout=600
    )


@pytest.mark.slow
def test_all_kernels_run_in_the_simulator():
    options = ("--assert=plain", "-p", "no:cacheprovider")  # nothing is to be compiled or kept
    finished = lane("simulated", *options, NUMBA_ENABLE_CUDASIM="1")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert int(re.search(r"(\d+) passed", finished.stdout)[1]) > 100


@pytest.mark.parametrize(
    ("name", "device", "what"),
    [
        ("cuda", "abacus", "device .* is 'abacus', expected one of gpu, simulated, emulated"),
        (None, "abacus", "device .* is 'abacus'"),
        ("numpy", "emulated", "device is emulated, which is of the cuda backend, not of numpy"),
    ],
)
def test_a_device_that_does_not_exist_is_named(monkeypatch, name, device, what):
    monkeypatch.setenv(DEVICE_VARIABLE, "simulated")
    with pytest.raises(InputError, match=what):
        select_backend(name, device)


@pytest.mark.gpu
@pytest.mark.skipif(
    bool(missing := toolchain.compiler_complaint() or toolchain.driver_complaint()),
    reason=str(missing),
)
def test_all_kernels_run_on_the_gpu():
    finished = lane("gpu")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "passed" in finished.stdout
