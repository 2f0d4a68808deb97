import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.ops.in_place import CHUNK

DTYPES = (np.float32, np.float64)

VERBS = {
    "accumulate": (2, lambda a: ops.accumulate(a[0], a[1])),
    "scale_": (1, lambda a: ops.scale_(a[0], -1.5)),
    "zero_": (1, lambda a: ops.zero_(a[0])),
    "adamw_step": (4, lambda a: ops.adamw_step(*a, 3, 0.1, 0.8, 0.9, 1e-8, 0.2)),
    "sgd_step": (3, lambda a: ops.sgd_step(*a, 0.1, 0.9, True, 0.2)),
}


def embedded(array, layout):
    """A buffer, and a view of it that holds the same values in another layout."""
    if layout == "strided":
        buffer = np.full([2 * size + 1 for size in array.shape], 7.0, array.dtype)
        view = buffer[tuple(slice(1, None, 2) for _ in array.shape)]
    else:
        buffer = np.full(array.shape[::-1], 7.0, array.dtype)
        view = buffer.T[::-1]
    view[...] = array
    return buffer, view


@given(
    verb=st.sampled_from(sorted(VERBS)),
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    layouts=st.lists(st.sampled_from(["strided", "reversed"]), min_size=4, max_size=4),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 1000),
)
def test_layout_changes_nothing(verb, shape, layouts, dtype, seed):
    count, call = VERBS[verb]
    rng = np.random.default_rng(seed)
    plain = [rng.uniform(0.1, 1.0, shape).astype(dtype) for _ in range(count)]
    pairs = [embedded(*each) for each in zip(plain, layouts, strict=False)]
    buffers, views = zip(*pairs, strict=True)
    outside = [(buffer == 7.0).sum() for buffer in buffers]
    call(plain)
    call(views)
    for expected, view in zip(plain, views, strict=True):
        assert view.dtype == dtype
        np.testing.assert_array_equal(view, expected)
    assert [(buffer == 7.0).sum() for buffer in buffers] == outside


@pytest.mark.parametrize("verb", ["adamw_step", "sgd_step"])
@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, 2 * CHUNK + 1])
def test_chunks_join_without_seam(verb, size):
    count, call = VERBS[verb]
    rng = np.random.default_rng(0)
    whole = [rng.uniform(0.1, 1.0, size) for _ in range(count)]
    parts = [array.copy() for array in whole]
    call(whole)
    for start in range(0, size, 1000):
        call([array[start : start + 1000] for array in parts])
    for expected, got in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_accumulate_scale_zero(dtype):
    total, part = np.array([1, 2], dtype), np.array([10, 20], dtype)
    ops.accumulate(total, part)
    assert total.tolist() == [11, 22]
    assert part.tolist() == [10, 20]
    ops.scale_(total, np.float64(2.0))
    assert total.tolist() == [22, 44]
    assert total.dtype == dtype
    ops.zero_(total)
    assert total.tolist() == [0, 0]


def test_zero_clears_nan():
    x = np.array([np.nan, np.inf])
    ops.zero_(x)
    assert x.tolist() == [0, 0]


@given(
    shape=st.lists(st.integers(0, 5), max_size=3),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 1000),
)
def test_sum_of_squares(shape, dtype, seed):
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    expected = sum(float(value) ** 2 for value in x.ravel())
    assert ops.sum_of_squares(x) == pytest.approx(expected, rel=1e-12)
    assert type(ops.sum_of_squares(x)) is float


def test_sum_of_squares_is_accumulated_in_float64():
    assert ops.sum_of_squares(np.full(3, 1e30, np.float32)) == pytest.approx(3e60, rel=1e-6)
    many = np.full(3 * CHUNK, 0.1, np.float32)
    assert ops.sum_of_squares(many) == pytest.approx(many.size * float(many[0]) ** 2, rel=1e-12)
    assert ops.sum_of_squares(np.array([1e200])) == np.inf
    assert np.isnan(ops.sum_of_squares(np.array([1.0, np.nan])))


def test_sum_of_squares_reads_only():
    x = np.ones(4, np.float32)
    x.flags.writeable = False
    assert ops.sum_of_squares(x) == 4


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_read_only_state_is_refused(verb):
    count, call = VERBS[verb]
    arrays = [np.ones(3) for _ in range(count)]
    arrays[0].flags.writeable = False
    with pytest.raises(ValueError, match=f"{verb}: .* is read-only"):
        call(arrays)


@pytest.mark.parametrize("verb", ["accumulate", "adamw_step", "sgd_step"])
def test_arrays_must_fit_together(verb):
    count, call = VERBS[verb]
    for position in range(count):
        arrays = [np.ones((2, 3)) for _ in range(count)]
        arrays[position] = np.ones((3, 2))
        with pytest.raises(ValueError, match=rf"{verb}: .* has shape \("):
            call(arrays)
        arrays[position] = np.ones((2, 3), np.float32)
        with pytest.raises(TypeError, match=f"{verb}: .*float32"):
            call(arrays)
        arrays[position] = 1.0
        with pytest.raises(TypeError, match=f"{verb}: .* is a float, expected an array"):
            call(arrays)


