"""A folder of answers trains a model; what it lacks, NumPy does."""

import numpy as np
import pytest

from minitransformer import ops
from minitransformer.backend import forget, use_backend
from minitransformer.errors import InputError
from minitransformer.optim import SGD
from minitransformer.schedules import warmup_cosine
from minitransformer.testing import MODELS
from minitransformer.training import train

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


TRAINING = """\
def clip_grad_norm(grads, longest):
    return 7.0

def warmup_cosine(s, top, ramp, end, low=0.0):
    return 0.5

def sgd_step(p, g, v, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    p[...] = lr

def pre_norm_block_backward(block, dout, memory):
    return dout * 0
"""


def test_training_uses_what_surrounds_the_ops(answers):
    (answers / "training.py").write_text(TRAINING, encoding="utf-8")
    model, batch = MODELS["GPT"]()
    optimizer = SGD(model.parameters(), lr=0.0)
    with use_backend("student"):
        (step,) = train(model, optimizer, lambda i: batch, lambda i: warmup_cosine(i, 1, 2, 9), 1)
    assert (step.gradient_norm, step.learning_rate) == (7.0, 0.5)
    assert all((parameter.data == 0.5).all() for parameter in model.parameters())
    assert not any(parameter.grad.any() for parameter in model.blocks[0].parameters())
