"""Functions are held to their references in results, arguments, types and memory layouts."""

import numpy as np
import pytest

from minitransformer.nn import lora_forward
from minitransformer.testing import FUNCTIONS, LawError
from minitransformer.testing.functions import FunctionSpec, equals_reference, function_spec
from minitransformer.testing.trees import named_arrays


def verdict(inputs, reference, function, dtype="float64"):
    spec = FunctionSpec("planted", function, reference, lambda rng: {"planted": inputs})
    with pytest.raises(LawError) as caught:
        equals_reference(spec, dtype=dtype)
    return str(caught.value).removeprefix("reference (planted): ")


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ([1, 2], [1, 3], "result[1] is 3, expected 2"),
        ([1, 2], [1], "result has shape (1,), expected (2,)"),
        ([1, 2], [1.0, 2.0], "result is made of floats, expected integers"),
        ([1, 2], None, "result is a NoneType, expected integers"),
        ([1, 2], "12", "result is a str, expected integers"),
        (7, 8, "result is 8, expected 7"),
        (True, 1, "result is made of integers, expected booleans"),
        (None, 1, "result is 1, expected None"),
        (0.5, 0.25, "result is 0.25, expected 0.5 (relative error 5.0e-01, 1e-09 is allowed)"),
        (([1, 2], 0.5), ([1, 2], "a"), "result[1] is a str, expected floats"),
        (([1, 2], 0.5), [1, 2], "result[0] is missing"),
        ([(1, 2)], [(1, 2), (3, 4)], "result[1] is one too many"),
        (np.ones(2), np.ones((1, 2)), "result has shape (1, 2), expected (2,)"),
        (np.ones(2), np.ones(2, int), "result is made of integers, expected floats"),
        (np.array([True, False]), np.array([True, True]), "result[1] is True, expected False"),
    ],
)
def test_a_wrong_result_is_found(right, wrong, message):
    assert verdict({}, lambda: right, lambda: wrong) == message


@pytest.mark.parametrize(
    ("right", "other"),
    [
        ([1, 2], (1, 2)),
        ([1, 2], np.array([1, 2], np.uint16)),
        ([], np.array([])),
        (1.0, 1),
        (0.5, np.float32(0.5)),
        ((np.ones(2), 3), [np.ones(2), 3]),
        (np.inf, np.inf),
        ("a", "a"),
        (None, None),
    ],
)
def test_the_same_in_another_form_is_accepted(right, other):
    spec = FunctionSpec("planted", lambda: other, lambda: right, lambda rng: {"planted": {}})
    assert equals_reference(spec) == 0.0


def test_overwritten_arguments_are_found():
    def reverse(ids):
        ids.reverse()
        return ids

    assert verdict({"ids": [1, 2]}, lambda ids: ids[::-1], reverse) == "ids[0] is 2, expected 1"


def test_lost_precision_is_found():
    def double(x):
        return 2.0 * x.astype(np.float64)

    inputs = {"x": np.ones(3)}
    expected = "result is float64, expected float32, as the arguments are"
    assert verdict(inputs, lambda x: 2.0 * x, double, dtype="float32") == expected


def test_another_memory_layout_is_tried():
    def first_of_buffer(x):
        return x if x.base is None else x.base[: len(x)]

    assert "expected" in verdict({"x": np.arange(3.0)}, lambda x: x.copy(), first_of_buffer)


def test_every_function_has_a_name_of_its_own():
    for name, spec in FUNCTIONS.items():
        assert spec.name == name == spec.function.__qualname__
        assert function_spec(spec.function) is spec
    assert function_spec(lora_forward) is None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inputs_depend_on_the_seed_alone(name):
    first, again = (FUNCTIONS[name].inputs(np.random.default_rng(3)) for _ in range(2))
    arrays, same = (dict(named_arrays(cases, name)) for cases in (first, again))
    assert list(first) == list(again)
    assert list(arrays) == list(same)
    for path in arrays:
        np.testing.assert_array_equal(arrays[path], same[path])
