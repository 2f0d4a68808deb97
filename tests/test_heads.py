"""Heads: what they read, what they refuse, and that none works without its trunk's gradient."""

import dataclasses

import numpy as np
import pytest

from minitransformer.data import EncoderBatch, MultiTaskBatch, count_targets, split_batch
from minitransformer.errors import InputError
from minitransformer.models import (
    GPT,
    Bert,
    Classifier,
    ClassifierConfig,
    EncoderDecoderConfig,
    GPTConfig,
    LlamaConfig,
    MultiTask,
    MultiTaskConfig,
    TransformerLMConfig,
)
from minitransformer.models.head_parts import Head, SpanHead
from minitransformer.models.heads import TRUNKS, best_spans
from minitransformer.models.multitask import mix_batches
from minitransformer.models.pooling import Pooler, pooling_weights
from minitransformer.models.registry import build, config_from_json, config_to_json
from minitransformer.nn import flatten_parameters
from minitransformer.testing import MODELS, LawError
from minitransformer.testing.differences import derivative
from minitransformer.testing.encoders import BERT, LENGTHS, NUMBERS, sequences
from minitransformer.testing.models import model_gradient
from minitransformer.training import add_gradients, shares

pytestmark = pytest.mark.systems

HEADED = ("Classifier", "Regressor", "TokenLabeller", "SpanAnswerer", "RewardModel")
SMALL = {"vocab_size": 11, "context": 7, "layers": 1, "heads": 2, "width": 8, "dropout": 0.25}


@pytest.mark.parametrize("trunk", [GPTConfig, LlamaConfig, TransformerLMConfig])
def test_a_head_fits_any_trunk(trunk):
    config = ClassifierConfig(trunk(**SMALL), outputs=3, pooling="last")
    model, batch = Classifier(config, dtype=np.float64), sequences(np.array([0, 2, -100, 1]))
    flat = flatten_parameters(model.parameters())
    rng = np.random.default_rng(2)
    at, v = 0.5 * rng.standard_normal((2, flat.data.size))

    def loss_at(t):
        flat.data[...] = at + t * v
        return model.loss(batch, np.random.default_rng(3))

    _, cache = loss_at(0.0)
    model.backward(cache)
    slope = derivative(lambda t: np.ravel(loss_at(t)[0]), step=1e-3, noise=1e-15)
    np.testing.assert_allclose(slope, flat.grad @ v, rtol=1e-7)


def test_every_trunk_is_tried():
    assert {GPTConfig, LlamaConfig, TransformerLMConfig, type(BERT)} == set(TRUNKS)


def test_what_is_no_trunk_is_refused():
    pairs = EncoderDecoderConfig(vocab_size=11, target_vocab_size=11, start_id=0, end_id=1)
    with pytest.raises(InputError, match="trunk is a EncoderDecoderConfig, expected one of Bert"):
        Classifier(ClassifierConfig(pairs, outputs=2))


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [[1 / 3, 1 / 3, 1 / 3, 0], [1, 0, 0, 0]]),
        ("first", [[1, 0, 0, 0], [1, 0, 0, 0]]),
        ("last", [[0, 0, 1, 0], [1, 0, 0, 0]]),
    ],
)
def test_what_is_pooled(pooling, expected):
    weights = pooling_weights(pooling, np.array([3, 1]), 4, np.float64)
    np.testing.assert_allclose(weights[:, 0], expected)


def test_berts_pooler():
    """The first vector, a dense layer, tanh."""
    pooler = Pooler(6, "first", np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).standard_normal((4, 5, 6))
    y, _ = pooler(x, LENGTHS.clip(max=5))
    dense = pooler.dense
    np.testing.assert_allclose(y, np.tanh(x[:, 0] @ dense.weight.data + dense.bias.data))


@pytest.mark.parametrize("name", HEADED)
def test_padding_changes_no_loss(name):
    model, batch = MODELS[name]()
    longer = batch._replace(
        inputs=np.pad(batch.inputs, ((0, 0), (0, 1)), constant_values=3),
        segments=None,
    )
    if name == "TokenLabeller":
        padded = np.pad(batch.targets, ((0, 0), (0, 1)), constant_values=-100)
        longer = longer._replace(targets=padded)
    expected, _ = model.loss(batch._replace(segments=None))
    loss, _ = model.loss(longer)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["BertForMaskedLM", *HEADED])
