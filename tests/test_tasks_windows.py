"""Objectives over one kind of token file: what follows a beginning, and what was cut out."""

import dataclasses

import numpy as np
import pytest

from minitransformer.configuration import TrainConfig
from minitransformer.data import IGNORE, open_tokens
from minitransformer.errors import InputError
from minitransformer.evaluation import mean_loss, measures
from minitransformer.runs import Run

pytestmark = pytest.mark.systems

SHAPE = {"layers": 1, "heads": 2, "width": 16, "context": 20, "batch": 8, "steps": 30}
TEXT = "the cat sat on the mat, and the dog lay. " * 40


@pytest.fixture
def start(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")

    def start(task, architecture, out="run", **settings):
        config = TrainConfig(
            task=task,
            architecture=architecture,
            data=(tmp_path / "text.txt",),
            out=tmp_path / out,
            learning_rate=0.01,
            validation_fraction=0.2,
            **SHAPE | settings,
        )
        return Run.create(config)

    return start


def learns(run):
    before = mean_loss(run.model, run.task.validation())
    for _ in run.steps():
        pass
    after = mean_loss(run.model, run.task.validation())
    assert after < before - 0.5
    (loss, *_) = measures(run.task.outcomes(run.model), resamples=5)
    assert loss.value == pytest.approx(after, rel=1e-5)


@pytest.mark.parametrize("architecture", ["gpt", "llama", "transformer-lm"])
def test_what_follows_a_beginning(architecture, start):
    run = start("prefix-text", architecture)
    first, again, other = (run.task.batch(step) for step in (0, 0, 1))
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.mask != other.mask).any()
    asked = first.targets != IGNORE
    seen = first.mask[:, 0, 0].sum(axis=1)  # what the first token attends to is the beginning
    np.testing.assert_array_equal(asked.sum(axis=1), 20 - seen + 1)
    learns(run)
    beginning, follows = run.task.example(run.model, 20).split("\n\n→\n\n")
    validation = run.task.tokenizer.decode(run.task.validation_tokens.tolist())
    assert validation.startswith(beginning)
    assert len(beginning) + len(follows) == 21


def spans(start, **settings):
    return start("span-text", "encoder-decoder", tokenizer="bpe", bpe_tokens=270, **settings)


def test_what_was_cut_out(start):
    run = spans(start, task_options={"probability": 0.3})
    batch, task = run.task.batch(0), run.task
    special = task.tokenizer.special_tokens
    assert list(special) == ["<edge>", "<0>", "<1>"]
    for source, target in zip(batch.sources.tolist(), batch.targets.tolist(), strict=True):
        one, two, end = (target.index(special[name]) for name in ("<0>", "<1>", "<edge>"))
        assert (one, end) == (0, len(target) - 1)
        whole = source
        for sentinel, span in (("<0>", target[1:two]), ("<1>", target[two + 1 : end])):
            place = whole.index(special[sentinel])
            whole = [*whole[:place], *span, *whole[place + 1 :]]
        assert task.tokenizer.decode(whole) in TEXT
    assert run.model.config.target_context == batch.inputs.shape[1]
    learns(run)
    source, _ = task.example(run.model, 20).split("\n\n→\n\n")
    assert "<0>" in source


def test_all_objectives_read_the_same_file(start):
    settings = {"tokenizer": "bpe", "bpe_tokens": 270, "steps": 1}
    first = start("masked-text", "bert", "masked", **settings)
    again = start("prefix-text", "gpt", "prefix", start_from=None, **settings)
    special = first.task.tokenizer.vocab_size - 1
    tokens = open_tokens(first.folder / "tokens.npy")
    assert tokens.max() < special
    assert first.task.tokenizer.decode(tokens.tolist()) == TEXT
    assert again.task.tokenizer.decode(again.task.tokens.tolist()) == TEXT


def test_pairs_are_learned_from_what_was_learned_of_a_text(start):
    first = spans(start)
    options = {"examples": 20, "held_out": 5, "tasks": ["sort"]}
    config = dataclasses.replace(
        first.config,
        task="text2text",
        task_options=options,
        model_options={"target_context": 32},
        data=(),
        context=64,
        start_from=first.folder,
        out=first.folder.with_name("second"),
    )
    second = Run.create(config)
    assert second.task.tokenizer.special_tokens == first.task.tokenizer.special_tokens
    ours, theirs = (dict(run.model.named_parameters()) for run in (second, first))
    assert all((ours[name].data == theirs[name].data).all() for name in theirs)


@pytest.mark.parametrize("options", [{"probability": 1.0}, {"span_length": 0.5}])
def test_impossible_spans_are_refused(options, start):
    with pytest.raises(InputError, match="expected 0 < probability < 1 and span_length >= 1"):
        spans(start, task_options=options)


def test_characters_have_no_sentinels(start):
    with pytest.raises(InputError, match='expected "bpe": the task needs <edge>'):
        start("span-text", "encoder-decoder")


def test_a_vocabulary_with_too_few_sentinels_is_refused(start):
    masked = start("masked-text", "bert", "masked", tokenizer="bpe", bpe_tokens=270)
    with pytest.raises(InputError, match="has 1 special tokens, expected 2, as <edge>"):
        spans(start, start_from=masked.folder)
