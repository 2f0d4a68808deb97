"""Several tasks on one trunk: one vocabulary, one config, and batches that can be cut apart."""

import dataclasses

import numpy as np
import pytest

from minitransformer.configuration import TrainConfig
from minitransformer.errors import InputError
from minitransformer.evaluation import mean_loss, measures
from minitransformer.nn import flatten_parameters
from minitransformer.runs import Run
from minitransformer.tasks.multi_task import PARTS
from minitransformer.training import add_gradients, shares

pytestmark = pytest.mark.systems

CONFIG = TrainConfig(
    task="multi-task",
    architecture="llama",
    model_options={"causal": False, "tied": True},
    task_options={"tasks": ["tag", "classify"], "weights": [1.0, 0.5], "characters": 30_000},
    tokenizer="bpe",
    bpe_tokens=300,
    validation_fraction=0.3,
    layers=1,
    heads=2,
    width=8,
    context=16,
    batch=6,
    steps=2,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run.create(dataclasses.replace(CONFIG, out=tmp_path_factory.mktemp("runs") / "run"))


def options(**changes):
    return dataclasses.replace(CONFIG, task_options=CONFIG.task_options | changes)


def test_all_tasks_have_the_vocabulary_of_the_first(run):
    files = [path.read_bytes() for path in run.folder.rglob("tokenizer.json")]
    assert len(files) == 3
    assert len(set(files)) == 1
    shape = run.model.config
    assert (shape.tasks, shape.heads, shape.weights) == (
        ("tag", "classify"), ("label", "class"), (1.0, 0.5),
    )  # fmt: skip


def test_a_step_has_a_batch_of_every_task(run):
    parts = run.task.batch(3).parts
    assert list(parts) == ["tag", "classify"]
    np.testing.assert_array_equal(parts["tag"].inputs, run.task.parts["tag"].batch(3).inputs)


def test_accumulation_gives_the_gradient_of_the_whole(run):
    batch, flat = run.task.batch(0), flatten_parameters(run.model.parameters())
    run.model.zero_grad()
    loss = add_gradients(run.model, shares(batch, 1))
    expected = flat.grad.copy()
    run.model.zero_grad()
    assert add_gradients(run.model, shares(batch, 4)) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(flat.grad, expected, atol=1e-5 * np.abs(expected).max())


def test_it_learns_and_is_measured_task_by_task(run):
    before = mean_loss(run.model, run.task.validation(2))
    assert [step.index for step in run.steps()] == [1, 2]
    assert mean_loss(run.model, run.task.validation(2)) < before
    names = {measure.name for measure in measures(run.task.outcomes(run.model, 5), resamples=5)}
    assert {"tag: F1 (micro)", "classify: accuracy"} < names
    assert run.task.describe().startswith("tag: ")
    example = run.task.example(run.model, 80)
    assert example.startswith("tag: ")
    assert "\nclassify: " in example


def test_one_task_alone_is_asked_without_the_others(run):
    only = run.model.only("classify")
    batch = run.task.batch(0).parts["classify"]
    np.testing.assert_array_equal(only(batch)[0], run.model("classify", batch)[0])


def test_shares_choose_one_task_for_a_step(tmp_path):
    config = options(shares=[1.0, 1.0])
    run = Run.create(dataclasses.replace(config, out=tmp_path / "run"))
    drawn = [tuple(run.task.batch(step).parts) for step in range(20)]
    assert set(drawn) == {("tag",), ("classify",)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["tag", "dates"]}, f"tasks has 'dates', expected some of {', '.join(PARTS)}"),
        ({"weights": [1.0]}, r"weights is \(1.0,\), expected one for each"),
        ({"shares": [0.0, 0.0]}, "shares are all 0"),
    ],
)
def test_impossible_mixtures_leave_nothing_behind(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        Run.create(dataclasses.replace(options(**changes), out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