def test_parts_of_a_batch_add_up_to_the_whole(name):
    """Gradient accumulation: exact, each part weighed by its number of targets."""
    model, batch = MODELS[name]()
    flat = flatten_parameters(model.parameters())
    loss, cache = model.loss(batch)
    model.zero_grad()
    model.backward(cache)
    whole = flat.grad.copy()
    model.zero_grad()
    total = 0.0
    for part in split_batch(batch, 2):
        weight = count_targets(part) / count_targets(batch)
        part_loss, cache = model.loss(part)
        model.backward(cache, weight)
        total += weight * part_loss
    assert np.abs(whole).max() > 1e-3
    np.testing.assert_allclose(flat.grad, whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(total, loss, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "targets", "message"),
    [
        ("Classifier", [0, 5, 1, 1], r"target \[1\] is 5, expected 0 to 4"),
        ("Classifier", [0, -1, 1, 1], r"target \[1\] is -1, expected 0 to 4"),
        ("Classifier", [0.0, 1.0, 1.0, 1.0], "targets are float64 of shape"),
        ("Classifier", [0, 1], r"expected integers of \(4,\)"),
        ("TokenLabeller", np.full((4, 6), 3), r"target \[0, 0\] is 3, expected 0 to 2"),
        ("Regressor", [0.0, np.nan, 0.0, 0.0], "expected .* a finite number for each"),
        ("SpanAnswerer", [[0, 5], [1, 4], [1, 1], [0, 0]], r"of sequence 1 is \[1, 4\], behind"),
        ("SpanAnswerer", [[0, 6], [1, 1], [1, 1], [0, 0]], r"target \[0, 1\] is 6, expected"),
        ("RewardModel", [1.0, 1.0, 2.0, 3.0], "targets of a pair are equal"),
        ("RewardModel", [1.0, 2.0], "expected .* sequences come in pairs"),
    ],
)
def test_bad_targets_are_refused(name, targets, message):
    model, batch = MODELS[name]()
    with pytest.raises(InputError, match=message):
        model.loss(batch._replace(targets=np.array(targets)))


def test_an_empty_batch_is_refused():
    model, batch = MODELS["Classifier"]()
    empty = EncoderBatch(*(array[:0] for array in batch))
    with pytest.raises(InputError, match="the batch is empty"):
        model.loss(empty)


def test_an_empty_sequence_is_refused_on_any_trunk():
    model, batch = MODELS["RewardModel"]()
    with pytest.raises(InputError, match="sequence 1 has length 0"):
        model(batch._replace(lengths=np.array([6, 0, 2, 5])))


def test_rewards_are_learnt_from_order_alone():
    model, batch = MODELS["RewardModel"]()
    scores, _ = model(batch)
    loss, _ = model.loss(batch)
    better, worse = scores[[0, 2], 0], scores[[1, 3], 0]  # NUMBERS: 0.5 > -1 and 2 > 0.25
    np.testing.assert_allclose(loss, np.log1p(np.exp(worse - better)).mean(), rtol=1e-12)
    same_order, _ = model.loss(batch._replace(targets=10 * NUMBERS))
    assert same_order == loss


def test_answers_are_inside_the_text_and_the_right_way_round():
    model, batch = MODELS["SpanAnswerer"]()
    scores, _ = model(batch)
    spans = best_spans(scores, 2)
    for row, (first, last) in enumerate(spans):
        pairs = [(a, b) for a in range(LENGTHS[row]) for b in range(a, min(a + 2, LENGTHS[row]))]
        sums = [scores[row, 0, a] + scores[row, 1, b] for a, b in pairs]
        assert (first, last) == pairs[int(np.argmax(sums))]


@pytest.mark.parametrize("part", [Head, Pooler, SpanHead])
def test_a_planted_fault_is_found(part, monkeypatch):
    right = part.backward
    monkeypatch.setattr(part, "backward", lambda self, dy, cache: 1.01 * right(self, dy, cache))
    name = "SpanAnswerer" if part is SpanHead else "Classifier"
    with pytest.raises(LawError, match="gradient of"):
        model_gradient(*MODELS[name]())


