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


def places(picture: show.Picture) -> list[tuple[str, float, float, float, float]]:
    """Text and box of every label: left, top, right, bottom; and the picture itself as ""."""
    found = []
    namespace = "{http://www.w3.org/2000/svg}"
    for svg in ET.fromstring(f"<div>{picture.html}</div>").iter(f"{namespace}svg"):
        found.append(("", 0.0, 0.0, *map(float, svg.attrib["viewBox"].split()[2:])))
        for text in svg.iter(f"{namespace}text"):
            content = text.text or ""
            x, y, length = float(text.attrib["x"]), float(text.attrib["y"]), 6.6 * len(content)
            left = x - {"start": 0, "middle": length / 2, "end": length}[text.attrib["text-anchor"]]
            box = (left, y - 8, left + length, y)
            if "transform" in text.attrib:  # turned upwards
                box = (x - 8, y - length, x, y)
            found.append((content, *box))
    return found


LONG = np.arange(8.0).reshape(4, 2)


@pytest.mark.parametrize(
    "picture",
    [
        show.heatmap(LONG, "x", ("probability", "one of the scores")),
        show.heatmap(LONG[None, None].repeat(2, 1), "x", ("batch", "the head", "T", "S")),
        show.attention(np.eye(3), ["a", "bb", "something"], ["something", "long", "here"]),
        show.attention(np.eye(20), [f"token {n}" for n in range(20)]),
        show.curves({"a line with a name": ("green", [(1, 2), (1000, 3)])}, "x", "y"),
    ],
)
def test_labels_are_neither_cut_nor_on_top_of_each_other(picture: show.Picture) -> None:
    labels = places(picture)
    width, height = labels[0][3:]
    boxes = [label for label in labels if label[0]]
    for name, left, top, right, bottom in boxes:
        assert left >= -0.5, name
        assert top >= -0.5, name
        assert right <= width + 0.5, name
        assert bottom <= height + 0.5, name
    titles = [box for box in boxes if box[0].endswith(" →")]
    for _, left, top, right, bottom in titles:
        for other, *box in boxes:
            apart = box[0] >= right or box[2] <= left or box[1] >= bottom or box[3] <= top
            assert apart or other.endswith(" →"), other


def labels(points: list[tuple[float, float]], **options: bool) -> list[str]:
    picture = show.curves({"line": ("forward", points)}, "across", "up", **options)
    return [name for name, *_ in places(picture) if name not in ("", "line", "across")]


def test_ticks_are_round_numbers() -> None:
    assert labels([(0, 0.0), (7, 0.93)], log_y=False) == [
        *("0", "0.2", "0.4", "0.6", "0.8", "1"),
        *("0", "2", "4", "6"),
    ]
    assert labels([(1, 3.0), (2000, 40.0)], log_x=True) == [
        *("2", "5", "10", "20", "50"),
        *("1", "10", "100", "1,000"),
    ]
    assert labels([(5, 2e-5), (6, 1.0)])[:3] == ["10⁻⁵", "10⁻⁴", "10⁻³"]
    assert labels([(0, -3.0), (1, 3.0)], log_y=False)[:4] == ["−4", "−2", "0", "2"]


def test_a_curve_leaves_out_what_its_axes_cannot_show() -> None:
    points = [(0, 1.0), (1, 0.0), (2, np.inf), (3, 4.0)]
    both = show.curves({"line": ("forward", points)}, "x", "y")
    assert "from 1 to 4" in both.text
    assert both.html.count("<circle") == 2
    assert "least 0 at 1" in show.curves({"line": ("pink", points)}, "x", "y", log_y=False).text
    level = show.curves({"line": ("neutral", [(0, 2.0), (1, 2.0)])}, "x", "y")
    assert is_well_formed(level)


def test_sizes_along_depth_are_those_of_each_block(model: GPT, batch: Batch) -> None:
    _, cache = model.loss(batch)
    activations, gradients = show.sizes_along_depth(model, batch)
    assert len(activations) == len(gradients) == 3
    x, _ = model.token_embedding(batch.inputs)
    x, _ = model.positions(x)
    for block, activation in zip(model.blocks, activations, strict=True):
        x, _ = block(x, causal=True)
        assert activation == pytest.approx(np.sqrt(np.mean(x**2)))
    (dlogits,) = ops.cross_entropy_backward(1.0, cache.cross_entropy)
    dx, _, _ = ops.linear_backward(dlogits, cache.logits)
    dx = model.norm.backward(dx, cache.norm)
    assert gradients[-1] == pytest.approx(np.sqrt(np.mean(dx**2)))
