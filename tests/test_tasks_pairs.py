"""The tasks of encoder-decoders: their examples, batches, and what is measured on them."""

import dataclasses
import re
import sys

import numpy as np
import pytest

from minitransformer.cli.alignment import picture_alignments
from minitransformer.configuration import TrainConfig
from minitransformer.data import count_targets
from minitransformer.errors import InputError
from minitransformer.recipes import load_recipe
from minitransformer.runs import Run
from minitransformer.tasks import TASKS, pairs, text2text
from minitransformer.tasks.text2text import DRAW, OPINIONS

pytestmark = pytest.mark.systems

SMALL = {
    "dates": {"examples": 300, "held_out": 40},
    "numbers": {"examples": 100, "held_out": 13},
    "text2text": {"examples": 50, "held_out": 7},
}
NEEDS = {"dates": "babel", "numbers": "num2words"}


def settings(name, **changes):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason="the package that makes the examples")
    small = {"width": 8, "heads": 2, "layers": 1, "batch": 16, "tokenizer": "char", "context": 160}
    options = {**SMALL[name], **changes.pop("task_options", {})}
    model = {"target_context": 90, "hidden": 8}
    return dataclasses.replace(
        load_recipe(name), **small | changes, task_options=options, model_options=model
    )


def draw(name, seed=1):
    task, config = TASKS[name], settings(name)
    return task.pairs(task.read_options(config.task_options), np.random.default_rng(seed))


@pytest.fixture
def task(request, tmp_path):
    config = settings(request.param)
    TASKS[config.task].prepare(tmp_path, config)
    return TASKS[config.task](tmp_path, config)


def contents(name, examples):
    """What an example is about, whatever the words."""
    if name == "dates":
        return {pair.target for pair in examples}
    if name == "numbers":
        return {pair.source.split(" ", 1)[1] for pair in examples}
    return {pair.source for pair in examples}


@pytest.mark.parametrize("name", SMALL)
def test_nothing_that_is_held_out_is_learned_from(name):
    train, held_out = draw(name)
    assert not contents(name, train) & contents(name, held_out)
    assert {pair.group for pair in train} >= {pair.group for pair in held_out}
    assert draw(name) == (train, held_out)
    assert draw(name, seed=2) != (train, held_out)


def test_dates_are_of_at_least_ten_languages():
    train, _ = draw("dates")
    assert {pair.source.split(" ")[0] for pair in train} == {pair.group for pair in train}
    assert {"ar", "de", "en_GB", "en_US", "fr", "zh"} < {pair.group for pair in train}
    assert len({pair.group for pair in train}) >= 10
    for pair in train:
        assert re.fullmatch(r"(19[7-9]|20[0-6])\d-\d\d-\d\d", pair.target)
        if pair.group == "de" and re.search(r"\d\d\.\d\d\.\d\d$", pair.source):
            day, month, year = pair.source[3:].split(".")
            assert pair.target[2:] == f"{year}-{month}-{day}"


def test_numbers_are_written_out():
    train, held_out = draw("numbers")
    assert len(train) == 3 * 100
    assert len(held_out) == 3 * 13
    by_source = {pair.source: pair.target for pair in train + held_out}
    assert by_source.get("fr two", "deux") == "deux"
    assert all(by_source[source.replace("de ", "fr ", 1)] for source in by_source)


def truth(task, source):
    """The target once more, from the words of the source."""
    words = source.replace(".", "").replace("?", "").replace(",", "").split()
    if task == "sort":
        return " ".join(map(str, sorted(map(int, words))))
    if task == "reverse":
        return " ".join(words[::-1])
    if task == "answer":
        verb = next(word for word in words if word in text2text.VERBS)
        who, whom = " ".join(words[:3]), " ".join(words[4:7])
        where = " ".join(words[7:10])
        return {"who": who, "what": verb, "whom": whom, "where": where}[words[-1]]
    if task == "classify":
        found = {_meaning(part) for part in re.split(" and | but ", source)}
        return found.pop() if len(found) == 1 else "mixed"
    if task == "summarise":
        nouns = [word for word in words if word in text2text.NOUNS]
        (verb,) = (word for word in words if word in text2text.VERBS)
        return f"{nouns[0]} {verb} {nouns[1]}"
    return None


def _meaning(opinion):
    (meaning,) = (OPINIONS[word] for word in opinion.split() if word in OPINIONS)
    turned = {"positive": "negative", "negative": "positive"}
    return turned[meaning] if " not " in opinion else meaning


@pytest.mark.parametrize("name", DRAW)
def test_every_text_has_the_target_that_it_should(name):
    rng = np.random.default_rng(3)
    for _ in range(50):
        source, target = DRAW[name](rng)
        assert truth(name, source) in (target, None)


def test_french_nouns_and_adjectives_agree():
    rng = np.random.default_rng(3)
    lines = dict(DRAW["translate"](rng) for _ in range(400))
    assert any("la vache noire" in target for target in lines.values())
    assert any("le chat noir" in target for target in lines.values())
    assert not any(re.search("la vache noir( |$)", target) for target in lines.values())


