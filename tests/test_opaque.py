"""Models leave all arithmetic to ops: they run on arrays that nothing but an op can look into."""

import numpy as np
import pytest

from minitransformer import ops
from minitransformer.backend import OPS, backends, get_backend
from minitransformer.nn import PreNormBlock
from minitransformer.optim import clip_grad_norm
from minitransformer.testing.differences import cotangent
from minitransformer.testing.models import MODELS
from minitransformer.testing.opaque import (
    OpaqueArray,
    hide_parameters,
    opaque_backend,
    to_numpy,
    to_opaque,
)
from minitransformer.testing.specs import SPECS
from minitransformer.testing.trees import same_numbers
from tests.whole_models import GPT_FIRST


def steps(model, batch, wrap):
    """Two optimization steps by ops alone; returns the losses and the gradients' norms."""
    learning = [p for p in model.parameters() if not p.frozen]
    moments = [[wrap(np.zeros(p.shape, p.dtype)) for _ in "mv"] for p in learning]
    numbers = []
    for t in (1, 2):
        model.zero_grad()
        loss, cache = model.loss(batch, np.random.default_rng(t))
        model.backward(cache)
        norm = clip_grad_norm([p.grad for p in learning], 0.01)
        for p, (m, v) in zip(learning, moments, strict=True):
            ops.adamw_step(p.data, p.grad, m, v, t, lr=0.01, weight_decay=0.1)
        numbers += [float(loss), norm]
    return numbers


@pytest.mark.parametrize("name", GPT_FIRST)
def test_a_whole_model_trains_on_opaque_arrays(name):
    plain, batch = MODELS[name]()
    hidden, _ = MODELS[name]()
    hide_parameters(hidden)
    expected = steps(plain, batch, wrap=lambda array: array)
    with opaque_backend():
        got = steps(hidden, batch, wrap=to_opaque)
    assert got == expected
    assert min(expected[1::2]) > 0.01  # clipped
    for p, q in zip(plain.parameters(), hidden.parameters(), strict=True):
        assert isinstance(q.data, OpaqueArray)
        np.testing.assert_array_equal(p.data, to_numpy(q.data))


def test_arithmetic_in_a_model_is_found(monkeypatch):
    forward = PreNormBlock.__call__

    def with_arithmetic(self, x, *args):
        y, cache = forward(self, x, *args)
        return y + x, cache

    monkeypatch.setattr(PreNormBlock, "__call__", with_arithmetic)
    model, batch = MODELS["GPT"]()
    model.loss(batch)
    hide_parameters(model)
    with opaque_backend(), pytest.raises(TypeError, match="unsupported operand"):
        model.loss(batch)


@pytest.mark.parametrize("op", SPECS)
def test_ops_do_on_opaque_arrays_what_they_do_on_others(op):
    spec = SPECS[op]
    for arguments in spec.cases().values():
        y, cache = spec.forward(**arguments)
        dy = cotangent(y, np.random.default_rng(0))
        expected = spec.backward(dy, cache)
        with opaque_backend():
            hidden = {name: to_opaque(value) for name, value in arguments.items()}
            opaque_y, opaque_cache = spec.forward(**hidden)
            got = spec.backward(to_opaque(dy), opaque_cache)
        assert type(opaque_cache) is type(cache)
        assert not any(isinstance(part, np.ndarray) for part in (opaque_y, *opaque_cache, *got))
        assert same_numbers(to_numpy(opaque_y), y)
        assert same_numbers(to_numpy(got), expected)


@pytest.mark.parametrize(
    "peek",
    [
        lambda x: x + x,
        lambda x: 2.0 * x,
        lambda x: np.ones(3) * x,
        lambda x: -x,
        lambda x: x @ x,
        lambda x: x == x,
        lambda x: x != 0,
        lambda x: x < 1,
        lambda x: 1 if x else 0,
        lambda x: x[0],
        lambda x: len(x),
        lambda x: list(x),
        lambda x: float(x),
        np.asarray,
        np.exp,
        np.zeros_like,
        np.sum,
    ],
)
def test_opaque_arrays_cannot_be_looked_into(peek):
    with pytest.raises(TypeError):
        peek(OpaqueArray(np.ones(3)))


@pytest.mark.parametrize("name", ["T", "flags", "ndim", "copy", "sum", "astype"])
def test_opaque_arrays_have_nothing_else(name):
    assert not hasattr(OpaqueArray(np.ones(3)), name)


def test_what_opaque_arrays_have():
    opaque = OpaqueArray(np.ones((2, 3), np.float32))
    assert (opaque.shape, opaque.size, opaque.dtype) == ((2, 3), 6, np.float32)
    assert opaque.reshape(-1).shape == opaque.reshape((6,)).shape == (6,)
    assert repr(opaque) == "OpaqueArray(shape=(2, 3), dtype=float32)"


def test_the_backend_is_gone_afterwards():
    before = get_backend()
    with opaque_backend():
        assert get_backend() == "opaque"
        assert all("opaque" in op.impls for op in OPS.values())
    assert get_backend() == before
    assert "opaque" not in backends()