@pytest.mark.parametrize("verb", ["adamw_step", "sgd_step"])
def test_shared_memory_is_refused(verb):
    count, call = VERBS[verb]
    for first in range(count):
        for second in range(first):
            memory = np.ones(10)
            arrays = [np.ones(6) for _ in range(count)]
            arrays[first], arrays[second] = memory[:6], memory[4:]
            with pytest.raises(ValueError, match=f"{verb}: .* share memory"):
                call(arrays)


def test_interleaved_arrays_share_no_memory():
    memory = np.ones((5, 4))
    ops.adamw_step(*memory.T, 1, 0.1)
    assert (memory[:, 0] < 1).all()
    assert (memory[:, 1] == 1).all()


def test_the_gradient_may_be_read_only():
    grad = np.ones(3)
    grad.flags.writeable = False
    parameter = np.ones(3)
    ops.adamw_step(parameter, grad, np.zeros(3), np.zeros(3), 1, 0.1)
    np.testing.assert_allclose(parameter, 0.9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_scalars_do_not_upcast(dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.random(1000).astype(dtype) for _ in range(4)]
    expected = [array.copy() for array in arrays]
    ops.adamw_step(*arrays, 2, np.float64(0.1), weight_decay=0.1)
    ops.adamw_step(*expected, 2, 0.1, weight_decay=0.1)
    for got, want in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"t": 0}, "t is 0, expected the number of this step, counted from 1"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"lr": -0.1}, "lr is -0.1, expected 0 <= lr"),
        ({"beta1": 1.0}, "beta1 is 1.0, expected 0 <= beta1 < 1"),
        ({"beta2": -0.1}, "beta2 is -0.1"),
        ({"eps": -1e-8}, "eps is -1e-08"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
    ],
)
def test_adamw_step_refuses(wrong, message):
    with pytest.raises(ValueError, match=f"adamw_step: {message}"):
        ops.adamw_step(*(np.ones(2) for _ in range(4)), **{"t": 1, "lr": 0.1, **wrong})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lr": float("nan")}, "lr is nan"),
        ({"momentum": -0.1}, "momentum is -0.1"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"nesterov": True}, "momentum is 0, expected more than 0 with nesterov"),
    ],
)
def test_sgd_step_refuses(wrong, message):
    with pytest.raises(ValueError, match=f"sgd_step: {message}"):
        ops.sgd_step(*(np.ones(2) for _ in range(3)), **{"lr": 0.1, **wrong})


def buffers(capacity=5, value_width=3):
    return np.zeros((2, 3, capacity, 4)), np.zeros((2, 3, capacity, value_width))


def test_kv_append_fills_step_by_step():
    rng = np.random.default_rng(0)
    keys, values = buffers()
    all_k, all_v = rng.random((2, 3, 5, 4)), rng.random((2, 3, 5, 3))
    length = 0
    for new in (2, 1, 0, 2):
        part = np.s_[:, :, length : length + new]
        k, v = ops.kv_append(keys, values, length, all_k[part], all_v[part])
        length += new
        np.testing.assert_array_equal(k, all_k[:, :, :length])
        np.testing.assert_array_equal(v, all_v[:, :, :length])
        assert np.shares_memory(k, keys)
        assert np.shares_memory(v, values)
        assert not keys[:, :, length:].any()


@pytest.mark.parametrize(("length", "new"), [(4, 2), (5, 1), (0, 6), (-1, 1)])
def test_kv_append_refuses_what_does_not_fit(length, new):
    keys, values = buffers()
    with pytest.raises(ValueError, match=f"kv_append: length is {length} and k brings {new}"):
        ops.kv_append(keys, values, length, np.ones((2, 3, new, 4)), np.ones((2, 3, new, 3)))
    assert not keys.any()


@pytest.mark.parametrize(
    ("k_shape", "v_shape", "name"),
    [
        ((1, 3, 1, 4), (2, 3, 1, 3), "k"),
        ((2, 1, 1, 4), (2, 3, 1, 3), "k"),
        ((2, 3, 1, 5), (2, 3, 1, 3), "k"),
        ((3, 1, 4), (2, 3, 1, 3), "k"),
        ((2, 3, 1, 4), (2, 3, 2, 3), "v"),
        ((2, 3, 1, 4), (2, 3, 1, 1), "v"),
    ],
)
def test_kv_append_refuses_other_shapes(k_shape, v_shape, name):
    keys, values = buffers()
    with pytest.raises(ValueError, match=f"kv_append: {name} has shape"):
        ops.kv_append(keys, values, 0, np.ones(k_shape), np.ones(v_shape))


def test_kv_append_refuses_other_dtypes():
    keys, values = buffers()
    with pytest.raises(TypeError, match="kv_append: keys is float64 but k is float32"):
        ops.kv_append(keys, values, 0, np.ones((2, 3, 1, 4), np.float32), np.ones((2, 3, 1, 3)))


def test_verbs_are_dispatchable():
    for name in (*VERBS, "sum_of_squares", "kv_append"):
        assert "numpy" in getattr(ops, name).impls
