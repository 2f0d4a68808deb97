"""Metrics by hand, and how sure they are."""

import math
import sys

import numpy as np
import pytest

from minitransformer.data import Batch
from minitransformer.errors import InputError
from minitransformer.evaluation import (
    Labels,
    Losses,
    Outcomes,
    Texts,
    losses,
    losses_by_group,
    measures,
    measures_by_group,
)
from minitransformer.models import GPT, GPTConfig
from minitransformer.tokenizers import BPETokenizer, CharTokenizer

NAMES = ["cat", "dog", "owl"]


def everything(outcomes):
    return outcomes.measure(np.arange(len(outcomes)))


def test_accuracy_precision_recall_and_f1_by_hand():
    # cat: 2 right of 3 predicted and 2 true; dog: 1 of 1 and 3; owl: 1 of 2 and 1
    found = everything(Labels([0, 0, 1, 1, 1, 2], [0, 0, 1, 0, 2, 2], NAMES))
    assert found["accuracy"] == pytest.approx(4 / 6)
    expected = {"cat": (2 / 3, 1.0, 4 / 5), "dog": (1.0, 1 / 3, 1 / 2), "owl": (1 / 2, 1.0, 2 / 3)}
    for label, scores in expected.items():
        for score, value in zip(("precision", "recall", "F1"), scores, strict=True):
            assert found[f"{score} of {label}"] == pytest.approx(value)
    for i, score in enumerate(("precision", "recall", "F1")):
        assert found[f"{score} (micro)"] == pytest.approx(4 / 6)
        mean = sum(scores[i] for scores in expected.values()) / 3
        assert found[f"{score} (macro)"] == pytest.approx(mean)


def test_a_background_is_neither_missed_nor_found():
    # of three names two are found, one of them as the wrong kind, and one name is made up
    truth, predicted = [0, 1, 1, 2, 0, 0], [0, 1, 0, 1, 2, 0]
    found = everything(Labels(truth, predicted, ["O", "person", "place"], background=0))
    assert found["accuracy"] == pytest.approx(3 / 6)
    assert found["precision (micro)"] == pytest.approx(1 / 3)
    assert found["recall (micro)"] == pytest.approx(1 / 3)
    assert found["F1 (micro)"] == pytest.approx(1 / 3)
    assert found["precision (macro)"] == pytest.approx((1 / 2 + 0) / 2)
    assert "F1 of O" not in found


def test_labels_that_do_not_occur_are_left_out_and_those_never_predicted_count_as_zero():
    found = everything(Labels([0, 1], [0, 0], NAMES))
    assert found["precision of dog"] == found["recall of dog"] == found["F1 of dog"] == 0.0
    assert found["F1 (macro)"] == pytest.approx((2 / 3 + 0) / 2)
    assert not [name for name in found if "owl" in name]


def test_labels_of_tokens_are_those_that_are_asked_for():
    truth = [np.array([0, 1, -100]), np.array([[2, -100]]), 1]
    predicted = [np.array([0, 2, 2]), np.array([[2, 0]]), 1]
    labels = Labels(truth, predicted, NAMES)
    assert len(labels) == 3
    assert everything(labels)["accuracy"] == pytest.approx(3 / 4)
    assert labels.measure(np.array([0, 0]))["accuracy"] == pytest.approx(1 / 2)


def test_measuring_a_choice_is_measuring_these_examples_alone():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(3, size=(2, 20, 4))
    rows = rng.integers(20, size=30)
    chosen = everything(Labels(truth[rows], predicted[rows], NAMES))
    assert Labels(truth, predicted, NAMES).measure(rows) == pytest.approx(chosen)


