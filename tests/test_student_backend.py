"""A folder of answers trains a model; what it lacks, NumPy does."""

import numpy as np
import pytest

from minitransformer import ops
from minitransformer.backend import forget, use_backend
from minitransformer.errors import InputError

RELU = """\
import numpy as np

def relu_forward(a):
    return np.maximum(a, 0), {"where": a > 0}

def relu_backward(grad, memory):
    return (grad * memory["where"],)
"""
ADD = "def add_forward(a, b):\n    return a + b + 1\n"
STUB = 'def mse_forward(x, y):\n    raise NotImplementedError("mse_forward")\n'


@pytest.fixture
def answers(tmp_path, monkeypatch):
    monkeypatch.setenv("MINITRANSFORMER_ANSWERS", str(tmp_path))
    forget("student")
    yield tmp_path
    forget("student")


def test_answers_are_used_op_by_op(answers):
    for name, text in {"relu": RELU, "add": ADD, "mse": STUB, "notes": "1 / 0"}.items():
        (answers / f"{name}.py").write_text(text, encoding="utf-8")
    x = np.array([-1.0, 2.0])
    with use_backend("student"):
        y, cache = ops.relu_forward(x)
        assert (y == [0.0, 2.0]).all()
        assert (ops.relu_backward(x, cache)[0] == [0.0, 2.0]).all()
        total, cache = ops.add_forward(a=x, b=x)
        assert (total == [-1.0, 5.0]).all()
        assert (ops.add_backward(x, cache)[0] == x).all()
        assert ops.mse_forward(x, x)[0] == 0.0
        assert type(ops.gelu_forward(x)[1]).__name__ == "GeluCache"


def test_results_do_not_share_memory_with_arguments(answers):
    text = "def relu_backward(dy, cache):\n    return (dy,)\n"
    (answers / "relu.py").write_text(text, encoding="utf-8")
    x = np.ones(3)
    with use_backend("student"):
        _, cache = ops.relu_forward(x)
        assert not np.shares_memory(ops.relu_backward(x, cache)[0], x)


def test_a_folder_without_answers_is_an_error(answers):
    with pytest.raises(InputError, match="no file in .* defines an op"), use_backend("student"):
        pass


def test_a_file_that_cannot_be_run_is_an_error(answers):
    (answers / "relu.py").write_text("1 / 0\n" + RELU, encoding="utf-8")
    with (
        pytest.raises(InputError, match=r"relu\.py cannot be run: ZeroDivisionError"),
        use_backend("student"),
    ):
        pass
