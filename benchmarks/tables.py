"""From the saved results to one page: ``python -m benchmarks.tables`` writes RESULTS.md."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import FOLDER
from minitransformer.files import atomic_write

PAGE = Path(__file__).parent / "RESULTS.md"

INTRODUCTION = """\
# Results

Made by `python -m benchmarks.tables` from `results/*.json`. [README.md](README.md) says what is
compared and how to read it.
"""


def saved(folder: Path) -> list[dict[str, Any]]:
    """All saved tables; what else is in the folder has a page of its own."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.json"))]
    return [result for result in map(json.loads, texts) if "columns" in result]


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """All results as Markdown."""
    return "\n".join([INTRODUCTION, *(line for result in results for line in section(result))])


def section(result: Mapping[str, Any]) -> Iterator[str]:
    """One result: what and when, the table, what to know about it, the machine."""
    yield f"## {result['title']}\n"
    yield f"`{result['command']}`, {result['date']}\n"
    yield row(result["columns"])
    yield row(["---", *["---:"] * (len(result["columns"]) - 1)])
    yield from map(row, result["rows"])
    yield ""
    for remark in [*result["notes"], *(f"**Warning:** {text}" for text in result["warnings"])]:
        yield f"{remark}\n"
    machine = ", ".join(f"{what} {value}" for what, value in result["machine"].items())
    yield f"Machine: {machine}.\n"


def row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def main(folder: Path = FOLDER, target: Path = PAGE) -> None:
    """Write the page."""
    with atomic_write(target) as stream:
        stream.write(page(saved(folder)).encode())


if __name__ == "__main__":
    main()
