"""What the tests of the cuda backend share. They run on the device that the environment names.

The simulator is tried by ``pytest`` as it is; by hand, or on another device:

::

    NUMBA_ENABLE_CUDASIM=1 MINITRANSFORMER_CUDA_DEVICE=simulated pytest -m cuda
    MINITRANSFORMER_CUDA_DEVICE=emulated pytest -m cuda
    MINITRANSFORMER_CUDA_DEVICE=gpu pytest -m cuda
"""

import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from minitransformer.backend import use_backend
from minitransformer.placement import DEVICE_VARIABLE
from minitransformer.testing import FunctionSpec, Subject

DEVICE = os.environ.get(DEVICE_VARIABLE)
SIMULATED = DEVICE == "simulated"
"""The simulator takes a millisecond for what the others do in a microsecond."""


@pytest.fixture
def cuda() -> Iterator[None]:
    """Select the cuda backend; skip where no device was asked for, fail if it does not start."""
    if not DEVICE:
        pytest.skip(f"needs {DEVICE_VARIABLE}: gpu, emulated, or simulated")
    with use_backend("cuda"):
        yield


def on_device(tree: Any) -> Any:
    """Copy all arrays in arguments to the device."""
    from minitransformer.backends.cuda.arrays import to_device

    return _map(tree, np.ndarray, to_device)


def to_host(tree: Any) -> Any:
    """Copy all device arrays in a result or a cache; those without axes become numbers."""
    from minitransformer.backends.cuda.arrays import DeviceArray
    from minitransformer.backends.cuda.key_values import Filled

    return _map(tree, (DeviceArray, Filled), lambda array: array.to_host()[()])


def _map(tree: Any, leaf: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(tree, leaf):
        return change(tree)
    if isinstance(tree, dict):
        return {name: _map(item, leaf, change) for name, item in tree.items()}
    if isinstance(tree, tuple | list):
        items = [_map(item, leaf, change) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return tree


@dataclasses.dataclass(frozen=True)
class DeviceSubject(Subject):
    """An op on the device: its cache stays there, results are brought home to be looked at."""

    backend: str = "cuda"
    dtype: str = "float32"

    def forward(self, arguments: Any) -> tuple[Any, Any]:
        y, cache = super().forward(arguments)
        return to_host(y), cache

    def backward(self, dy: Any, cache: Any) -> Any:
        return to_host(super().backward(dy, cache))


def with_arrays_on_device(spec: FunctionSpec) -> FunctionSpec:
    """Make a function that overwrites arrays of the device one that overwrites its arguments."""

    def function(**arguments: Any) -> Any:
        moved = on_device(arguments)
        result = to_host(spec.function(**moved))
        _copy_back(moved, arguments)
        return result

    return dataclasses.replace(spec, function=function)


def _copy_back(moved: Any, given: Any) -> None:
    if isinstance(given, np.ndarray):
        given[...] = to_host(moved)
    elif isinstance(given, dict):
        for name in given:
            _copy_back(moved[name], given[name])
    elif isinstance(given, list | tuple):
        for one, other in zip(moved, given, strict=True):
            _copy_back(one, other)
