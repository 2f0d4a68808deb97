"""Stepping through functions: what is recorded is what happened, and nothing is left behind."""

import functools
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import ops, show
from minitransformer.backend import get_backend
from minitransformer.errors import InputError
from minitransformer.nn import MultiHeadAttention
from minitransformer.nn.attention import multi_head_attention_backward
from minitransformer.ops.rotary import rotate
from minitransformer.show import html, recorder, trace
from minitransformer.show.listing import Listing
from minitransformer.testing import SPECS
from minitransformer.testing.differences import cotangent
from minitransformer.testing.trees import named_arrays


def same(a: Any, b: Any) -> bool:
    first, second = (dict(named_arrays(each, "")) for each in (a, b))
    return first.keys() == second.keys() and all(
        np.array_equal(first[path], second[path], equal_nan=True) for path in first
    )


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=12)
@given(data=st.data())
def test_what_is_recorded_is_what_a_plain_run_computes(name: str, data: Any) -> None:
    spec = SPECS[name]
    cases = spec.cases(data.draw(st.integers(0, 99)))
    arguments = cases[data.draw(st.sampled_from(sorted(cases)))]
    y, cache = spec.forward(**arguments)
    dy = cotangent(y, np.random.default_rng(1))
    steps = show.step_through((spec.forward, spec.backward), dy=dy, **arguments)
    assert steps.backward is not None
    assert same(steps.forward.result, (y, cache))
    assert same(steps.backward.result, spec.backward(dy, cache))
    for value in steps.forward.final().values():
        if value.shape is not None:
            assert len(value.axes) == len(value.shape)
    recorded = [v.data for v in steps.forward.final().values() if v.shape is not None]
    if isinstance(y, np.ndarray):
        assert any(np.array_equal(y, each, equal_nan=True) for each in recorded)
    assert steps._repr_html_()


def running_total(values: np.ndarray, stop: int) -> np.ndarray:
    total = np.zeros(1)
    for value in values[:stop]:
        total += value
    return total / stop


def test_loops_and_changes_in_place_are_steps_of_their_own() -> None:
    run = show.step_through(running_total, np.array([1.0, 2.0, 4.0]), 3).forward
    totals = [float(s.assigned["total"].data[0]) for s in run.steps if "total" in s.assigned]
    assert totals == [0.0, 1.0, 3.0, 7.0]
    assert float(run.steps[-1].assigned["total / stop"].data[0]) == pytest.approx(7 / 3)
    assert run.state(-1).keys() == {"values", "stop"}
    assert float(run.state(3)["total"].data[0]) == 1.0
    assert run.complete


def test_an_array_that_a_call_changes_is_recorded_again() -> None:
    steps = show.step_through("embedding", np.array([2, 0, 2]), np.ones((3, 2)), dy=np.ones((3, 2)))
    assert steps.backward is not None
    sums = [float(s.assigned["dw"].data.sum()) for s in steps.backward.steps if "dw" in s.assigned]
    assert sums == [0.0, 6.0]


def test_backward_finds_the_forward_line_that_it_differentiates() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 2, n, 3)) for n in (2, 4, 4))
    steps = show.step_through("attention", q, k, v)
    assert steps.backward is not None
    forward, backward = steps.forward.listing.statements, steps.backward.listing.statements
    found = {backward[b].binds[0]: forward[f].binds[0] for b, f in steps.quoted.items()}
    assert found["dv"] == "y"
    assert found["dprobs"] == "dropped"
    assert found["dscores"] == "probs"
    assert found["dq"] == found["dk"] == "scores"
    assert steps.backward.final()["dk"].axes == ("B", "Hk", "S", "D")


def fails(x: np.ndarray) -> np.ndarray:
    doubled = 2.0 * x
    raise RuntimeError("on purpose")
    return doubled


def test_nothing_is_left_behind_after_an_exception() -> None:
    def other_tracer(*_: Any) -> None: ...

    before, backend = sys.gettrace(), get_backend()
    sys.settrace(other_tracer)
    try:
        with pytest.raises(RuntimeError, match="on purpose") as caught:
            show.step_through(fails, np.ones(2))
        assert sys.gettrace() is other_tracer
    finally:
        sys.settrace(before)
    assert get_backend() == backend
    partial = caught.value.trace  # type: ignore[attr-defined]
    assert not partial.complete
    assert partial.final()["doubled"].data.tolist() == [2.0, 2.0]


def test_recorded_values_are_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.ones((2, 3))
    run = show.step_through(ops.relu_forward, x).forward
    x[:] = 5.0
    assert run.arguments["x"].data.max() == 1.0
    monkeypatch.setattr(trace, "LIMIT", 16)
    large = show.step_through(ops.relu_forward, np.ones((50, 60))).forward.final()["y"]
    assert large.shape == (50, 60)
    assert large.data.shape == (4, 4)