def test_bad_shapes_are_refused():
    with pytest.raises(InputError, match="outputs is 0"):
        ClassifierConfig(BERT, outputs=0)
    with pytest.raises(InputError, match="pooling is 'middle', expected one of"):
        Classifier(ClassifierConfig(BERT, outputs=2, pooling="middle"))


@pytest.mark.parametrize("name", [*HEADED, "BertForMaskedLM", "MultiTask"])
def test_the_shape_survives_a_file(name):
    model, _ = MODELS[name]()
    again = config_from_json(config_to_json(model.config))
    assert again == model.config
    assert type(build(again)) is type(model)


def test_the_total_loss_is_the_weighted_sum():
    model, batch = MODELS["MultiTask"]()
    total, _ = model.loss(batch)
    alone = {task: model.loss(MultiTaskBatch({task: batch.parts[task]}))[0] for task in batch.parts}
    np.testing.assert_allclose(total, sum(alone.values()), rtol=1e-12)
    topic, _ = model.heads["topic"].loss(
        model("topic", batch.parts["topic"])[0], batch.parts["topic"]
    )
    np.testing.assert_allclose(alone["topic"], 0.5 * topic, rtol=1e-12)


def test_a_forgotten_weight_is_found(monkeypatch):
    model, batch = MODELS["MultiTask"]()
    right = MultiTask.backward

    def without_weights(self, cache, dloss=1.0):
        right(self, cache._replace(weights=dict.fromkeys(cache.weights, 1.0)), dloss)

    monkeypatch.setattr(MultiTask, "backward", without_weights)
    with pytest.raises(LawError, match="gradient of"):
        model_gradient(model, batch)


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_parts_of_a_batch_of_several_tasks_add_up(parts):
    model, batch = MODELS["MultiTask"]()
    flat = flatten_parameters(model.parameters())
    flat.data[...] = 0.5 * np.random.default_rng(1).standard_normal(flat.data.size)
    whole = add_gradients(model, shares(batch, 1))
    expected = flat.grad.copy()
    model.zero_grad()
    total = add_gradients(model, shares(batch, parts))
    np.testing.assert_allclose(total, whole, rtol=1e-12)
    np.testing.assert_allclose(flat.grad, expected, rtol=1e-12, atol=1e-12)
    (first, *_) = split_batch(batch, 2)
    assert sum(map(count_targets, split_batch(first, 2))) == count_targets(first)
    assert np.ptp([share.weight for share in shares(batch, 2)]) > 0  # else the weights do nothing


def test_tasks_come_in_their_shares():
    config = dataclasses.replace(MODELS["MultiTask"]()[0].config, shares=(3.0, 1.0))
    sources = {task: lambda step, task=task: (task, step) for task in config.tasks}
    drawn = [mix_batches(config, sources, 0, step).parts for step in range(400)]
    assert all(len(parts) == 1 for parts in drawn)
    assert sum("topic" in parts for parts in drawn) == pytest.approx(300, abs=40)
    assert drawn[7] == mix_batches(config, sources, 0, 7).parts
    together = dataclasses.replace(config, shares=())
    assert set(mix_batches(together, sources, 0, 0).parts) == {"topic", "tags"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ("one", "one")}, "all different"),
        ({"weights": (1.0,)}, "weights is .* expected one for each"),
        ({"heads": ("class", "tail")}, "heads has .*tail"),
        ({"outputs": (1, 0)}, "outputs must be 1 or more"),
        ({"shares": (0.0, 0.0)}, "shares are all 0"),
    ],
)
def test_impossible_mixtures_are_refused(change, message):
    config = MultiTaskConfig(BERT, ("one", "two"), ("class", "label"), (2, 3), (1.0, 1.0))
    with pytest.raises(InputError, match=message):
        dataclasses.replace(config, **change)


def test_an_unknown_task_is_named():
    model, batch = MODELS["MultiTask"]()
    with pytest.raises(InputError, match="task 'cooking' is unknown; expected one of topic, tags"):
        model("cooking", batch.parts["topic"])


def test_trunks_are_shared_not_copied():
    model = MultiTask(MODELS["MultiTask"]()[0].config)
    assert sum(name.startswith("trunk.") for name, _ in model.named_parameters()) == len(
        model.trunk.parameters()
    )
    assert isinstance(Classifier(ClassifierConfig(BERT, outputs=2)).trunk, Bert)
    assert not isinstance(model.trunk, GPT)
