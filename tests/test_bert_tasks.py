"""The tasks of BERT: their data, what they hold out, and what they refuse."""

import dataclasses

import numpy as np
import pytest

from minitransformer.configuration import TrainConfig
from minitransformer.data import IGNORE
from minitransformer.errors import InputError
from minitransformer.evaluation import measures
from minitransformer.models.registry import build
from minitransformer.tasks import TASKS
from minitransformer.tasks import passages as reference
from minitransformer.tasks.passages import SECTIONS, docstrings, read_passages, unlabelled_text
from minitransformer.tasks.python_source import (
    LABELS,
    label_characters,
    label_pieces,
    standard_library,
)
from minitransformer.tokenizers import BPETokenizer

pytestmark = pytest.mark.systems

SHAPE = {"architecture": "bert", "layers": 1, "heads": 2, "width": 8, "context": 16, "batch": 4}

SOURCE = '''\
"""A text,
on two lines."""

def f(x, *, y=0x1F):  # why
    return f"{x!r}" + 'a' if x else None
'''


def marked(source):
    letters = np.array(list(".knds#o"))
    return "".join(letters[label_characters(source)])


def test_what_each_character_is_part_of():
    lines = marked(SOURCE).splitlines()[0]
    text = "".join(
        mark if character != "\n" else "\n" for mark, character in zip(lines, SOURCE, strict=True)
    ).splitlines()
    assert text[0] == "s" * 10
    assert text[1] == "s" * 16
    assert text[3] == "kkk.nono.oo.noddddoo..#####"
    assert text[4][:11] == "....kkkkkk."
    assert text[4].endswith("sss.kk.n.kkkk.kkkk")
    assert text[4][11] == "s"  # f-strings are told apart in parts from Python 3.12 on


def test_pieces_are_labelled_by_what_they_begin_with():
    pieces = ["x", " =", "", " f", "(", "\n", "1", ")"]
    labels = label_pieces("".join(pieces), pieces)
    names = [LABELS[label] for label in labels]
    assert names == [
        "name",
        "operator",
        "nothing",
        "name",
        "operator",
        "nothing",
        "number",
        "operator",
    ]


def test_what_is_not_python_is_refused():
    with pytest.raises(InputError, match="the source is not Python"):
        label_characters("x = (1,")


def test_the_standard_library_is_read_up_to_a_size():
    few = list(standard_library(30_000))
    assert 0 < len(few) < len(list(standard_library(300_000)))
    assert sum(map(len, few[:-1])) < 30_000
    assert all(source.isascii() for source in few)


def test_held_out_passages_are_in_no_text_that_is_learned_from():
    passages = read_passages()
    held_out = {passage.text for passage in passages if passage.part == "held out"}
    kept = {passage.text for passage in passages if passage.part != "held out"}
    assert not held_out & kept
    assert 0.2 < len(held_out) / len(passages) < 0.3
    assert {passage.section for passage in passages} == set(SECTIONS)
    text = unlabelled_text()
    paragraphs = set(text.split("\n"))
    assert "asyncio" in text
    for docstring in docstrings():
        if docstring.text in held_out:
            assert not paragraphs & set(docstring.paragraphs)


def test_a_missing_class_is_named(monkeypatch):
    without = tuple(each for each in docstrings() if each.section != "urllib")
    monkeypatch.setattr(reference, "docstrings", lambda: without)
    with pytest.raises(InputError, match="the class 'urllib' is missing in the data"):
        read_passages()


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """A run folder with a vocabulary, so that none has to be learned for every test."""
    folder = tmp_path_factory.mktemp("vocabulary")
    BPETokenizer.train("the the of of a a def def self self", 300, ["<mask>"]).save(
        folder / "tokenizer.json"
    )
    return folder


def classify(folder, vocabulary, **settings):
    config = TrainConfig(task="classify", start_from=vocabulary, **SHAPE | settings)
    TASKS["classify"].prepare(folder, config)
    return TASKS["classify"](folder, config)


def test_labels_are_told_of_a_share_of_each_section(tmp_path, vocabulary):
    few = classify(tmp_path, vocabulary)
    every = classify(tmp_path, vocabulary, task_options={"labels": 1.0})
    assert {passage.section for passage in few.labelled} == set(SECTIONS)
    assert len(few.labelled) == pytest.approx(len(every.labelled) / 10, abs=4)
    assert set(few.labelled) < set(every.labelled)
    other = classify(tmp_path, vocabulary, seed=2)
    assert set(other.labelled) != set(few.labelled)
    assert other.held_out == few.held_out


