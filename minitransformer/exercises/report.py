"""Verdicts for people and for the programs that collect them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from minitransformer.exercises.grader.verdict import Verdict
from minitransformer.files import atomic_write

COLOURS = {
    "accepted": "green",
    "wrong": "red",
    "stopped": "magenta",
    "not done": "dim",
    "not gradable": "yellow",
}
REWARD = (
    "When a unit is done, train a GPT on your own code: minitransformer train --backend student"
)


def show(console: Console, verdict: Verdict) -> None:
    """Print one verdict: what is wrong, where to look, and the smallest failing input."""
    name = verdict.exercise.id if verdict.exercise else verdict.file
    colour = COLOURS[verdict.status]
    lines: list[Any] = [Text(verdict.message)]
    if verdict.hint:
        lines += [Text(), Text.assemble(("Hint: ", "bold"), verdict.hint)]
    if verdict.counterexample:
        label = verdict.counterexample.label
        lines += [Text(), Text(f"The smallest failing input found ({label}):", style="bold")]
        lines += [Text(str(verdict.counterexample))]
    mistake = f" · {verdict.mistake}" if verdict.mistake else ""
    title = f"[bold]{name}[/bold] · {verdict.status}{mistake} · {_points(verdict)}"
    console.print(Panel(Group(*lines), title=title, title_align="left", border_style=colour))
    if verdict.accepted:
        console.print(REWARD)


def summary(verdicts: Sequence[Verdict]) -> Table:
    """A row for each answer: points and the next step."""
    table = Table("exercise", "verdict", "points", "next step")
    table.columns[2].justify = "right"
    for verdict in verdicts:
        table.add_row(
            verdict.exercise.id if verdict.exercise else verdict.file,
            Text(verdict.status, style=COLOURS[verdict.status]),
            _points(verdict),
            Text(next_step(verdict)),
        )
    return table


def next_step(verdict: Verdict) -> str:
    """What to do about it, in a sentence or two."""
    if verdict.accepted:
        return ""
    return " ".join(filter(None, (verdict.message, verdict.hint)))


def total(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """Points earned and points that could be earned."""
    best: dict[str, Verdict] = {}
    for verdict in verdicts:
        if verdict.exercise:
            kept = best.get(verdict.exercise.id)
            if kept is None or verdict.points > kept.points:
                best[verdict.exercise.id] = verdict
    highest = sum(each.exercise.points for each in best.values() if each.exercise)
    return sum(each.points for each in best.values()), highest


def _points(verdict: Verdict) -> str:
    return f"{verdict.points:g}/{verdict.exercise.points if verdict.exercise else 0:g}"


def as_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """All verdicts and their sum as one object."""
    points, highest = total(verdicts)
    return {
        "points": points,
        "max_points": highest,
        "accepted": all(verdict.accepted for verdict in verdicts),
        "answers": [verdict.as_json() for verdict in verdicts],
    }


def write_junit(verdicts: Sequence[Verdict], path: Path) -> None:
    """Write JUnit XML, which every autograder and CI server reads."""
    counts = {
        "tests": len(verdicts),
        "failures": sum(verdict.status in ("wrong", "stopped") for verdict in verdicts),
        "errors": sum(verdict.status == "not gradable" for verdict in verdicts),
        "skipped": sum(verdict.status == "not done" for verdict in verdicts),
    }
    attributes = {name: str(number) for name, number in counts.items()}
    suite = ElementTree.Element("testsuite", {"name": "minitransformer", **attributes})
    for verdict in verdicts:
        unit = verdict.exercise.unit if verdict.exercise else "unknown"
        name = verdict.exercise.id if verdict.exercise else verdict.file
        case = ElementTree.SubElement(suite, "testcase", classname=unit, name=name)
        kind = {"not done": "skipped", "not gradable": "error"}.get(verdict.status, "failure")
        if not verdict.accepted:
            told = ElementTree.SubElement(case, kind, message=_printable(verdict.message))
            if kind == "failure":
                told.set("type", verdict.mistake)
                told.text = _printable(_details(verdict))
    with atomic_write(path) as file:
        ElementTree.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)


def write_gradescope(verdicts: Sequence[Verdict], path: Path) -> None:
    """Write the ``results.json`` of Gradescope's autograder."""
    tests = [
        {
            "name": verdict.exercise.id if verdict.exercise else verdict.file,
            "score": verdict.points,
            "max_score": verdict.exercise.points if verdict.exercise else 0,
            "status": "passed" if verdict.accepted else "failed",
            "output": verdict.message if verdict.accepted else _details(verdict),
        }
        for verdict in verdicts
    ]
    with atomic_write(path) as file:
        file.write(json.dumps({"score": total(verdicts)[0], "tests": tests}, indent=2).encode())


def _details(verdict: Verdict) -> str:
    example = f"\n{verdict.counterexample}" if verdict.counterexample else ""
    return f"{next_step(verdict)}{example}"


def _printable(text: str) -> str:
    """XML has no place for control characters."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")
