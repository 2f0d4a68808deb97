"""What was measured, and the file that keeps it."""

import dataclasses
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ladders.limits import Limits
from benchmarks.ladders.rungs import Ladder, validate
from benchmarks.ladders.timing import take_turns
from minitransformer.files import atomic_write


@dataclass(frozen=True)
class Timed:
    """A rung and its times.

    Attributes
    ----------
    bytes, flops
        As of the :class:`~benchmarks.ladders.rungs.Rung`.
    fastest, median
        Seconds of a call.
    """

    title: str
    bytes: float
    flops: float
    fastest: float
    median: float

    @property
    def intensity(self) -> float:
        """Operations for each byte through memory."""
        return self.flops / self.bytes

    @property
    def rate(self) -> float:
        """Operations in a second."""
        return self.flops / self.fastest

    @property
    def bandwidth(self) -> float:
        """Bytes through memory in a second."""
        return self.bytes / self.fastest


@dataclass(frozen=True)
class Climb:
    """A ladder, climbed.

    Attributes
    ----------
    memory
        Bytes by which the process grew, by title of the rung and by length; attention's only.
    """

    title: str
    date: str
    rungs: list[Timed]
    memory: dict[str, dict[str, int]]

    def reached(self) -> Limits:
        """The most that a rung did."""
        return Limits(
            max(rung.rate for rung in self.rungs), max(rung.bandwidth for rung in self.rungs)
        )

    def is_of(self, ladder: Ladder) -> bool:
        """Whether this is what the ladder, as it is, would measure."""
        titles = [rung.title for rung in self.rungs]
        return self.title == ladder.title and titles == [rung.title for rung in ladder.rungs]


@dataclass(frozen=True)
class Book:
    """Everything measured on one machine."""

    machine: dict[str, str]
    limits: dict[str, Limits]
    ladders: dict[str, Climb]


def climb(ladder: Ladder, date: str, memory: dict[str, dict[str, int]]) -> Climb:
    """Validate all rungs, then time them in turns.

    Raises
    ------
    WrongRungError
        Before anything is timed.
    """
    inputs = ladder.inputs()
    validate(ladder, inputs)
    calls = [partial(rung.function, *inputs) for rung in ladder.rungs]
    rungs = [
        Timed(rung.title, rung.bytes, rung.flops, min(seconds), median(seconds))
        for rung, seconds in zip(ladder.rungs, take_turns(calls), strict=True)
    ]
    return Climb(ladder.title, date, rungs, memory)


def read_book(path: Path, machine: dict[str, str]) -> Book:
    """Return what is known of this machine: nothing if the file is of another one, or absent."""
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["machine"] == machine:
            limits = {name: Limits(**limit) for name, limit in stored["limits"].items()}
            ladders = {name: _climb(record) for name, record in stored["ladders"].items()}
            return Book(machine, limits, ladders)
    return Book(machine, {}, {})


def _climb(record: dict[str, Any]) -> Climb:
    return Climb(**{**record, "rungs": [Timed(**rung) for rung in record["rungs"]]})


def write_book(book: Book, path: Path) -> None:
    """Write what :func:`read_book` reads."""
    with atomic_write(path) as file:
        file.write(json.dumps(dataclasses.asdict(book), indent=2).encode() + b"\n")