def test_classes_of_passages(tmp_path, vocabulary):
    task = classify(tmp_path, vocabulary)
    batch = task.batch(3)
    np.testing.assert_array_equal(batch.inputs, task.batch(3).inputs)
    assert batch.inputs.shape[1] == batch.lengths.max() <= 16
    model = build(task.model_config())
    outcomes = task.outcomes(model, 8)
    assert len(outcomes) == 8
    chosen_by = sum(len(batch.inputs) for batch in task.validation())
    parts = [passage.part for passage in read_passages()]
    assert (chosen_by, len(task.held_out)) == (parts.count("validation"), parts.count("held out"))
    assert "accuracy" in {measure.name for measure in measures(outcomes, resamples=5)}
    assert len(task.example(model, 80).splitlines()) == 2
    assert "passages with labels" in task.describe()
    other = tmp_path / "other.tsv"
    other.write_text("any\txml\ta parser of documents\n" * 3, encoding="utf-8")
    task.measure_on([other])
    assert len(task.outcomes(model)) == 3
    other.write_text("any\tfood\ta parser of documents\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 1: the section is 'food', expected one of asyncio"):
        task.measure_on([other])


@pytest.mark.parametrize("options", [{"labels": 0.0}, {"labels": 1.5}])
def test_an_impossible_share_is_refused(options, tmp_path, vocabulary):
    with pytest.raises(InputError, match="labels is"):
        classify(tmp_path, vocabulary, task_options=options)


def masked(tmp_path, **settings):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat, and the dog_2 lay. " * 40, encoding="utf-8")
    settings = {"tokenizer": "bpe", "bpe_tokens": 280} | SHAPE | settings
    config = TrainConfig(task="masked-text", data=(text,), **settings)
    TASKS["masked-text"].prepare(tmp_path, config)
    return TASKS["masked-text"](tmp_path, config)


@pytest.mark.parametrize("masking", ["tokens", "words", "spans"])
def test_hidden_tokens_of_a_text(masking, tmp_path):
    task = masked(tmp_path, task_options={"masking": masking, "probability": 0.5})
    batch = task.batch(1)
    mask = task.tokenizer.special_tokens["<mask>"]
    asked = batch.targets != IGNORE
    assert 0.2 < asked.mean() < 0.8
    assert (batch.inputs == mask).any()
    assert not (batch.targets == mask).any()
    first, again = (next(task.validation(1)) for _ in range(2))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    model = build(task.model_config())
    assert len(task.outcomes(model, 1)) <= 4
    assert "→" in task.example(model, 16)
    if masking == "words":
        starts = task._word_starts
        joined = ~starts[np.where(asked, batch.targets, batch.inputs)][:, 1:]
        assert joined.any()
        np.testing.assert_array_equal(asked[:, 1:][joined], asked[:, :-1][joined])


def test_characters_cannot_be_hidden(tmp_path):
    with pytest.raises(InputError, match='expected "bpe": the task needs <mask>'):
        masked(tmp_path, tokenizer="char")
    with pytest.raises(InputError, match="masking is 'lines', expected tokens, words or spans"):
        masked(tmp_path, task_options={"masking": "lines"})


def test_labels_of_source(tmp_path):
    config = TrainConfig(
        task="tag",
        tokenizer="bpe",
        bpe_tokens=300,
        validation_fraction=0.3,
        task_options={"characters": 20_000},
        **SHAPE,
    )
    TASKS["tag"].prepare(tmp_path, config)
    task = TASKS["tag"](tmp_path, config)
    batch = task.batch(0)
    assert batch.inputs.shape == batch.targets.shape == (4, 16)
    assert batch.targets.max() < len(LABELS)
    mine = tmp_path / "mine.py"
    mine.write_text("x = 'ä'\n", encoding="utf-8")
    with pytest.raises(InputError, match="the source has .* tokens, expected 16 or more"):
        task.measure_on([mine])
    mine.write_text("x = 'ä'\n" * 20, encoding="utf-8")
    task.measure_on([mine])
    model = build(task.model_config())
    outcomes = task.outcomes(model)
    assert len(outcomes) == 1
    assert "F1 (micro)" in outcomes.measure(np.arange(1))
    assert len(next(task.validation(1)).inputs) == 4
    (tmp_path / "labels.npy").unlink()
    with pytest.raises(InputError):
        TASKS["tag"](tmp_path, dataclasses.replace(config))
