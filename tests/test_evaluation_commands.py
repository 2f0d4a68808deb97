"""``minitransformer eval`` and ``minitransformer compare``."""

import json
import math
import shlex
from pathlib import Path

import pytest

from minitransformer import backend
from minitransformer.cli import main
from minitransformer.cli import train as training_command
from minitransformer.cli.metrics import interval, label_table, metrics_table, metrics_to_json
from minitransformer.evaluation import Measure

pytestmark = pytest.mark.systems

TEXT = "to be, or not to be: that is the question.\n" * 12
TINY = shlex.split("--layers 1 --heads 2 --width 16 --context 8 --batch 2 --steps 2")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backend, "_active", None)
    monkeypatch.setattr(training_command, "LONG_SAMPLE", 2)
    monkeypatch.setattr(training_command, "plot_losses", lambda metrics, levels, path: None)
    for name in ("text", "fr"):
        Path(f"{name}.txt").write_text(TEXT, encoding="utf-8")


@pytest.fixture
def run():
    assert main(["train", *TINY, "--data", "text.txt", "--out", "run"]) == 0
    return Path("run")


def evaluation(path="run/evaluation.json"):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def test_a_run_is_measured_and_written_down(run, capsys):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["eval", "run"]) == 0
    printed = capsys.readouterr().out
    found = evaluation()
    assert (found["step"], found["examples"], found["groups"]) == (2, 6, {})
    measured = found["measures"]
    assert list(measured) == ["loss", "perplexity", "bits per byte"]
    for name, numbers in measured.items():
        assert numbers["low"] <= numbers["value"] <= numbers["high"]
        assert name in printed
        assert f"{numbers['value']:.4g}" in printed
    assert measured["perplexity"]["value"] == pytest.approx(math.exp(measured["loss"]["value"]))
    assert all(path.read_bytes() == content for path, content in before.items())


def test_other_data_and_the_same_intervals_again(run):
    Path("other.txt").write_text("that is not the question: to be", encoding="utf-8")
    for _ in range(2):
        assert main(shlex.split("eval run --data other.txt --out other.json --resamples 20")) == 0
        found = evaluation("other.json")
        assert (found["data"], found["examples"], found["resamples"]) == (["other.txt"], 3, 20)
    first = evaluation("other.json")["measures"]
    assert main(shlex.split("eval run --data other.txt --out other.json --resamples 20")) == 0
    assert evaluation("other.json")["measures"] == first
    assert not Path("run/evaluation.json").exists()


def test_each_group_has_its_row(capsys):
    settings = "train --task languages --data text.txt fr.txt --out run"
    assert main([*shlex.split(settings), *TINY]) == 0
    capsys.readouterr()
    assert main(["eval", "run", "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("│") and " to " in line]
    assert [row.split()[1] for row in rows] == ["fr", "text"]
    assert list(evaluation()["groups"]) == ["fr", "text"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("eval nowhere", "nowhere does not exist"),
        ("eval run --data none.txt", "none.txt"),
        ("eval run --data short.txt", "the text has 2 tokens"),
        ("eval run --resamples 0", "resamples is 0"),
        ("eval run --limit 0", "limit 0, expected 1 or more"),
        ("compare run nowhere", "nowhere does not exist"),
    ],
)
def test_bad_input(run, arguments, says, capsys):
    Path("short.txt").write_text("to", encoding="utf-8")
    assert main(shlex.split(arguments)) == 2
    assert says in capsys.readouterr().err


def test_runs_side_by_side(run, capsys):
    llama = shlex.split("--architecture llama --data text.txt --out llama")
    assert main(["train", *TINY, *llama]) == 0
    capsys.readouterr()
    assert main(shlex.split("compare run llama --out picture.png")) == 0
    printed = capsys.readouterr().out
    for row, name in (("run", "gpt"), ("llama", "llama")):
        assert any(
            line.split()[1:4:2] == [row, name] for line in printed.splitlines() if "│" in line
        )
    assert Path("picture.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_other_data_are_not_compared(run, capsys):
    assert main(["train", *TINY, "--data", "fr.txt", "--out", "other"]) == 0
    assert main(["compare", "run", "other"]) == 2
    assert "do not have the same task and data" in capsys.readouterr().err


def test_labels_have_a_table_of_their_own():
    found = [Measure("accuracy", 0.5, 0.4, 0.6)]
    assert label_table(found) is None
    for score in ("precision", "recall", "F1"):
        found += [Measure(f"{score} of {label}", 0.25, 0.0, 1.0) for label in ("cat", "out of it")]
    assert list(metrics_table(found, 9).columns[0].cells) == ["accuracy"]
    table = label_table(found)
    assert [column.header for column in table.columns] == ["label", "precision", "recall", "F1"]
    assert list(table.columns[0].cells) == ["cat", "out of it"]
    assert list(table.columns[3].cells) == ["0.25 (0 to 1)"] * 2


def test_what_is_not_finite_is_null_and_a_dash():
    assert interval(Measure("loss", 1.23456, 1.0, math.inf)) == "1.235 (1 to -)"
    found = metrics_to_json([Measure("loss", math.nan, 1.0, math.inf)])
    assert found == {"loss": {"value": None, "low": 1.0, "high": None}}
