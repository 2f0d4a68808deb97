"""The commands that look rather than train: gradcheck, doctor, backends."""

import pytest

from minitransformer import cli, ops
from minitransformer.cli import gradcheck
from minitransformer.testing import checkable


def test_gradcheck_prints_a_row_for_each_precision(capsys):
    assert cli.main(["gradcheck", "--only", "relu", "GPT", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if "right" in line and "numpy" in line]
    assert ["relu" in rows[0], "float64" in rows[0]] == [True, True]
    assert ["relu" in rows[1], "float32" in rows[1]] == [True, True]
    assert "GPT" in rows[2]
    assert "all 3 right" in out


def test_gradcheck_of_all_models(capsys, monkeypatch):
    monkeypatch.setattr(gradcheck, "MODELS", dict.fromkeys(["TokenLabeller"]))
    assert cli.main(["gradcheck", "--models"]) == 0
    out = capsys.readouterr().out
    assert "TokenLabeller" in out
    assert "all 1 right" in out


def test_gradcheck_fails_and_says_why(capsys, monkeypatch):
    def backward(dy, cache):
        return (dy.copy(),)

    monkeypatch.setitem(ops.relu_backward.impls, "planted", backward)
    assert cli.main(["gradcheck", "--only", "relu", "softmax", "--backends", "planted"]) == 1
    out = capsys.readouterr().out
    assert "WRONG" in out
    assert "relu (planted, float64): " in out
    assert "softmax" not in out  # the backend has no kernel for it


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "relo"], "--only relo is unknown, expected some of add"),
        (["--backends", "nunpy"], "--backends nunpy is unknown, expected some of"),
    ],
)
def test_gradcheck_refuses_unknown_names(flags, message, capsys):
    assert cli.main(["gradcheck", *flags]) == 2
    assert message in capsys.readouterr().err


def test_gradcheck_covers_every_op():
    pairs = {name.removesuffix("_forward") for name in dir(ops) if name.endswith("_forward")}
    assert pairs <= set(checkable())


def test_doctor_prints_findings(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "Training can run." in out
    assert "numpy" in out


def test_backends_prints_a_table(capsys):
    assert cli.main(["backends"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| op | ")
    column = lines[0].split(" | ").index("numpy |" if lines[0].endswith("numpy |") else "numpy")
    assert all(line.strip("|").split("|")[column].strip() == "yes" for line in lines[2:])
    assert any("`attention`" in line for line in lines)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_is_there(command, capsys):
    assert cli.main([command, "--help"]) == 0
    assert f"usage: minitransformer {command}" in capsys.readouterr().out
