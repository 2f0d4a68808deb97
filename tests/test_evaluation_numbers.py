"""Metrics of numbers, of preferences, of single words, and of several tasks at once."""

import math

import numpy as np
import pytest

from minitransformer.evaluation import Labels, Numbers, Preferences, Texts, Together, measures

rng = np.random.default_rng(0)
TRUTH = rng.normal(size=40)
PREDICTED = TRUTH + rng.normal(size=40)


def of(outcomes, rows=None):
    return outcomes.measure(np.arange(len(outcomes)) if rows is None else np.array(rows))


def test_errors_by_hand():
    found = of(Numbers([1.0, 2.0, 6.0], [1.0, 4.0, 5.0]))
    assert found["mean absolute error"] == pytest.approx(1.0)
    assert found["root mean squared error"] == pytest.approx(math.sqrt(5 / 3))
    assert found["R2"] == pytest.approx(1 - 5 / 14)


def test_correlation_is_numpys():
    found = of(Numbers(TRUTH, PREDICTED))
    assert found["correlation"] == pytest.approx(np.corrcoef(TRUTH, PREDICTED)[0, 1])


@pytest.mark.parametrize("change", [lambda x: 3 * x - 7, lambda x: x + 100])
def test_correlation_forgives_what_r2_does_not(change):
    found = of(Numbers(TRUTH, change(TRUTH)))
    assert found["correlation"] == pytest.approx(1.0)
    assert found["R2"] < 0.0


def test_who_says_the_mean_explains_nothing():
    found = of(Numbers(TRUTH, np.full(40, TRUTH.mean())))
    assert found["R2"] == pytest.approx(0.0)
    assert math.isnan(found["correlation"])
    assert math.isnan(of(Numbers([2.0, 2.0], [1.0, 3.0]))["R2"])


def test_the_better_of_two():
    outcomes = Preferences(better=[2.0, 1.0, 0.0], worse=[1.0, 1.0, 3.0])
    found = of(outcomes)
    assert found["pairs right"] == pytest.approx(1.5 / 3)
    assert found["margin"] == pytest.approx(-2 / 3)
    assert of(outcomes, [1])["loss"] == pytest.approx(math.log(2.0))
    assert of(Preferences([1e4], [0.0]))["loss"] == 0.0


@pytest.mark.parametrize("kind", [Numbers, Preferences])
def test_what_cannot_be_compared_is_refused(kind):
    with pytest.raises(ValueError, match=r"expected \(N,\) for both"):
        kind([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="NaN or infinite"):
        kind([1.0, np.nan], [1.0, 2.0])


def test_intervals_hold_the_value():
    for name, value, low, high in measures(Numbers(TRUTH, PREDICTED), resamples=200):
        assert low < value < high, name


def test_several_tasks_have_their_names_in_front():
    labels, numbers = Labels([0, 1, 1], [0, 1, 0], ["no", "yes"]), Numbers([1.0, 2.0], [1.0, 2.5])
    both = Together({"one": labels, "two": numbers})
    assert len(both) == 5
    found = of(both)
    assert found["one: accuracy"] == pytest.approx(2 / 3)
    assert found["two: mean absolute error"] == pytest.approx(0.25)
    assert set(of(both, [0, 2])) == {f"one: {name}" for name in of(labels)}
    assert of(both, [4, 4])["two: mean absolute error"] == pytest.approx(0.5)
    assert {measure.name for measure in measures(both, resamples=50)} == set(found)


def test_bleu_of_single_words():
    pytest.importorskip("sacrebleu", reason="computes BLEU")
    right, wrong = ["elf", "zwölf"], ["elf", "zehn"]
    assert of(Texts(right, right, bleu=True))["BLEU"] == pytest.approx(100.0)
    assert of(Texts(wrong, right, bleu=True))["BLEU"] == pytest.approx(50.0)
