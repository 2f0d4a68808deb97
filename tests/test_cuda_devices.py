"""Which device computes, and that kernels run on one; the ops are tried with ``-m cuda``."""

import os
import subprocess
import sys

import pytest

from minitransformer import toolchain
from minitransformer.errors import InputError
from minitransformer.placement import DEVICE_VARIABLE
from minitransformer.runs import select_backend

FEW_THREADS = """
import numpy as np
from minitransformer import ops
from minitransformer.backend import set_backend
set_backend("cuda")
from minitransformer.backends.cuda.arrays import to_device
x = to_device(np.array([[-1.0, 2.0, 3.0]], np.float32))
y, cache = ops.relu_forward(x)
ops.accumulate(y, x)
assert y.to_host().tolist() == [[-1.0, 4.0, 6.0]]
assert ops.sum_of_squares(y) == 53.0
"""


def run(code, device, **variables):
    environment = {**os.environ, DEVICE_VARIABLE: device, **variables}
    environment.pop("NUMBA_ENABLE_CUDASIM", None)
    command = [sys.executable, *code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def test_kernels_run_in_the_simulator():
    finished = run(["-c", FEW_THREADS], "simulated")
    assert finished.returncode == 0, finished.stderr


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
    finished = run(["-m", "pytest", "-q", "-n0", "-m", "cuda", os.path.dirname(__file__)], "gpu")
    assert finished.returncode == 0, finished.stdout
    assert "passed" in finished.stdout
