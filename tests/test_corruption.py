import numpy as np
import pytest

from minitransformer.data import draw_masked_tokens, mask_tokens
from minitransformer.errors import InputError
from minitransformer.ops import cross_entropy_forward

MASK = 99


def drawn(ids, seed=0, **options):
    return draw_masked_tokens(ids, np.random.default_rng(seed), MASK, 50, **options)


def test_what_happens_to_a_token():
    ids = np.arange(5)
    chosen = np.array([True, True, True, True, False])
    masked = mask_tokens(ids, chosen, np.array([0, 7, 8, 9, 0]), np.full(5, 42), MASK)
    np.testing.assert_array_equal(masked.inputs, [MASK, MASK, 42, 3, 4])
    np.testing.assert_array_equal(masked.targets, [0, 1, 2, 3, -100])


def test_shares_of_a_long_text():
    ids = np.random.default_rng(1).integers(1000, 2000, size=(200, 500))  # none is in the 50
    inputs, targets = drawn(ids)
    chosen = targets != -100
    assert chosen.mean() == pytest.approx(0.15, abs=0.005)
    np.testing.assert_array_equal(targets[chosen], ids[chosen])
    np.testing.assert_array_equal(inputs[~chosen], ids[~chosen])
    assert (inputs == MASK)[chosen].mean() == pytest.approx(0.8, abs=0.01)
    assert (inputs < 50)[chosen].mean() == pytest.approx(0.1, abs=0.01)
    assert (inputs == ids)[chosen].mean() == pytest.approx(0.1, abs=0.01)


def test_the_same_rng_draws_the_same():
    ids = np.arange(40).reshape(2, 20)
    first, again, other = (drawn(ids, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_draws_come_in_the_documented_order():
    ids = np.arange(40).reshape(2, 20)
    rng = np.random.default_rng(5)
    chosen = rng.random((2, 20)) < 0.3
    expected = mask_tokens(
        ids, chosen, rng.integers(10, size=(2, 20)), rng.integers(50, size=(2, 20)), MASK
    )
    np.testing.assert_array_equal(drawn(ids, seed=5, probability=0.3), expected)


def test_special_tokens_are_never_chosen():
    ids = np.arange(40) % 4
    inputs, targets = drawn(ids, probability=1.0, special_ids=[0, 3])
    special = (ids == 0) | (ids == 3)
    np.testing.assert_array_equal(targets == -100, special)
    np.testing.assert_array_equal(inputs[special], ids[special])


def test_nothing_chosen_is_nothing_lost():
    ids = np.arange(12, dtype=np.uint16)
    inputs, targets = drawn(ids, probability=0.0)
    np.testing.assert_array_equal(inputs, ids)
    loss, _ = cross_entropy_forward(np.ones((12, 50)), targets)
    assert loss == 0.0


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match="probability is 1.5, expected 0 <= probability <= 1"):
        drawn(np.arange(3), probability=1.5)
    with pytest.raises(ValueError, match=r"mask_tokens: action has shape \(2,\), expected \(3,\)"):
        mask_tokens(np.arange(3), np.ones(3, bool), np.zeros(2, int), np.arange(3), MASK)
