"""The gradient of every whole model is right, and one that is not is found."""

import numpy as np
import pytest

from minitransformer import models, ops
from minitransformer.nn import Dropout, LearnedPositions, Linear, Module
from minitransformer.testing import MODELS, LawError, check_model
from minitransformer.testing.models import model_gradient
from tests.whole_models import GPT_FIRST

pytestmark = pytest.mark.usefixtures("checked_shapes")

WHOLE_MODELS = {
    name
    for name in models.__all__
    if issubclass(getattr(models, name), Module) and hasattr(getattr(models, name), "loss")
}


def test_every_model_is_tried():
    assert set(MODELS) == WHOLE_MODELS


@pytest.mark.parametrize("name", GPT_FIRST)
def test_gradients_are_right_and_the_model_is_left_as_it_was(name):
    model, batch = MODELS[name]()
    before = model.state_dict()
    row = check_model(model, batch)
    assert row.verdict == ""
    assert (row.name, row.backend, row.dtype) == (name, "numpy", "float64")
    assert 0 < row.error <= 1e-7
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[key])
    assert not any(parameter.grad.any() for parameter in model.parameters())


def test_a_model_in_single_precision_is_refused():
    model, batch = MODELS["GPT"]()
    single = models.GPT(model.config)
    with pytest.raises(TypeError, match="float32, expected float64"):
        model_gradient(single, batch)


def forgets_the_bias(self, dy, cache):
    dx, dw, _ = ops.linear_backward(dy, cache)
    ops.accumulate(self.weight.grad, dw)
    return dx


def forgets_the_positions(self, dy, cache):
    return dy


def forgets_dropout(self, dy, cache):
    return dy


def overwrites_instead_of_adding(self, dy, cache):
    dx, dw, db = ops.linear_backward(dy, cache)
    self.weight.grad[...] = dw
    self.bias.grad[...] = db
    return dx


@pytest.mark.parametrize(
    ("part", "backward"),
    [
        (Linear, forgets_the_bias),
        (Linear, overwrites_instead_of_adding),
        (LearnedPositions, forgets_the_positions),
        (Dropout, forgets_dropout),
    ],
)
def test_a_planted_fault_is_found(part, backward, monkeypatch):
    monkeypatch.setattr(part, "backward", backward)
    row = check_model(*MODELS["GPT"]())
    assert not row.passed
    assert "gradient" in row.verdict


def test_a_tied_weight_needs_both_its_gradients(monkeypatch):
    def without_the_output(self, dlogits, cache):
        cache = cache._replace(logits=cache.logits._replace(x=0 * cache.logits.x))
        return backward_logits(self, dlogits, cache)

    backward_logits = models.GPT.backward_logits
    monkeypatch.setattr(models.GPT, "backward_logits", without_the_output)
    with pytest.raises(LawError, match="gradient of (all parameters|token_embedding)"):
        model_gradient(*MODELS["GPT"]())


def test_a_large_gradient_does_not_cover_for_a_small_one(monkeypatch):
    def nearly_right(self, dy, cache):
        if self.bias.shape == (18,):  # of query, key and value: the smallest gradients
            ops.accumulate(self.bias.grad, np.full(18, 2e-8))
        return backward(self, dy, cache)

    backward = Linear.backward
    monkeypatch.setattr(Linear, "backward", nearly_right)
    with pytest.raises(LawError, match=r"gradient of blocks\.\d\.attention\.query_key_value\.bias"):
        model_gradient(*MODELS["GPT"]())


def test_a_loss_that_is_not_finite_is_refused(monkeypatch):
    monkeypatch.setattr(models.GPT, "loss", lambda *args: (np.float64("nan"), None))
    with pytest.raises(LawError, match="loss is nan"):
        model_gradient(*MODELS["GPT"]())