@pytest.mark.parametrize(
    ("truth", "predicted", "error", "says"),
    [
        ([0, 1], [0], ValueError, "truth has 2 labels of 2 examples and predicted 1 of 1"),
        ([[0, 1]], [[0, 1, 1]], ValueError, "one prediction for each true label"),
        ([-100], [0], ValueError, "nothing is asked"),
        ([], [], ValueError, "nothing is asked"),
        ([0, 3], [0, 0], IndexError, r"truth\[1\] is 3, expected 0 <= value < 3"),
        ([0, 1], [0, -1], IndexError, r"predicted\[1\] is -1, expected 0 <= value < 3"),
    ],
)
def test_labels_that_cannot_be(truth, predicted, error, says):
    with pytest.raises(error, match=f"labels: .*{says}"):
        Labels(truth, predicted, NAMES)


def test_exact_match():
    texts = Texts(["one", "two", "tree", ""], ["one", "two ", "three", ""])
    assert everything(texts) == {"exact match": 0.5}
    assert texts.measure(np.array([0, 0, 1])) == {"exact match": pytest.approx(2 / 3)}
    with pytest.raises(ValueError, match="2 predictions and 1 references"):
        Texts(["a", "b"], ["a"])


WRITTEN = ["the cat sat on a mat today", "hello big world of ours", ""]
EXPECTED = ["the cat sat on the mat today", "hello world of ours", "nothing"]


def test_bleu_is_that_of_the_whole_corpus():
    sacrebleu = pytest.importorskip("sacrebleu", reason="BLEU is computed by sacrebleu")
    texts = Texts(WRITTEN, EXPECTED, bleu=True)
    expected = sacrebleu.corpus_bleu(WRITTEN, [EXPECTED]).score
    assert everything(texts)["BLEU"] == pytest.approx(expected, rel=1e-12)
    rows = [0, 0, 1]
    some = sacrebleu.corpus_bleu([WRITTEN[r] for r in rows], [[EXPECTED[r] for r in rows]]).score
    assert texts.measure(np.array(rows))["BLEU"] == pytest.approx(some, rel=1e-12)
    assert everything(Texts(EXPECTED, EXPECTED, bleu=True))["BLEU"] == pytest.approx(100.0)
    assert everything(Texts(["", ""], EXPECTED[:2], bleu=True))["BLEU"] == 0.0


def test_bleu_by_hand():
    pytest.importorskip("sacrebleu", reason="BLEU is computed by sacrebleu")
    # of 6 words 5 match, of 5 pairs 3, of 4 triples 2, of 3 quadruples 1; as long as expected
    found = everything(Texts(["the cat sat on a mat"], ["the cat sat on the mat"], bleu=True))
    assert found["BLEU"] == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


def test_bleu_without_sacrebleu_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(InputError, match="sacrebleu, which is not installed: pip install"):
        Texts(["a"], ["a"], bleu=True)
    assert everything(Texts(["a"], ["a"])) == {"exact match": 1.0}


def test_losses_by_hand():
    found = everything(Losses([math.log(8.0), 0.0], [1, 2], [3, 1]))
    assert found["loss"] == pytest.approx(math.log(2.0))
    assert found["perplexity"] == pytest.approx(2.0)
    assert found["bits per byte"] == pytest.approx(3 / 4)
    assert "bits per byte" not in everything(Losses([1.0], [1]))
    assert everything(Losses([1e4], [1]))["perplexity"] == math.inf


class Counter:
    """Its loss is the mean of the targets that are asked for."""

    def loss(self, batch, rng=None):
        return batch.targets[batch.targets >= 0].mean(), None


def test_the_losses_of_sequences():
    targets = np.array([[0, 1], [2, -100], [-100, -100], [3, 3]])
    found = losses(Counter(), [Batch(targets[:3], targets[:3]), Batch(targets[3:], targets[3:])])
    assert found.nats.tolist() == [0.5, 2.0, 3.0]
    assert found.tokens.tolist() == [2, 1, 2]
    assert found.sizes is None
    characters = CharTokenizer("aé中𝄞")
    assert losses(Counter(), [Batch(targets, targets)], characters).sizes.tolist() == [3, 3, 8]
    half = BPETokenizer([]).encode("é")[:1]
    row = np.array([half])
    assert losses(Counter(), [Batch(row, row)], BPETokenizer([])).sizes.tolist() == [1]


