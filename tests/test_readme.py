"""The README tells the truth: its examples run and its tables are what commands print."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from minitransformer.cli import COMMANDS
from minitransformer.cli.backends import coverage_table
from minitransformer.testing.mutants import MUTANTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
PROGRAMS = [code for language, code in BLOCKS if language == "python" and "import" in code]


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_examples_run(program):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(program, "README.md", "exec"), {})
    assert output.getvalue()


def test_the_gradcheck_example_prints_what_is_shown():
    program = next(code for code in PROGRAMS if "gradcheck" in code)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(program, "README.md", "exec"), {})
    shown = next(code for _, code in BLOCKS if code.startswith("product: 1 wrong"))
    numbers = re.compile(r"\d+(\.\d+)?e[-+]\d+")  # the last digits depend on the machine
    assert numbers.sub("#", output.getvalue()) == numbers.sub("#", shown)


def test_the_table_of_ops_is_what_the_command_prints():
    assert "\n".join(coverage_table()) in README


def test_the_number_of_mutants():
    assert f"{len(MUTANTS)} mutants do" in " ".join(README.split())


def test_files_and_commands_exist():
    tree = next(code for _, code in BLOCKS if code.startswith("minitransformer/\n"))
    for name in re.findall(r"^  (\S+[/.]\S*) ", tree, flags=re.MULTILINE):
        assert (ROOT / "minitransformer" / name).exists(), name
    for name in re.findall(r"(?:`|&& )minitransformer (\w+)", README):
        assert name in COMMANDS, name
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / name).exists(), name