def test_a_long_run_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "STEPS", 5)
    run = show.step_through(running_total, np.ones(100), 100).forward
    assert len(run.steps) == 5
    assert not run.complete
    assert run.result == 1.0


def test_overhead_is_bounded() -> None:
    run = show.step_through(ops.layer_norm_forward, np.eye(4), np.ones(4), np.ones(4)).forward
    assert len(run.steps) == len(run.listing.statements)  # each line once, nothing from below


def less_than(a: float, b: float) -> str:
    text = "<script>alert('&')</script>"
    return text if a < b else ""


def test_html_is_escaped() -> None:
    steps = show.step_through(less_than, 1, 2)
    pages = steps._repr_html_() + "".join(steps.frame(i).html for i in range(len(steps)))
    assert "<script" not in pages
    assert "&lt;script&gt;" in pages
    picture = show.heatmap(np.eye(2), '<b onload="x">', rows=["<i>", "&"])
    assert "<b onload" not in picture.html
    assert "<i>" not in picture.html


@pytest.mark.parametrize("thing", [len, "perceptron"])
def test_what_cannot_be_stepped_through_is_refused(thing: Any) -> None:
    with pytest.raises(InputError, match="no source|no op 'perceptron'"):
        show.step_through(thing, np.ones(2))


def test_interactive_is_a_slider_over_frames() -> None:
    pytest.importorskip("ipywidgets", reason="the slider is an extra")
    steps = show.step_through(ops.relu_forward, np.ones(3))
    controls, page = steps.interactive().children
    controls.children[1].value = len(steps) - 1
    assert page.value == steps.frame(len(steps) - 1).html
    with pytest.raises(IndexError, match="expected 0 to"):
        steps.frame(len(steps))


def test_a_listing_has_no_docstring_and_no_comments() -> None:
    listing = Listing.of(ops.softmax_backward.impls["numpy"])
    assert listing.header == "def softmax_backward(dy, cache):"
    assert [each.code.split()[0] for each in listing.statements] == [
        "(probs,)",
        "expected",
        "dx",
        "return",
    ]


def test_an_argument_keeps_its_axes_though_the_cache_has_a_field_of_its_name() -> None:
    steps = show.step_through("cross_entropy", np.eye(3, 4), np.array([0, 2, -100]), dy=1.0)
    assert steps.backward is not None
    assert steps.forward.arguments["targets"].axes == ("T",)
    assert steps.backward.final()["targets"].axes == ("N",)


def test_axes_are_not_guessed_where_anything_may_broadcast() -> None:
    steps = show.step_through("rotary", np.ones((1, 1, 3, 4)), np.ones((3, 2)), np.ones((3, 2)))
    assert steps.forward.arguments["cos"].axes == ("T", "2")


def coloured(name: str, colour: str) -> str:
    return f'color:{colour};font-weight:bold">■</span> <b>{name}</b>'


def test_backward_shows_its_own_arrays_in_its_own_colour() -> None:
    steps = show.step_through("cross_entropy", np.eye(3, 4), np.array([0, 2, -100]), dy=1.0)
    page = steps._repr_html_()
    assert page.count(coloured("rows", html.FORWARD)) == 1  # forward's logits that count
    assert page.count(coloured("rows", html.BACKWARD)) == 3  # backward's p - y, in three steps
    assert coloured("kept", html.BACKWARD) not in page
    _, cache = ops.softmax_forward(np.array([0.0, 1.0, 2.0]))
    alone = show.step_through(ops.softmax_backward, np.ones(3), cache)._repr_html_()
    assert coloured("probs", html.FORWARD) in alone
    assert coloured("dy", html.BACKWARD) in alone
    assert coloured("dx", html.BACKWARD) in alone


def test_what_stands_in_an_array_before_it_is_filled_is_not_shown() -> None:
    x = np.ones((1, 1, 2, 2))
    page = show.step_through(rotate, x, np.ones((2, 1)), np.zeros((2, 1)), False)._repr_html_()
    assert "to be filled" in page
    assert page.count("<b>y</b>") == 2  # after either half


def test_methods_and_partials_can_be_stepped_through() -> None:
    attention = MultiHeadAttention(4, 2, np.random.default_rng(0), dtype=np.float64)
    x = np.random.default_rng(1).standard_normal((1, 3, 4))
    forward = show.step_through(attention.__call__, x, causal=True).forward
    y, cache = forward.result
    assert forward.final()["q"].shape == (1, 2, 3, 2)
    assert np.array_equal(y, attention(x, causal=True)[0])
    backward = functools.partial(multi_head_attention_backward, attention)
    steps = show.step_through(backward, np.ones_like(y), cache)
    assert np.array_equal(steps.forward.result, attention.backward(np.ones_like(y), cache))
    assert coloured("dq", html.BACKWARD) in steps._repr_html_()