@pytest.mark.parametrize("task", SMALL, indirect=True)
def test_batches(task):
    batch = task.batch(3)
    assert len(batch.inputs) == 16
    assert (batch.inputs[:, 0] == task.edge).all()
    np.testing.assert_array_equal(batch.inputs, task.batch(3).inputs)
    assert not np.array_equal(batch.source_lengths, task.batch(4).source_lengths)
    wanted = sum(len(task.tokenizer.encode(pair.target)) + 1 for pair in task.held_out_pairs)
    assert sum(map(count_targets, task.validation())) == wanted
    assert len(list(task.validation(1))) == 1
    assert str(len(task.held_out_pairs)) in task.describe()
    assert next(iter(task.levels().values())) == np.log(task.tokenizer.vocab_size)


@pytest.mark.parametrize("task", SMALL, indirect=True)
def test_what_is_written_is_measured(task, monkeypatch):
    targets = {pair.source: pair.target for pair in task.held_out_pairs}

    def knows_all_but_one(model, sources, max_new_tokens):
        texts = [targets[task.tokenizer.decode(source)] for source in sources]
        wrong = task.held_out_pairs[0].target
        return [task.tokenizer.encode("" if text == wrong else text) for text in texts]

    if task.bleu:
        pytest.importorskip("sacrebleu", reason="computes BLEU")
    monkeypatch.setattr(pairs, "generate", knows_all_but_one)
    model = Run.__new__(Run)
    model.config = task.model_config()
    outcomes = task.outcomes(model)
    found = outcomes.measure(np.arange(len(outcomes)))
    missed = sum(pair.target == task.held_out_pairs[0].target for pair in task.held_out_pairs)
    assert found["exact match"] == pytest.approx(1 - missed / len(task.held_out_pairs))
    assert task.bleu == ("BLEU" in found)
    assert len(task.outcomes(model, 5)) == 5
    last = task.held_out_pairs[len(task.held_out_pairs) // 2]
    assert f"{last.source} → {last.target}" in task.example(model, 80)


@pytest.mark.parametrize("task", ["text2text"], indirect=True)
def test_other_pairs_take_the_place_of_the_held_out_ones(task, tmp_path):
    own, other = tmp_path / "own.tsv", task.held_out_pairs[3:]
    pairs.write_pairs(own, other)
    task.measure_on([own, own])
    assert task.held_out_pairs == other * 2
    assert sum(len(batch.inputs) for batch in task.validation()) == 2 * len(other)
    pairs.write_pairs(own, [pairs.Pair("sort", "sort: " + "1 " * 90, "1")])
    with pytest.raises(InputError, match=r"context is 160, but the longest example needs 1\d\d"):
        task.measure_on([own])
    assert task.held_out_pairs == other * 2


@pytest.mark.parametrize("line", ["sort: 1 2", "sort\t\t1", "sort\tsort: 1\t", "a\tb\tc\td"])
def test_a_line_that_is_no_pair_is_named(line, tmp_path):
    path = tmp_path / "own.tsv"
    path.write_text(f"sort\tsort: 2 1\t1 2\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"own\.tsv, line 2 is damaged: .*none of them empty"):
        pairs.read_pairs(path)


def test_a_run_learns(tmp_path, capsys):
    run = Run.create(settings("text2text", out=tmp_path / "run", steps=2))
    assert [step.index for step in run.steps()] == [1, 2]
    assert np.isfinite(run.validate(1))
    assert len(run.task.outcomes(run.model, 3)) == 3
    picture_alignments(run)
    assert "alignment.html" in capsys.readouterr().out
    page = (run.folder / "alignment.html").read_text(encoding="utf-8")
    assert [title in page for title in DRAW] == [True] * len(DRAW)
    pair = run.task.held_out_pairs[0]
    aligned = run.task.align(run.model, pair.source)
    assert "".join(aligned.source) == pair.source
    assert aligned.weights.shape == (len(aligned.target), len(aligned.source))
    np.testing.assert_allclose(aligned.weights.sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize(("name", "package"), NEEDS.items())
def test_a_missing_package_is_named(name, package, monkeypatch, tmp_path):
    module = {"babel": "babel.dates"}.get(package, package)
    config = settings(name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"needs {package}; .*pip install"):
        TASKS[name].prepare(tmp_path, config)


def test_examples_that_are_too_long(tmp_path):
    config = settings("text2text")
    TASKS["text2text"].prepare(tmp_path, config)
    with pytest.raises(InputError, match=r"context is 20, but the longest example needs \d+"):
        TASKS["text2text"](tmp_path, dataclasses.replace(config, context=20))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("text2text", {"tasks": ("sing",)}, "tasks has 'sing', expected some of translate"),
        ("numbers", {"limit": 100}, r"examples \+ held_out is 113, expected at most a tenth"),
    ],
)
def test_options_that_cannot_be(name, options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        TASKS[name].prepare(tmp_path, settings(name, task_options=options))


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes(b"\xff\n")
    with pytest.raises(InputError, match=r"train\.tsv is missing or damaged"):
        pairs.read_pairs(path)


def test_only_an_encoder_decoder_can_learn_from_pairs():
    config = TrainConfig(task="text2text", architecture="gpt")
    task = TASKS["text2text"].__new__(TASKS["text2text"])
    task.config, task.edge = config, 0
    task.tokenizer = type("Tokenizer", (), {"vocab_size": 5})
    with pytest.raises(InputError, match="architecture gpt"):
        task.model_config()
