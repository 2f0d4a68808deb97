"""The tables of what recipes reach, and of what fine-tuning costs."""

import types

import numpy as np
import pytest

from benchmarks import few_labels, recipes
from minitransformer.evaluation import Texts
from minitransformer.recipes import recipes as names


def test_every_recipe_has_something_to_be_measured_by():
    assert set(recipes.TARGETS) == set(names())
    assert set(recipes.STARTS) | set(recipes.STARTS.values()) < set(names())


def run(step):
    outcomes = Texts(["a", "b", "c", "x"], ["a", "b", "c", "d"], groups=["de", "de", "fr", "fr"])
    return types.SimpleNamespace(
        step=step,
        model=None,
        config=types.SimpleNamespace(steps=1200, seed=3),
        task=types.SimpleNamespace(outcomes=lambda model: outcomes),
    )


def test_a_row_says_what_was_reached_and_what_was_asked():
    (row,) = recipes.measure("dates", run(1200))
    assert row[:5] == ["dates", "3", "1,200", "4", "exact match"]
    assert row[5].startswith("0.75 (")
    assert row[6:] == ["fr 0.5", "0.99"]
    assert len(row) == len(recipes.COLUMNS)


def test_what_is_not_trained_to_its_end_is_left_out():
    assert list(recipes.measure("dates", run(1199))) == []


def test_a_run_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "Run", types.SimpleNamespace(open=lambda folder: run(1199)))
    assert recipes.reached("dates", tmp_path) == []
    monkeypatch.setattr(recipes, "Run", types.SimpleNamespace(open=lambda folder: run(1200)))
    (row,) = recipes.reached("dates", tmp_path)
    monkeypatch.setattr(recipes, "Run", None)
    assert recipes.reached("dates", tmp_path) == [row]


def test_the_interval_is_students():
    cost = few_labels.Cost(2**20, 2**21, 0.005)
    accuracies = [0.4, 0.5, 0.45, 0.42, 0.48]
    cells = few_labels.cells(
        "head alone", few_labels.Found(1e-3, 4680, [0.1, 0.3], accuracies, cost)
    )
    assert cells[:7] == ["head alone", "0.001", "4,680", "1.00", "2.00", "5.0", "0.200"]
    stats = pytest.importorskip("scipy.stats", reason="knows Student's t")
    low, high = stats.t.interval(
        0.95, len(accuracies) - 1, np.mean(accuracies), stats.sem(accuracies)
    )
    assert cells[7] == f"{np.mean(accuracies):.3f} ± {(high - low) / 2:.3f}"
