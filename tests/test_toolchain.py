"""What is said where the compiler for GPUs or the driver is missing, old or of another kind."""

import ctypes
from importlib import metadata
from types import SimpleNamespace

import pytest

from minitransformer import toolchain
from minitransformer.doctor import compute
from minitransformer.errors import InputError
from minitransformer.toolchain import Driver


@pytest.fixture
def machine(monkeypatch):
    """Pretend that these distributions and this driver are there."""

    def pretend(driver, **versions):
        known = {name.replace("_", "-"): version for name, version in versions.items()}

        def version(name):
            if name not in known:
                raise metadata.PackageNotFoundError(name)
            return known[name]

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(toolchain, "driver", lambda: driver)

    return pretend


COMPLETE = {"numba_cuda": "0.30.4", "nvidia_cuda_nvcc": "13.5.37", "cuda_toolkit": "13.5.0"}


def test_nothing_is_missing(machine):
    machine(Driver((13, 0), 1), **COMPLETE)
    toolchain.require(toolchain.compiler_complaint(), toolchain.driver_complaint())
    findings = list(compute.gpu())
    assert [finding.verdict for finding in findings] == ["ok", "ok"]
    assert findings[0].value == "numba-cuda 0.30.4, nvidia-cuda-nvcc 13.5.37"
    assert findings[1].value == "1, with a driver for CUDA 13.0"


@pytest.mark.parametrize(
    ("driver", "versions", "what", "remedy"),
    [
        (None, {}, r"compiler for GPUs is missing \(numba-cuda, nvidia-cuda-nvcc\)", "pip install"),
        (None, {"numba_cuda": "0.30.4"}, r"missing \(nvidia-cuda-nvcc\)", "nvidia-cuda-nvcc"),
        (None, COMPLETE, "there is no driver", "nvidia.com/drivers.*emulated"),
        (Driver((13, 0), 0), COMPLETE, "finds no GPU", "device emulated"),
        (Driver((12, 4), 1), COMPLETE, "CUDA 12.4, but .* CUDA 13", r"numba-cuda\[cu12\]"),
    ],
)
def test_what_is_missing_is_said_with_what_mends_it(machine, driver, versions, what, remedy):
    machine(driver, **versions)
    with pytest.raises(InputError, match=f"{what}.*: .*{remedy}"):
        toolchain.require(toolchain.compiler_complaint(), toolchain.driver_complaint())
    assert "hint" in [finding.verdict for finding in compute.gpu()]


def library(version=13000, failing=""):
    """What ctypes would load: three functions, one of which may fail."""

    def answers(name, value):
        def function(*arguments):
            if arguments and hasattr(arguments[0], "_obj"):
                arguments[0]._obj.value = value
            return int(name == failing)

        return function

    values = {"cuDriverGetVersion": version, "cuInit": 0, "cuDeviceGetCount": 2}
    return SimpleNamespace(**{name: answers(name, value) for name, value in values.items()})


@pytest.mark.parametrize(
    ("loaded", "expected"),
    [
        (library(), Driver((13, 0), 2)),
        (library(12040), Driver((12, 4), 2)),
        (library(failing="cuInit"), Driver((13, 0), 0)),
        (library(failing="cuDriverGetVersion"), None),
    ],
)
def test_the_driver_is_asked(monkeypatch, loaded, expected):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: loaded)
    assert toolchain.driver() == expected


def test_there_may_be_no_driver(monkeypatch):
    def absent(name):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert toolchain.driver() is None