def test_the_losses_of_groups():
    rows = {"en": np.array([[0, 1], [1, 1]]), "zh": np.array([[2, 2]])}
    batches = {group: [Batch(ids, ids)] for group, ids in rows.items()}
    found = losses_by_group(Counter(), batches, CharTokenizer("ab中"))
    assert (found.nats.tolist(), found.tokens.tolist()) == ([0.5, 1.0, 2.0], [2, 2, 2])
    assert (found.sizes.tolist(), found.groups) == ([2, 2, 6], ["en", "en", "zh"])
    english, chinese = measures_by_group(found).values()
    assert [english[0].value, chinese[0].value] == [0.75, 2.0]


def test_the_losses_of_sequences_make_up_the_mean_loss():
    model = GPT(GPTConfig(5, context=4, layers=1, heads=1, width=4, dropout=0.5))
    ids = np.random.default_rng(0).integers(5, size=(6, 4))
    targets = np.where(ids == 2, -100, ids)
    mean = float(model.loss(Batch(ids, targets))[0])
    found = losses(model, [Batch(ids[:4], targets[:4]), Batch(ids[4:], targets[4:])])
    assert everything(found)["loss"] == pytest.approx(mean, rel=1e-5)


class Mean(Outcomes):
    """The mean of some numbers."""

    def __init__(self, values, groups=()):
        self.values = np.asarray(values, float)
        self.groups = groups

    def __len__(self):
        return len(self.values)

    def measure(self, rows):
        return {"mean": float(self.values[rows].mean())}


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    (mean,) = measures(Mean(values), seed=1)
    error = values.std() / 20
    assert (mean.name, mean.value) == ("mean", values.mean())
    assert mean.low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert mean.high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)
    (narrow,) = measures(Mean(values), seed=1, confidence=0.5)
    assert mean.low < narrow.low < narrow.high < mean.high


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(100, 40))
    found = [measures(Mean(x), resamples=100, confidence=0.8)[0] for x in samples]
    assert 0.7 < np.mean([m.low <= 0.0 <= m.high for m in found]) < 0.9


def test_the_seed_decides_and_one_example_is_no_spread():
    values = np.arange(10.0)
    assert measures(Mean(values), 3) == measures(Mean(values), 3)
    assert measures(Mean(values), 3) != measures(Mean(values), 4)
    assert measures(Mean([7.0])) == [("mean", 7.0, 7.0, 7.0)]


def test_each_group_alone():
    outcomes = Mean([1.0, 10.0, 3.0, 10.0], groups=["en", "de", "en", "de"])
    found = measures_by_group(outcomes)
    assert list(found) == ["de", "en"]
    assert found["de"] == [("mean", 10.0, 10.0, 10.0)]
    assert found["en"][0].value == 2.0
    assert (found["en"][0].low, found["en"][0].high) == (1.0, 3.0)
    assert measures_by_group(Mean([1.0])) == {}


def test_what_cannot_be_measured_is_left_out_of_the_interval():
    found = {m.name: m for m in measures(Labels([0, 0, 0, 1], [0, 0, 0, 1], NAMES))}
    assert found["F1 of dog"] == ("F1 of dog", 1.0, 1.0, 1.0)  # though many resamples have no dog
    (broken,) = measures(Mean([math.nan, math.nan]))
    assert math.isnan(broken.value)
    assert math.isnan(broken.low)


@pytest.mark.parametrize(
    ("values", "options", "says"),
    [
        ([], {}, "there are no examples"),
        ([1.0], {"resamples": 0}, "resamples is 0"),
        ([1.0], {"confidence": 1.0}, "confidence 1.0"),
    ],
)
def test_nothing_to_measure(values, options, says):
    with pytest.raises(ValueError, match=f"measures: .*{says}"):
        measures(Mean(values), **options)
