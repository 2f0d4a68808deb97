"""A folder of answers trains a model; what it lacks, NumPy does."""

import numpy as np
import pytest

from minitransformer import BPETokenizer, ops
from minitransformer.backend import COMPOSED, OPS, forget, use_backend
from minitransformer.data import draw_masked_tokens
from minitransformer.errors import InputError
from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.folder import README
from minitransformer.nn import SinusoidalPositions
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


AROUND = """\
import numpy as np

def bpe_encode(word, merges):
    return [7, *word]

def causal_mask(T, S):
    return np.ones((T, S), bool)

def padding_mask(lengths, S):
    return np.zeros((len(lengths), 1, 1, S), bool)

def mask_tokens(ids, chosen, action, random_ids, mask_id):
    return ids * 0, ids * 0

def sinusoidal_positions(length, width, dtype=np.float64):
    return np.zeros((length, width), dtype)

def unbroadcast(gradient, shape):
    return np.full(shape, 5.0)
"""


def test_tokens_masks_and_positions_are_used_as_well(answers):
    (answers / "around.py").write_text(AROUND, encoding="utf-8")
    x = np.random.default_rng(0).standard_normal((1, 1, 3, 2))
    rng = np.random.default_rng(0)
    with use_backend("student"):
        assert BPETokenizer([]).encode("a") == [7, 97]
        _, cache = ops.attention_forward(x, x, x, causal=True)
        assert cache.probs.all()
        assert not ops.padding_mask(np.array([2]), 3).any()
        assert not draw_masked_tokens(np.ones((1, 4), int), rng, 9, 9)[0].any()
        assert not SinusoidalPositions(3, 4).table.any()
        _, cache = ops.add_forward(x, x)
        assert (ops.add_backward(x, cache)[0] == 5.0).all()


def test_what_no_run_calls_is_said_in_the_folder():
    known = {**OPS, **COMPOSED}
    functions = [e.function for e in CATALOGUE.values() if e.kind == "function"]
    unreached = {f.__name__ for f in functions if f.__name__ not in known}
    assert unreached == {"central_difference", "perplexity", "beam_search", "average_gradients"}
    said = "beam search, perplexity, averaging,\ncentral differences"
    assert said in README
