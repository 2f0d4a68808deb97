"""How often each language is read, and how well it is predicted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer.data.languages import language_probabilities, sample_multilingual_batch
from minitransformer.errors import InputError

SIZES = [900, 90, 10]


def test_probabilities_by_hand():
    assert language_probabilities(SIZES).tolist() == pytest.approx([0.9, 0.09, 0.01])
    roots = np.sqrt(SIZES)
    assert language_probabilities(SIZES, 2.0) == pytest.approx(roots / roots.sum())
    assert language_probabilities(SIZES, math.inf).tolist() == pytest.approx([1 / 3] * 3)


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=6), st.floats(0.2, 50.0))
def test_a_temperature_keeps_the_order_and_flattens(sizes, temperature):
    plain, tempered = language_probabilities(sizes), language_probabilities(sizes, temperature)
    assert tempered.sum() == pytest.approx(1.0)
    assert (np.argsort(plain, kind="stable") == np.argsort(tempered, kind="stable")).all()
    flatter = tempered.max() <= plain.max() * (1 + 1e-12)
    assert flatter == (temperature >= 1.0) or tempered.max() == pytest.approx(plain.max())


def test_sizes_and_temperatures_of_any_magnitude():
    assert language_probabilities([1e-300, 1e300], 0.01).tolist() == [0.0, 1.0]
    for sizes in ([], [1, 0], [1, -1], [1, math.nan], [[1]]):
        with pytest.raises(InputError, match="expected one positive number for each language"):
            language_probabilities(sizes)
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="temperature is"):
            language_probabilities(SIZES, temperature)


TEXTS = {"en": np.arange(1000), "fr": np.arange(2000, 2100), "eo": np.arange(3000, 3020)}


def languages_of(batch):
    return np.where(batch.inputs < 1000, 0, np.where(batch.inputs < 3000, 1, 2))


def test_rows_are_windows_of_one_language_each():
    batch = sample_multilingual_batch(TEXTS, 50, 8, 5.0, seed=0, step=0)
    assert batch.inputs.shape == batch.targets.shape == (50, 8)
    np.testing.assert_array_equal(batch.targets, batch.inputs + 1)
    languages = languages_of(batch)
    assert (languages == languages[:, :1]).all()
    assert set(languages[:, 0]) == {0, 1, 2}


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_languages_are_drawn_as_often_as_they_should_be(temperature):
    expected = language_probabilities([1000, 100, 20], temperature)
    drawn = np.concatenate(
        [
            languages_of(sample_multilingual_batch(TEXTS, 100, 8, temperature, 1, step))[:, 0]
            for step in range(40)
        ]
    )
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(0.25 / len(drawn)))


def test_a_step_always_has_the_same_batch():
    def inputs(seed, step):
        return sample_multilingual_batch(TEXTS, 9, 8, 2.0, seed, step).inputs.tolist()

    assert inputs(1, 2) == inputs(1, 2)
    assert inputs(1, 2) != inputs(1, 3)
    assert inputs(1, 2) != inputs(2, 2)


def test_a_text_shorter_than_a_window_is_named():
    with pytest.raises(InputError, match="language eo: the text has 20 tokens"):
        sample_multilingual_batch(TEXTS, 9, 20, 2.0, 0, 0)
