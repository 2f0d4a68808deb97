"""The command of the classroom: start, check, hint, solution, and its reports."""

import json
from xml.etree import ElementTree

import pytest

from minitransformer import cli

pytestmark = pytest.mark.classroom

RIGHT = """\
import numpy as np

def merge_heads_forward(x):
    B, H, T, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, T, H * D), None
"""
WRONG = RIGHT.replace("x.transpose(0, 2, 1, 3)", "x")
STUB = 'def top_k(logits, k):\n    raise NotImplementedError("top_k")\n'


@pytest.fixture
def folder(tmp_path):
    answers = tmp_path / "answers"
    answers.mkdir()
    for name, text in {"right": RIGHT, "wrong": WRONG, "stub": STUB, "prose": "x ="}.items():
        (answers / f"{name}.py").write_text(text, encoding="utf-8")
    return answers


def check(*arguments):
    return cli.main(["exercises", "check", *map(str, arguments)])


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("right", "accepted", 0),
        ("wrong", "wrong", 1),
        ("stub", "not done", 2),
        ("prose", "not gradable", 2),
    ],
)
def test_one_file_is_one_object(name, status, code, folder, capsys):
    assert check(folder / f"{name}.py", "--json") == code
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["status"] == status
    assert verdict["accepted"] is (code == 0)
    assert (verdict["points"] > 0) is (code == 0)


def test_a_wrong_answer_is_explained(folder, capsys):
    check(folder / "wrong.py", "--json")
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["exercise"] == "merge_heads_forward"
    assert verdict["mistake"] == "heads_merged_by_reshape"
    assert verdict["hint"]
    shown = verdict["smallest_failing_input"]
    assert set(shown) == {"label", "input", "result", "expected", "got", "index"}
    assert check(folder / "wrong.py") == 1
    out = capsys.readouterr().out
    assert "heads_merged_by_reshape" in out
    assert "expected y =" in out


def test_a_folder_is_graded_and_reported(folder, tmp_path, capsys):
    junit, gradescope = tmp_path / "junit.xml", tmp_path / "results.json"
    assert check(folder, "--junit", junit, "--gradescope", gradescope, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert [a["status"] for a in report["answers"]] == [
        "not gradable",
        "accepted",
        "not done",
        "wrong",
    ]
    assert report["points"] == 1
    suite = ElementTree.parse(junit).getroot()
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    results = json.loads(gradescope.read_text(encoding="utf-8"))
    assert results["score"] == 1
    assert len(results["tests"]) == 4


def test_a_teacher_sets_seed_points_and_limits(folder, tmp_path, capsys):
    course = tmp_path / "course.toml"
    text = "seed = 7\n[points]\nmerge_heads_forward = 2.5\n[limits]\nseconds = 30\n"
    course.write_text(text, encoding="utf-8")
    assert check(folder / "right.py", "--config", course, "--json") == 0
    assert json.loads(capsys.readouterr().out)["points"] == 2.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 7", "seeds is unknown"),
        ("[points]\nnothing = 2", "nothing is unknown"),
        ("[limits]\nseconds = -1", "seconds is -1"),
        ("seed = 'x'", "seed is 'x'"),
        ("seed", "cannot read"),
    ],
)
def test_a_wrong_course_is_refused(text, message, folder, tmp_path, capsys):
    course = tmp_path / "course.toml"
    course.write_text(text, encoding="utf-8")
    assert check(folder / "right.py", "--config", course) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere"], "nowhere does not exist"),
        (["solution", "softmax_forwards"], "did you mean softmax_forward?"),
        (["chek"], "did you mean check?"),
    ],
)
def test_bad_input_is_explained(arguments, message, capsys):
    assert cli.main(["exercises", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_exercise_can_be_named(folder, capsys):
    assert check(folder / "right.py", "--exercise", "top_k") == 2
    assert "does not define top_k" in capsys.readouterr().out


def test_list_start_hint_solution(tmp_path, capsys):
    assert cli.main(["exercises", "list"]) == 0
    assert "softmax_backward" in capsys.readouterr().out
    assert cli.main(["exercises", "start", str(tmp_path)]) == 0
    assert cli.main(["exercises", "hint", "top_k", "--folder", str(tmp_path)]) == 0
    assert "1. " in capsys.readouterr().out
    assert cli.main(["exercises", "solution", "top_k"]) == 0
    assert "def top_k(" in capsys.readouterr().out
