"""The finder suggests learning rates that work; and training that brings nothing is noticed."""

import math
import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer import backend
from minitransformer.cli import main
from minitransformer.data import Batch
from minitransformer.errors import InputError
from minitransformer.evaluation.stopping import has_stalled
from minitransformer.learning_rate_finder import Trial, plot_trials, steepest, try_learning_rates
from minitransformer.models import GPT, GPTConfig
from minitransformer.nn import Module, Parameter
from minitransformer.optim import SGD, AdamW

pytestmark = pytest.mark.systems

BATCH = Batch(np.zeros((1, 1), int), np.zeros((1, 1), int))


class Valley(Module):
    """Loss x^2 / 2: a step with SGD multiplies x by 1 - rate, so above 2 it moves away from 0."""

    def __init__(self):
        self.x = Parameter(np.array([3.0]))

    def loss(self, batch, rng=None):
        return float(self.x.data[0] ** 2 / 2), None

    def backward(self, cache, dloss=1.0):
        self.x.grad += dloss * self.x.data


def tried(steps=60, **options):
    model = Valley()
    optimizer = SGD(model.parameters(), 0.1)
    return list(try_learning_rates(model, optimizer, lambda step: BATCH, steps, **options))


def test_rates_grow_by_a_factor_and_losses_are_running_means():
    trials = tried(4, low=1e-3, high=1.0)
    assert [trial.learning_rate for trial in trials] == pytest.approx([1e-3, 1e-2, 1e-1, 1.0])
    x, losses = 3.0, []
    for rate in (1e-3, 1e-2, 1e-1, 1.0):
        losses.append(x * x / 2)
        x *= 1 - rate
    for count in range(1, 5):
        weights = 0.9 ** np.arange(count)[::-1]
        assert trials[count - 1].loss == pytest.approx(np.average(losses[:count], weights=weights))


def test_the_suggestion_learns_and_what_explodes_is_not_tried_on():
    trials = tried(low=1e-3, high=1e3)
    assert 0.01 < steepest(trials) < 2.0
    assert 2.0 < trials[-1].learning_rate < 1e3


def test_a_loss_that_overflows_ends_the_search():
    model = Valley()
    model.x.data[0] = 1e154
    rates = try_learning_rates(
        model, SGD(model.parameters(), 0.1), lambda step: BATCH, 20, low=3.0, high=1e30
    )
    assert len(list(rates)) < 20


def test_a_transformer():
    ids = np.random.default_rng(0).integers(3, size=(4, 9)) * 2
    model = GPT(GPTConfig(7, context=8, layers=1, heads=2, width=16))
    batch = Batch(ids[:, :-1], ids[:, 1:])
    optimizer = AdamW(model.parameters(), 1e-3)
    trials = list(try_learning_rates(model, optimizer, lambda step: batch, 50, low=1e-5, high=10.0))
    assert 1e-4 < steepest(trials) < 1.0


def test_the_steepest_place_by_hand():
    losses = [3.0, 3.0, 2.9, 1.9, 1.5, 1.8]
    trials = [
        Trial(10.0**-power, loss) for power, loss in zip(range(6, 0, -1), losses, strict=True)
    ]
    assert steepest(trials) == 1e-3  # (1.5 - 2.9) / 2 for a factor of 10
    assert steepest([Trial(0.1, 3.0), Trial(0.2, 2.0), Trial(0.4, 1.9)]) == 0.1


@pytest.mark.parametrize("options", [{"steps": 1}, {"low": 0.0}, {"low": 2.0}, {"high": math.inf}])
def test_rates_that_cannot_be_tried(options):
    with pytest.raises(InputError, match="expected 2 steps or more and 0 < low < high"):
        tried(**options)


def test_no_suggestion_without_something_learnt():
    with pytest.raises(InputError, match="only 2 learning rates were tried"):
        steepest([Trial(0.1, 1.0), Trial(0.2, 0.5)])
    with pytest.raises(InputError, match="falls at no learning rate from 0.1 to 0.3"):
        steepest([Trial(0.1, 1.0), Trial(0.2, 1.0), Trial(0.3, 2.0)])


def test_the_picture(tmp_path):
    trials = tried(low=1e-3, high=1e3)
    plot_trials(trials, steepest(trials), tmp_path / "rates.png")
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("losses", "patience", "stalled"),
    [
        ([3, 2, 1], 1, False),
        ([3, 2, 2], 1, True),
        ([3, 2, 2.5], 1, True),
        ([3, 2, 2.5, 1.9], 2, False),
        ([3, 2, 2.5, 2.1], 2, True),
        ([3, 4, 5], 3, False),  # three, and none before to compare with
        ([3, 4, 5, 6], 3, True),
        ([3, 9, 9, 9], 0, False),
        ([], 1, False),
    ],
)
def test_patience(losses, patience, stalled):
    assert has_stalled(losses, patience) == stalled


@given(st.lists(st.floats(0, 10), max_size=12), st.integers(1, 5))
def test_training_stalls_when_the_best_loss_is_as_old_as_the_patience(losses, patience):
    best = losses.index(min(losses)) if losses else 0
    assert has_stalled(losses, patience) == (len(losses) - 1 - best >= patience)


def test_the_command_leaves_a_picture_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backend, "_active", None)
    Path("text.txt").write_text(
        "to be, or not to be: that is the question.\n" * 12, encoding="utf-8"
    )
    settings = "--layers 1 --heads 2 --width 16 --context 8 --batch 4 --data text.txt --low 1e-5"
    assert main(["rates", *shlex.split(settings), "--trials", "40", "--high", "3"]) == 0
    printed = capsys.readouterr().out
    assert "the loss falls fastest at" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "rates.png"}
    assert main(["rates", *shlex.split(settings), "--trials", "1"]) == 2
    assert "expected 2 steps or more" in capsys.readouterr().err
