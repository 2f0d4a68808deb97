import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from minitransformer.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint
from minitransformer.cli import generate as command
from minitransformer.cli import main, train
from minitransformer.optim import AdamW
from minitransformer.tokenizers import CharTokenizer

TEXT = "to be, or not to be: that is the question.\n" * 12
SPEED = r"[\d,]+ tokens in \d+\.\d s: [\d,]+ tokens/s\n"
SETTINGS = [
    *("--layers", "1", "--heads", "2", "--width", "16", "--context", "8", "--batch", "2"),
    *("--steps", "3", "--evaluate-batches", "1"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with the runs char and bpe."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    for name in ("char", "bpe"):
        data = ["--data", str(folder / "text.txt"), "--out", str(folder / name)]
        kind = ["--tokenizer", name, "--bpe-tokens", "270"]
        with redirect_stdout(StringIO()), pytest.MonkeyPatch.context() as patched:
            patched.setattr(train, "plot_losses", lambda metrics, levels, path: None)
            assert main(["train", *SETTINGS, *data, *kind]) == 0
    return folder


@pytest.fixture
def generate(runs, capsys, monkeypatch):
    """Call the command on the run char, unless another one is named; returns what it printed."""
    monkeypatch.chdir(runs)

    def run(*arguments, run="char", status=0):
        capsys.readouterr()
        options = () if "--max-new-tokens" in arguments else ("--max-new-tokens", 20)
        assert main(["generate", run, *map(str, (*arguments, *options))]) == status
        out, err = capsys.readouterr()
        assert status or re.fullmatch(SPEED, err)
        return " ".join(err.replace("│", " ").split()) if status else out

    return run


def test_the_prompt_is_continued(generate):
    out = generate("--prompt", "to be")
    assert out.startswith("to be")
    assert len(out) == len("to be") + 20 + len("\n")
    assert set(out) <= set(TEXT)


def test_the_same_seed_gives_the_same_text(generate):
    assert generate("--prompt", "to", "--seed", 3) == generate("--prompt", "to", "--seed", 3)
    assert len({generate("--prompt", "to", "--seed", seed) for seed in range(4)}) == 4


def test_greedy_text_has_no_chance_in_it(generate):
    texts = {generate("--prompt", "to", "--greedy", "--seed", seed) for seed in range(4)}
    assert len(texts) == 1
    assert texts == {generate("--prompt", "to", "--top-k", 1)}
    assert texts == {generate("--prompt", "to", "--top-p", 0)}


@pytest.mark.parametrize(
    "option",
    [
        ("--temperature", 0.05),
        ("--top-k", 2),
        ("--top-p", 0.3),
        ("--min-p", 0.9),
        ("--repetition-penalty", 9),
        ("--no-repeat-ngram-size", 2),
        ("--num-beams", 2),
    ],
    ids=str,
)
def test_options_change_the_text(generate, option):
    assert generate("--prompt", "to", *option) != generate("--prompt", "to")


def test_samples_differ_and_are_told_apart(generate):
    out = generate("--prompt", "to", "--samples", 3)
    titles = re.findall(r"^--- (\d) of 3$", out, re.M)
    assert titles == ["1", "2", "3"]
    texts = re.split(r"--- \d of 3\n", out)[1:]
    assert all(text.startswith("to") and len(text) == 23 for text in texts)
    assert len(set(texts)) == 3


def test_several_prompts_are_continued_one_after_the_other(generate):
    out = generate("--prompt", "to", "--prompt", "be", "--samples", 2)
    texts = re.split(r"--- \d of 4\n", out)[1:]
    assert [text[:2] for text in texts] == ["to", "to", "be", "be"]
    assert texts[3] == generate("--prompt", "be", "--seed", 1)


def test_a_stop_ends_the_text_and_is_left_out(generate):
    whole = generate("--prompt", "to").removesuffix("\n")
    stop, other = whole[9:12], whole[14:16]
    options = ("--stop", stop, "--stop", other)
    assert generate("--prompt", "to", *options) == whole[: whole.index(stop, 2)] + "\n"
    assert generate("--prompt", "to", "--stop", "€") == whole + "\n"


def test_beams_find_likely_texts(generate):
    options = ("--prompt", "to", "--num-beams", 3, "--samples", 2, "--max-new-tokens", 6)
    texts = re.split(r"--- \d of 2\n", generate(*options))[1:]
    assert len(set(texts)) == 2
    assert all(text.startswith("to") and len(text) == 9 for text in texts)
    for early_stopping in ("yes", "no", "never"):  # no text ends, so that they agree
        assert generate(*options, "--early-stopping", early_stopping) == "".join(
            f"--- {i} of 2\n{text}" for i, text in enumerate(texts, start=1)
        )


def test_the_speed_is_shown(generate, capsys):
    assert main(["generate", "char", "--prompt", "to", "--max-new-tokens", "7"]) == 0
    assert re.fullmatch(SPEED, capsys.readouterr().err).string.startswith("7 tokens in ")


def test_nothing_new_may_be_asked_for(generate):
    assert generate("--prompt", "to", "--max-new-tokens", 0) == "to\n"


def test_more_than_a_context_can_be_read_and_written(generate):
    prompt = TEXT[:40]
    out = generate("--prompt", prompt)
    assert out.startswith(prompt)
    assert len(out) == 61


def test_there_is_a_prompt_by_default(generate):
    assert generate().startswith("\n")


def test_byte_pairs_know_every_character(generate):
    assert generate("--prompt", "日本 ü", run="bpe").startswith("日本 ü")


def test_a_prompt_may_begin_with_a_dash(generate):
    assert generate("--prompt=-to", run="bpe").startswith("-to")


def test_text_appears_token_by_token(generate, capsys, monkeypatch):
    seen = []

    def stream(*_args, **_options):
        for token in range(3):
            seen.append(capsys.readouterr().out)
            yield token

    monkeypatch.setattr(command, "stream", stream)
    generate("--prompt", "to")
    alphabet = sorted(set(TEXT))
    assert seen == ["to", alphabet[0], alphabet[1]]


BAD = [
    (["--prompt", ""], "the prompt is empty, expected at least one token"),
    (["--prompt", "xyz"], r"never saw: 'x' \(U\+0078\) at position 0, 'y'"),
    (["--temperature", "0"], "temperature is 0.0, expected more than 0.*greed"),
    (["--temperature", "nan"], "temperature is nan"),
    (["--temperature", "hot"], "temperature: .*'hot'"),
    (["--top-p", "1.5"], "top_p: p is 1.5, expected 0 <= p <= 1"),
    (["--top-k", "-1"], "top_k: k is -1, expected 0 .* or more"),
    (["--repetition-penalty", "0"], "repetition_penalty: penalty is 0.0, expected more than 0"),
    (["--max-new-tokens", "-1"], "max_new_tokens is -1, expected 0 or more"),
    (["--seed", "-1"], "seed is -1, expected 0 or more"),
    (["--samples", "0"], "samples is 0, expected 1 or more"),
    (["--min-p", "2"], "min_p: p is 2.0, expected 0 <= p <= 1"),
    (["--no-repeat-ngram-size", "-1"], "size is -1, expected 0 .* or more"),
    (["--num-beams", "0"], "num_beams is 0, expected 1 or more"),
    (["--num-beams", "2", "--samples", "3"], "num_return_sequences is 3 and num_beams 2"),
    (["--early-stopping", "maybe"], "maybe"),
    (["--stop", ""], "stop is empty"),
    (["--promt", "to"], "--promt.*meant:.*--prompt"),
    (["surplus"], "Unrecognized options: surplus"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: " ".join(value)[:30])
def test_bad_input_is_named_before_anything_is_printed(runs, capsys, arguments, message):
    assert main(["generate", str(runs / "char"), "--prompt", "to", *arguments]) == 2
    out, err = capsys.readouterr()
    assert re.search(message, " ".join(err.replace("│", " ").split())), err
    assert out == ""


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("nowhere", "nowhere does not exist; expected a run folder"),
        ("text.txt", "text.txt has no checkpoint; expected a run folder"),
        (".", r"\. has no checkpoint; expected a run folder"),
    ],
)
def test_what_is_no_run_is_named(generate, run, message):
    assert re.search(message, generate(run=run, status=2))


def test_the_run_must_be_given(capsys):
    assert main(["generate"]) == 2
    assert "RUN" in capsys.readouterr().err


def damaged(runs, tmp_path, change):
    folder = tmp_path / "run"
    shutil.copytree(runs / "char", folder)
    change(folder)
    return str(folder)


def poison(folder):
    path = newest_checkpoint(folder)
    model = load_checkpoint(path).build()
    model.norm.gamma.data[...] = np.nan
    save_checkpoint(path, 3, model, AdamW(model.parameters(), 0.1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: newest_checkpoint(f).write_bytes(b"PK"), "truncated or not a checkpoint"),
        (lambda f: os.remove(f / "tokenizer.json"), "cannot read the tokenizer"),
        (lambda f: (f / "tokenizer.json").write_text("[]"), "is not a tokenizer"),
        (lambda f: CharTokenizer("abc").save(f / "tokenizer.json"), "mixed up"),
        (poison, "the largest logit is nan, .*weights are damaged"),
    ],
    ids=["checkpoint", "no tokenizer", "tokenizer", "mixed up", "NaN"],
)
def test_a_damaged_run_is_named(generate, runs, tmp_path, change, message):
    err = generate("--prompt", "to", run=damaged(runs, tmp_path, change), status=2)
    assert re.search(message, err), err


def test_only_model_and_tokenizer_are_needed(generate, runs, tmp_path):
    def strip(folder):
        for name in ("tokens.npy", "config.toml", "metrics.jsonl"):
            os.remove(folder / name)

    stripped = damaged(runs, tmp_path, strip)
    assert generate("--prompt", "to", run=stripped) == generate("--prompt", "to")


def test_help_shows_examples(capsys):
    assert main(["generate", "--help"]) == 0
    out = capsys.readouterr().out
    assert '  minitransformer generate runs/001 --prompt "The "\n' in out
    for name in ("--prompt", "--temperature", "--top-k", "--top-p", "--greedy", "--samples"):
        assert name in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX pipe")
def test_a_reader_that_has_seen_enough_is_no_error(runs):
    arguments = ["generate", str(runs / "char"), "--prompt", "to", "--max-new-tokens", "100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "minitransformer", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.read(5).startswith(b"to")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0
