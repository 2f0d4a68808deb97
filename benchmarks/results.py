"""Results: as JSON, on the terminal, and as the table that is committed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from benchmarks.summary import Ratio
from minitransformer.files import atomic_write

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """Times of one contestant."""

    name: str
    median: float
    """Seconds."""
    least: float
    """Seconds."""
    ratio: Ratio | None
    """Of its time to ours."""

    def cells(self) -> list[str]:
        """As text, times in milliseconds."""
        ratio = "" if self.ratio is None else str(self.ratio)
        return [self.name, f"{1e3 * self.median:.2f}", f"{1e3 * self.least:.2f}", ratio]


CELLS = ("contestant", "median ms", "least ms", "time / ours (half of the rounds)")


@dataclass(frozen=True)
class Result:
    """A table with all that is needed to understand it."""

    name: str
    """Of its file."""
    title: str
    command: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    data: Any = None
    """The same in numbers."""
    date: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    machine: dict[str, str] = field(default_factory=describe)

    def show(self) -> None:
        """Print on the terminal."""
        console = Console(highlight=False)
        table = Table(*self.columns, title=self.title)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        console.print(", ".join(f"{key}: {value}" for key, value in self.machine.items()))
        for note in self.notes:
            console.print(note, markup=False)
        for warning in self.warnings:
            console.print(f"warning: {warning}", style="yellow", markup=False)

    def save(self, folder: Path = FOLDER) -> None:
        """Write as JSON."""
        folder.mkdir(exist_ok=True)
        with atomic_write(folder / f"{self.name}.json") as file:
            file.write(json.dumps(asdict(self), indent=1, ensure_ascii=False).encode() + b"\n")
