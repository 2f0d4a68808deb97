import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from minitransformer import backend, ops
from minitransformer.backend import OPS, backends, get_backend, kernel, op, set_backend, use_backend


class Remembered(NamedTuple):
    x: np.ndarray


class Foreign(NamedTuple):
    x: np.ndarray


@pytest.fixture
def double(monkeypatch):
    """A throw-away pair of ops that leaves no trace in the tables.

    The tables stay the same objects: what is imported meanwhile, for good, keeps them.
    """
    for name in ("double_forward", "double_backward"):
        monkeypatch.setitem(OPS, name, None)  # taken out again at the end
    monkeypatch.setattr(backend, "_cache_makers", {})

    def check(x):
        if x is None:
            raise TypeError("double: x is None")

    @op(check)
    def double_forward(x):
        """Twice x."""
        return 2.0 * x, Remembered(x)

    @op()
    def double_backward(dy, cache: Remembered):
        return (2.0 * dy,)

    return double_forward, double_backward


def test_numpy_is_the_default():
    assert get_backend() == os.environ.get("MINITRANSFORMER_BACKEND", "numpy")
    assert "numpy" in backends()


def test_the_wrapper_shows_the_textbook(double):
    forward, _ = double
    assert forward.__doc__ == "Twice x."
    assert forward.impls["numpy"](1.0)[0] == 2.0


def test_a_kernel_is_used_where_it_exists_and_numpy_elsewhere(double):
    forward, backward = double

    @kernel("student", forward)
    def mine(x):
        return "mine", Remembered(x)

    with use_backend("student"):
        assert forward(1.0)[0] == "mine"
        assert backward(1.0, Remembered(1.0)) == (2.0,)
    assert forward(1.0)[0] == 2.0
    assert forward.impls["student"](1.0)[0] == "mine"


def test_backward_runs_where_the_cache_was_made(double):
    forward, backward = double

    @kernel("student", forward, cache=Foreign)
    def mine_forward(x):
        return 2.0 * x, Foreign(x)

    @kernel("student", backward, cache=Foreign)
    def mine_backward(dy, cache):
        return ("student",)

    with use_backend("student"):
        _, cache = forward(1.0)
    assert get_backend() == "numpy"
    assert backward(1.0, cache) == ("student",)
    assert backward(dy=1.0, cache=cache) == ("student",)
    assert backward(1.0, cache=cache) == ("student",)


def test_a_kernel_with_other_parameters_is_refused(double):
    forward, _ = double
    with pytest.raises(TypeError, match="parameters are y, expected x"):
        kernel("student", forward)(lambda y: y)
    assert "student" not in forward.impls


def test_a_kernel_with_other_defaults_is_refused():
    with pytest.raises(TypeError, match="with the textbook's defaults"):
        kernel("student", ops.layer_norm_forward)(lambda x, gamma, beta, eps=1e-3: None)
    assert "student" not in ops.layer_norm_forward.impls


def test_the_textbook_cannot_be_replaced():
    with pytest.raises(ValueError, match="numpy is the textbook"):
        kernel("numpy", ops.relu_forward)(lambda x: None)


def test_the_textbook_takes_its_own_cache_whatever_is_active(double):
    forward, backward = double
    kernel("student", backward, cache=Foreign)(lambda dy, cache: ("student",))
    _, cache = forward(1.0)
    with use_backend("student"):
        assert backward(1.0, cache) == (2.0,)


def test_a_foreign_cache_is_refused():
    with pytest.raises(TypeError, match=r"relu_backward: cache is a NoneType, expected the Relu"):
        ops.relu_backward(np.ones(2), None)


def test_missing_arguments_name_the_op(double):
    forward, _ = double
    with pytest.raises(TypeError, match=r"double_forward\(\) missing 1 required"):
        forward()


def test_arguments_are_checked_before_any_kernel(double):
    forward, _ = double
    with pytest.raises(TypeError, match="x is None"):
        forward(None)


def test_device_backends_do_not_fall_back(double):
    forward, _ = double
    kernel("opaque", double[1])(lambda dy, cache: (dy,))
    with use_backend("opaque"), pytest.raises(NotImplementedError, match="no opaque kernel"):
        forward(1.0)


def test_use_backend_restores_after_an_error():
    with pytest.raises(RuntimeError), use_backend("numpy"):
        raise RuntimeError
    assert get_backend() == "numpy"


@pytest.mark.parametrize("name", ["nunpy", "", "../numba", "numpy.linalg"])
def test_an_unknown_backend_is_named(name):
    with pytest.raises(ValueError, match=r"does not exist; choose one of .*numpy"):
        set_backend(name)


def test_the_environment_selects_a_backend():
    code = "from minitransformer.backend import get_backend; print(get_backend())"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "MINITRANSFORMER_BACKEND": "numpy"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "numpy\n"
    environment["MINITRANSFORMER_BACKEND"] = "typo"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "'typo' does not exist" in done.stderr
