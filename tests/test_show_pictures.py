"""Pictures: every one has words, and what they say is right."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from minitransformer import ops, show
from minitransformer.data import Batch
from minitransformer.errors import InputError
from minitransformer.models import GPT, GPTConfig
from minitransformer.show.heatmap import number


@pytest.fixture
def model() -> GPT:
    return GPT(GPTConfig(11, context=8, layers=3, heads=2, width=8))


@pytest.fixture
def batch() -> Batch:
    ids = np.random.default_rng(0).integers(11, size=(2, 7))
    return Batch(ids[:, :-1], ids[:, 1:])


def is_well_formed(picture: show.Picture) -> bool:
    ET.fromstring(f"<div>{picture.html.replace('&nbsp;', ' ')}</div>")
    return "http" not in picture.html.replace("http://www.w3.org/2000/svg", "")


def test_every_picture_is_well_formed_and_has_words(model: GPT, batch: Batch) -> None:
    _, cache = model.loss(batch)
    pictures = [
        show.pair("softmax"),
        show.tree(cache),
        show.memory(model, batch),
        show.attention(cache.blocks[0].attention, list("abcdef")),
        show.attention(np.full((2, 3), 0.5)),
        show.gradient_flow(model, batch),
        show.loss_landscape(model, batch),
        show.gradcheck_curve("linear"),
        show.heatmap(np.array([np.nan, np.inf, -np.inf, -1.0]), "odd"),
        show.heatmap(np.zeros((0, 3)), "empty"),
        show.heatmap(np.ones((9, 40, 100)), "long"),
        show.step_through("linear", np.ones((2, 3)), np.ones((3, 4)), np.ones(4)).frame(0),
    ]
    for picture in pictures:
        assert is_well_formed(picture)
        assert repr(picture) == picture.text != ""


def test_a_heat_map_says_what_it_leaves_out() -> None:
    words = show.heatmap(np.ones((9, 40, 100)), "long", ("B", "T", "C")).text
    assert "long (B 9, T 40, C 100)" in words
    assert "the first 6 of 9 panels; the first 32 × 48 of 40 × 100" in words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.25, "−0.25"), (1234.5, "1e3"), (np.nan, "NaN"), (-np.inf, "−∞"), (7, "7")],
)
def test_numbers_are_short(value: Any, text: str) -> None:
    assert number(value) == text


def test_tree_and_memory_count_the_same_bytes(model: GPT, batch: Batch) -> None:
    _, cache = ops.layer_norm_forward(np.ones((2, 3)), np.ones(3), np.ones(3))
    tree = show.tree(cache).text
    assert "cache.xhat" in tree
    assert "2 × 3" in tree
    assert "48" in tree
    assert "blocks[2]" in show.memory(model, batch).text


def test_looking_at_a_model_leaves_it_as_it_was(model: GPT, batch: Batch) -> None:
    parameters = [p.data.copy() for p in model.parameters()]
    model.parameters()[0].grad[...] = 3.0
    grads = [p.grad.copy() for p in model.parameters()]
    show.gradient_flow(model, batch)
    show.loss_landscape(model, batch)
    for parameter, data, grad in zip(model.parameters(), parameters, grads, strict=True):
        assert np.array_equal(parameter.data, data)
        assert np.array_equal(parameter.grad, grad)
    with pytest.raises(InputError, match="no blocks"):
        show.gradient_flow(object(), batch)


def test_the_curve_of_finite_differences_is_a_u() -> None:
    words = show.gradcheck_curve("gelu").text
    central = words.split("central, float64: ")[1].split(";")[0]
    found = re.fullmatch(r"from (\S+) to (\S+), least (\S+) at (\S+)", central)
    assert found is not None
    shortest, longest, least, step = map(float, found.groups())
    assert least < 1e-9
    assert min(shortest, longest) > 100 * least
    assert 1e-7 < step < 1e-2
