import numpy as np
import pytest

from minitransformer import ops, set_backend
from minitransformer.backend import COMPOSED, OPS, backends, kernel, op, use_backend
from minitransformer.nn import lora_backward, lora_forward, lora_merge
from minitransformer.testing.opaque import OpaqueArray, opaque_backend, to_numpy, to_opaque


def matrices(dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = {"x": (2, 3, 6), "w": (6, 5), "a": (6, 2), "b": (2, 5)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def test_the_merged_matrix_maps_as_both_parts_do():
    given = matrices()
    y, _ = lora_forward(**given, scale=0.5)
    merged = lora_merge(given["w"], given["a"], given["b"], 0.5)
    np.testing.assert_allclose(given["x"] @ merged, y, rtol=1e-12)


def test_unmerging_gives_the_frozen_matrix_back():
    given = matrices(np.float32)
    x, a, b = given["w"], given["a"], given["b"]
    merged = lora_merge(x, a, b, 2.0)
    assert np.abs(merged - x).max() > 0.1
    np.testing.assert_allclose(lora_merge(merged, a, b, -2.0), x, atol=1e-6)


def test_nothing_is_changed_at_the_start():
    given = matrices() | {"b": np.zeros((2, 5))}
    y, cache = lora_forward(**given, scale=3.0)
    np.testing.assert_allclose(y, ops.linear_forward(given["x"], given["w"])[0])
    _, da, db = lora_backward(np.ones_like(y), cache)
    assert not da.any()  # b is in the way; b itself learns first
    assert db.all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"w": np.ones((5, 6))}, ValueError, "a has shape (6, 2), expected (5, 2)"),
        ({"a": np.ones((6, 3))}, ValueError, "b has shape (2, 5), expected (3, 5)"),
        ({"b": np.ones((2, 4))}, ValueError, "b has shape (2, 4), expected (2, 5)"),
        ({"b": np.ones(5)}, ValueError, "b has shape (5,), expected 2 axes"),
        ({"a": np.ones((6, 2), np.float32)}, TypeError, "w is float64 but a is float32"),
        ({"scale": "big"}, TypeError, "scale is 'big', expected a number"),
    ],
)
def test_wrong_arguments_are_named(change, error, message):
    given = {"scale": 1.0} | matrices() | change
    x = given.pop("x")
    with pytest.raises(error) as caught:
        lora_merge(**given)
    assert f"lora_merge: {message}" in str(caught.value)
    with pytest.raises(error) as caught:
        lora_forward(x, **given)
    assert str(caught.value).startswith("lora: ")


def test_x_must_fit():
    with pytest.raises(ValueError, match=r"lora: x has shape \(2, 7\), expected \(2, 6\)"):
        lora_forward(**matrices() | {"x": np.ones((2, 7))}, scale=1.0)


def test_it_runs_where_only_ops_do():
    given = matrices()
    y, cache = lora_forward(**given, scale=0.5)
    gradients = lora_backward(y, cache)
    with opaque_backend():
        hidden = {name: to_opaque(array) for name, array in given.items()}
        got, hidden_cache = lora_forward(**hidden, scale=0.5)
        assert isinstance(got, OpaqueArray)
        hidden_gradients = lora_backward(got, hidden_cache)
        merged = lora_merge(hidden["w"], hidden["a"], hidden["b"], 0.5)
    np.testing.assert_array_equal(to_numpy(got), y)
    for one, other in zip(to_numpy(hidden_gradients), gradients, strict=True):
        np.testing.assert_array_equal(one, other)
    assert isinstance(merged, OpaqueArray)


def test_what_is_composed_is_no_op_but_can_be_replaced(monkeypatch):
    assert "lora_forward" in COMPOSED
    assert "lora_forward" not in OPS
    monkeypatch.setitem(lora_forward.impls, "planted", lambda x, w, a, b, scale: ("y", "cache"))
    assert "planted" in backends()
    with use_backend("planted"):
        assert lora_forward(**matrices(), scale=1.0) == ("y", "cache")
    set_backend("numpy")
    with pytest.raises(TypeError, match="parameters are x, expected x, w, a, b, scale"):
        kernel("planted", lora_forward)(lambda x: x)


def test_a_composed_function_is_registered_apart(monkeypatch):
    monkeypatch.setattr("minitransformer.backend.COMPOSED", {})

    @op(composed=True)
    def twice(x):
        return 2 * x

    assert "twice" not in OPS
    with opaque_backend():
        assert twice(3) == 6
