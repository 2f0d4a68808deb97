import errno
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from minitransformer import backend
from minitransformer.checkpoints import checkpoint_files, load_checkpoint, newest_checkpoint
from minitransformer.cli import main, report
from minitransformer.cli import train as command
from minitransformer.cli.progress import Progress
from tests.full_disk import files_of_at_most

TEXT = "to be, or not to be: that is the question.\n" * 12
SIZE = shlex.split("--layers 1 --heads 2 --width 16 --context 8 --batch 2 --dropout 0.2")
SHORT = shlex.split("--steps 6 --evaluate-every 2 --evaluate-batches 2")
TINY = [*SIZE, *SHORT, "--data", "text.txt"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backend, "_active", None)
    monkeypatch.setattr(command, "SAMPLE", 2)
    monkeypatch.setattr(command, "LONG_SAMPLE", 5)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    Path("text.txt").write_text(TEXT, encoding="utf-8")


@pytest.fixture
def no_plot(monkeypatch):
    monkeypatch.setattr(command, "plot_losses", lambda metrics, levels, path: None)


class Result(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def cli(capsys):
    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(status, out, " ".join(err.replace("│", " ").split()))

    return run


def contents(folder="."):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def outcome(folder):
    """All that a finished run must have alike, however often it was stopped."""
    metrics = [
        {name: value for name, value in json.loads(line).items() if name != "tokens_per_second"}
        for line in Path(folder, "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    newest = newest_checkpoint(Path(folder))
    return newest.name, newest.read_bytes(), metrics


def advised_command(text):
    """The command line that a message tells to go on with."""
    return shlex.split(re.search(r"minitransformer (train --resume .*)", text).group(1))


# ---- the main job ----


def test_training_tells_what_it_does_and_leaves_a_run_folder(cli):
    status, out, err = cli("train", *TINY)
    assert (status, err) == (0, "")
    assert set(contents("runs/001")) == {
        "config.toml",
        "tokenizer.json",
        "tokens.npy",
        "metrics.jsonl",
        "loss.png",
        "checkpoints/step-00000004.safetensors",
        "checkpoints/step-00000006.safetensors",
    }
    assert "text.txt" in out
    assert "516 characters, 17 different" in out
    assert "1 layers, 2 heads, width 16, context 8" in out
    assert out.count("validation loss") == 2
    assert "\x1b" not in out
    assert "\r" not in out
    lines = re.findall(r"^step ([1-6])/6  loss \d\.\d+  [\d,]+ tokens/s  \d+ s left$", out, re.M)
    assert lines == list("123456")
    assert f'minitransformer generate {Path("runs/001")} --prompt "The "' in out


def rows_of(table):
    """Numbers in each row of a printed table."""
    return [
        [float(number) for number in re.findall(r"\d+\.\d{3}", line)]
        for line in table.splitlines()
        if re.search(r"ln V|unigram|this model", line)
    ]


def test_what_was_learned_stands_beside_what_chance_and_frequencies_know(cli, no_plot):
    uniform, unigram, model = rows_of(cli("train", *TINY).out)
    counts = np.unique(list(TEXT), return_counts=True)[1]
    p = counts / counts.sum()
    entropy = -(p * np.log(p)).sum()
    loss = outcome("runs/001")[2][-1]["validation_loss"]
    for row, nats in ((uniform, np.log(len(p))), (unigram, entropy), (model, loss)):
        assert row == pytest.approx([nats, nats / np.log(2)], abs=6e-4)


def test_byte_pairs_are_told_per_token_and_per_character(cli, no_plot):
    out = cli("train", *TINY, "--tokenizer", "bpe", "--bpe-tokens", 260).out
    for per_token, bits_per_token, per_character, bits_per_character in rows_of(out):
        assert per_token / bits_per_token == pytest.approx(np.log(2), rel=1e-3)
        assert per_character / bits_per_character == pytest.approx(np.log(2), rel=1e-3)
        assert per_character < per_token
    assert len(rows_of(out)) == 3


def test_a_model_that_sees_a_pattern_learns_it(cli, no_plot):
    Path("text.txt").write_text("abcd" * 100)
    settings = [*SIZE, "--dropout", 0, "--steps", 60, "--learning-rate", 0.03]
    out = cli("train", *settings, "--data", "text.txt").out
    assert rows_of(out)[2][0] < 0.3 < rows_of(out)[1][0]


def test_the_default_text_is_at_hand(cli, no_plot):
    out = cli("train", *SIZE, "--steps", 1, "--evaluate-batches", 1, "--context", 500).out
    assert "pydoc_data.topics, the English that Python ships" in out


def test_several_files_and_folders_are_one_text(cli, no_plot):
    Path("notes").mkdir()
    Path("notes/b.md").write_text("bbb\n")
    assert "521 characters, 17 different" in cli("train", *TINY, "notes", "--steps", 1).out


def test_a_terminal_shows_a_bar(cli, no_plot, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", cli("train", *TINY).out)
    assert re.search(r"training ━+ +6/6 loss \d\.\d{3}  [\d,]+ tokens/s \d:\d\d:\d\d left", out)
    assert "nan" not in out
    assert not re.search(r"^step \d/6", out, re.M)


def test_long_runs_print_few_lines(capsys):
    from minitransformer.training import Step

    with Progress(0, 1000) as progress:
        for i in range(1000):
            progress.show(Step(i + 1, 1.0, 1.0, 1.0, 1.0))
    assert len(capsys.readouterr().out.splitlines()) == 20


def png_size(path):
    content = Path(path).read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", content[16:24])


@pytest.mark.parametrize(
    "metrics", [[], [{"index": 1, "loss": 2.0}], [{"index": 1, "validation_loss": 2.0}]], ids=len
)
def test_a_curve_can_be_drawn_of_little(metrics, tmp_path):
    report.plot_losses(metrics, {"ln V": 4.0}, tmp_path / "loss.png")
    assert png_size(tmp_path / "loss.png") == (1008, 576)


def test_the_curve_shows_every_record(monkeypatch, tmp_path):
    figures = []

    class Kept(report.Figure):
        def __init__(self, **options):
            super().__init__(**options)
            figures.append(self)

    monkeypatch.setattr(report, "Figure", Kept)
    metrics = [
        {"index": 1, "loss": 3.0},
        {"index": 2, "loss": 2.0},
        {"index": 2, "validation_loss": 3.5},
    ]
    report.plot_losses(metrics, {"ln V": 4.0}, tmp_path / "loss.png")
    lines = [line.get_xydata().tolist() for line in figures[0].axes[0].lines]
    raw, smooth, validation, level = lines
    assert raw == [[1, 3], [2, 2]]
    assert smooth[0] == pytest.approx([1, 3])
    assert 2 < smooth[1][1] < 3
    assert validation == [[2, 3.5]]
    assert [height for _, height in level] == [4.0, 4.0]


def test_a_config_file_and_flags_over_it(cli, no_plot):
    Path("my.toml").write_text('steps = 2\nwidth = 16\nheads = 2\nlayers = 1\ndata = ["text.txt"]')
    out = cli("train", "--config", "my.toml", "--context", 8, "--steps", 1).out
    assert "step 1/1 " in out
    assert "width 16, context 8" in out


# ---- stopping and going on ----


def stop_at(monkeypatch, index, presses=1):
    """Press Ctrl-C while a step is being shown."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    show = Progress.show

    def press(self, step):
        show(self, step)
        if step.index == index:
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Progress, "show", press)
    return lambda: monkeypatch.setattr(Progress, "show", show)


@pytest.fixture
def whole(cli, no_plot):
    """What a run in the folder "run" comes to if it is never stopped."""
    assert cli("train", *TINY, "--out", "run").status == 0
    result = outcome("run")
    os.rename("run", "whole")
    return result


@pytest.mark.parametrize("index", [1, 2, 5])
def test_ctrl_c_saves_and_the_advice_goes_on_bit_for_bit(cli, whole, monkeypatch, index):
    release = stop_at(monkeypatch, index)
    status, out, _ = cli("train", *TINY, "--out", "run")
    release()
    assert status == 130
    assert f"stopped at step {index} and saved; go on with:" in out
    assert newest_checkpoint(Path("run")).name == f"step-{index:08d}.safetensors"
    assert cli(*advised_command(out)).status == 0
    assert outcome("run") == whole


def test_ctrl_c_at_the_last_step_changes_nothing(cli, whole, monkeypatch):
    stop_at(monkeypatch, 6)
    assert cli("train", *TINY, "--out", "run").status == 0
    assert outcome("run") == whole


def test_a_second_ctrl_c_does_not_wait_and_loses_one_interval(cli, whole, monkeypatch):
    release = stop_at(monkeypatch, 3, presses=2)
    status, _, err = cli("train", *TINY, "--out", "run")
    release()
    assert (status, err) == (130, "stopped")
    assert newest_checkpoint(Path("run")).name == "step-00000002.safetensors"
    assert cli("train", "--resume", "run").status == 0
    assert outcome("run") == whole


def test_ctrl_c_works_as_before_afterwards(cli, no_plot):
    before = signal.getsignal(signal.SIGINT)
    cli("train", *TINY)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_while_saving_leaves_no_litter(cli, whole, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda file: fail_at_checkpoint(file, KeyboardInterrupt()))
        fail_at_checkpoint.countdown = 5
        assert cli("train", *TINY, "--out", "run").status == 130
    assert not [name for name in contents() if name.endswith(".tmp")]
    assert cli("train", "--resume", "run").status == 0
    assert outcome("run") == whole


def fail_at_checkpoint(_file, error):
    """Stand in for os.fsync: tokens, tokenizer, config, checkpoint 0 are written, then it fails."""
    fail_at_checkpoint.countdown -= 1
    if fail_at_checkpoint.countdown == 0:
        raise error


def test_a_full_disk_is_told_and_the_advice_goes_on(cli, whole, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda file: fail_at_checkpoint(file, full))
        fail_at_checkpoint.countdown = 6
        status, _, err = cli("train", *TINY, "--out", "run")
    assert status == 2
    assert re.search(r"error: cannot write .*step-00000004\S*: No space left on device", err)
    assert load_checkpoint(newest_checkpoint(Path("run"))).step == 2
    assert not [name for name in contents() if name.endswith(".tmp")]
    assert cli(*advised_command(err)).status == 0
    assert outcome("run") == whole


def test_a_disk_that_is_really_full_is_told(cli, whole, monkeypatch):
    release = stop_at(monkeypatch, 3)
    cli("train", *TINY, "--out", "run")
    release()
    size = newest_checkpoint(Path("run")).stat().st_size
    with files_of_at_most(size // 2):
        status, _, err = cli("train", "--resume", "run")
    assert status == 2
    assert "error: cannot write" in err
    assert cli("train", "--resume", "run").status == 0
    assert outcome("run") == whole


def test_a_full_disk_for_the_records_is_told(cli, whole, monkeypatch):
    release = stop_at(monkeypatch, 3)
    cli("train", *TINY, "--out", "run")
    release()
    open_ = Path.open

    def full(path, mode="r", **options):
        if path.name == "metrics.jsonl" and mode == "a":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_(path, mode, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        status, _, err = cli("train", "--resume", "run")
    assert status == 2
    assert re.search(r"error: cannot write \S*metrics.jsonl: No space left on device", err)
    assert cli(*advised_command(err)).status == 0
    assert outcome("run") == whole


UP_TO = """
import sys, threading
from minitransformer import cli
from minitransformer.cli.progress import Progress

def show_or_wait(self, step, last=int(sys.argv[1]), show=Progress.show):
    show(self, step)
    if step.index == last:
        threading.Event().wait()

Progress.show = show_or_wait
cli.main(sys.argv[2:])
"""  # a run that waits to be killed, however slowly this machine gets there


@pytest.mark.systems
def test_kill_at_any_moment_loses_at_most_one_interval(cli, no_plot):
    steps, every = 160, 8
    settings = [*SIZE, "--steps", steps, "--evaluate-every", every, "--evaluate-batches", 1]
    settings = [str(each) for each in [*settings, "--data", "text.txt", "--out", "run"]]
    rng = np.random.default_rng(0)
    for last, arguments in (("80", settings), ("150", ["--resume", "run"])):
        newest = checkpoint_files(Path("run"))[-1:]
        process = subprocess.Popen(
            [sys.executable, "-c", UP_TO, last, "train", *arguments],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(backend.__file__).parents[1])},
        )
        while checkpoint_files(Path("run"))[-1:] == newest:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.wait()
        reached = Path("run/metrics.jsonl").read_bytes().count(b'"loss"')
        assert load_checkpoint(newest_checkpoint(Path("run"))).step >= reached - every
    assert cli("train", "--resume", "run").status == 0
    stopped = outcome("run")
    os.rename("run", "killed")
    assert cli("train", *settings).status == 0
    assert outcome("run") == stopped


# ---- breaking down ----


@pytest.mark.parametrize("every", [1, 100])
def test_nan_stops_names_its_place_and_says_how_to_go_on(cli, no_plot, every):
    settings = [*TINY, "--out", "run", "--evaluate-every", every, "--warmup", 0]
    status, _, err = cli("train", *settings, "--learning-rate", 1e38)
    assert status == 1
    assert re.search(r"error: step [12]: .*nan.*first parameter hit: token_embedding.weight", err)
    assert "The last good checkpoint is in run; go on from there with:" in err
    assert load_checkpoint(newest_checkpoint(Path("run"))).step == 0
    advice = advised_command(err)
    assert float(advice[advice.index("--learning-rate") + 1]) < 1e38
    assert cli(*advice).status == 1  # still absurd
    tame = ["--learning-rate", "1e-3", "--final-learning-rate", "1e-4"]
    assert cli("train", "--resume", "run", *tame).status == 0


def test_advice_after_nan_is_accepted_however_often_it_is_taken(cli, no_plot, monkeypatch):
    monkeypatch.setattr("minitransformer.training.math.isfinite", lambda x: False)
    advice = ["train", *TINY, "--out", "run"]
    for _ in range(4):
        status, _, err = cli(*advice)
        assert status == 1
        advice = advised_command(err)
    monkeypatch.undo()


# ---- bad input ----

BAD = [
    (["--data", "missing.txt"], "cannot read missing.txt: No such file"),
    (["--data", "empty.txt"], "no text in empty.txt"),
    (["--data", "one.txt"], "the text has 1 token"),
    (["--data", "short.txt"], "the text has 9 tokens, too few for a context of 8"),
    (["--data", "binary.txt"], "binary.txt is not UTF-8 text: byte 0xFF at offset 3"),
    (["--data", "folder"], "the folder folder has no text file"),
    (["--width", "15"], "width is 15 and heads 2, expected heads to divide width; try width 16"),
    (["--steps", "0"], "steps is 0, expected 1 or more"),
    (["--steps", "many"], "steps: invalid .*'many'"),
    (["--steps", "1.5"], "steps: invalid .*'1.5'"),
    (["--steps"], "Missing value for argument '--steps'"),
    (["--seed", "-1"], "seed is -1, expected 0 or more"),
    (["--dropout", "1"], "dropout is 1.0, expected 0 <= dropout < 1"),
    (["--learning-rate", "nan"], "learning_rate is nan, expected 0 or more"),
    (["--learning-rate", "1e-9"], "final_learning_rate is 0.0003, expected no more than"),
    (["--tokenizer", "word"], "invalid choice 'word'.*'char'.*'bpe'"),
    (["--bpe-tokens", "10"], "bpe_tokens is 10, expected 256 or more"),
    (["--validation-fraction", "0"], "validation_fraction is 0.0; expected more than 0"),
    (["--backend", "abacus"], "'abacus' does not exist"),
    (["--layer", "2"], "--layer.*meant:.*--layers"),
    (["surplus"], "cannot read surplus"),
    (["--width", str(10**15)], "Unable to allocate .* for an array"),
    (["--out", "folder"], "folder exists already. Choose another --out"),
    (["--out", "text.txt"], "text.txt exists already"),
    (["--out", "text.txt/run"], "cannot make the run folder"),
    (["--config"], "--config: expected one argument"),
    (["--config", "missing.toml"], "cannot read missing.toml"),
    (["--config", "text.txt"], "text.txt is not TOML"),
    (["--config", "unknown.toml"], "unknown.toml sets stepz, .*did you mean steps"),
    (["--config", "wrong.toml"], "wrong.toml: steps is 'many', expected an integer"),
    (["--config", "wrong.toml", "--resume", "x"], "--recipe and --resume were both given"),
    (["--resume"], "--resume: expected one argument"),
    (["--resume", "nowhere"], "nowhere does not exist; expected a run folder"),
    (["--resume", "folder"], "folder has no checkpoint; expected a run folder"),
    (["--resume", "text.txt"], "text.txt has no checkpoint; expected a run folder"),
]


@pytest.fixture
def bad_files():
    for name, content in {
        "empty.txt": b"",
        "one.txt": b"a",
        "short.txt": b"hello you",
        "binary.txt": b"abc\xff\xfe",
        "unknown.toml": b"stepz = 3",
        "wrong.toml": b"steps = 'many'",
    }.items():
        Path(name).write_bytes(content)
    Path("folder").mkdir()


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: " ".join(value)[:30])
def test_bad_input_is_named_and_leaves_nothing_behind(cli, bad_files, arguments, message):
    before = contents()
    status, _, err = cli("train", *SIZE, *SHORT, "--data", "text.txt", *arguments)
    assert status == 2
    assert re.search(message, err), err
    assert contents() == before
    assert list(Path("runs").glob("*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--width", "32"], "width is 32, but this run began with 16"),
        (["--data", "other.txt"], "data is .*other.txt, but this run began with .*text.txt"),
        (["--steps", "1"], "steps is 1, but this run has taken 2 already"),
        (["--layerz", "1"], "--layerz"),
    ],
)
def test_what_cannot_change_is_named_and_nothing_does(cli, no_plot, arguments, message):
    cli("train", *TINY, "--out", "run", "--steps", 2)
    before = contents()
    status, _, err = cli("train", "--resume", "run", *arguments)
    assert status == 2
    assert re.search(message, err), err
    assert contents() == before


def test_what_a_run_began_with_may_be_said_again(cli, no_plot):
    cli("train", *TINY, "--out", "run", "--steps", 2)
    assert cli("train", *TINY, "--resume", "run").status == 0


def test_a_folder_that_may_not_be_written_is_told(cli, monkeypatch):
    def forbid(path, *_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", forbid)
    status, _, err = cli("train", *TINY)
    assert status == 2
    assert "error: cannot make the run folder: [Errno 13] Permission denied: 'runs'" in err


# ---- the command line itself ----


def test_help_shows_examples(cli):
    status, out, _ = cli("train", "--help")
    assert status == 0
    assert "  minitransformer train --resume runs/001" in out
    assert "None" not in re.sub(r"default:\s*\W*\s*None", "", out)
    for name in ("--data", "--resume", "--config", "--evaluate-every"):
        assert name in out


def test_without_arguments_it_says_what_it_can_do(cli):
    assert cli() == cli("--help")
    assert cli().status == 0
    assert "minitransformer train\n" in cli().out


def test_a_misspelt_command_is_corrected(cli):
    status, _, err = cli("trian")
    assert status == 2
    assert "there is no command 'trian'; did you mean train?" in err


def run_module(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(Path(backend.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "minitransformer", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_it_runs_as_a_module():
    finished = run_module("nonsense")
    assert finished.returncode == 2
    assert finished.stderr.startswith("error: there is no command 'nonsense'")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX pipe")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    finished = subprocess.run(
        [sys.executable, "-m", "minitransformer", "--help"],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(backend.__file__).parents[1]),
            "PYTHONUNBUFFERED": unbuffered,
        },
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (0, b"")
