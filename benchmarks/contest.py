"""From entries to a result: validate, drop who is wrong, race, sum up."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from rich.console import Console

from benchmarks.contestant import Entry
from benchmarks.evidence import disagreements
from benchmarks.machine import Watch
from benchmarks.race import ContestantError, Rounds, Worker, race
from benchmarks.results import Result, Row
from benchmarks.summary import least_of_rounds, median_of_rounds, ratio_of_rounds
from minitransformer.launch import cores

console = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Schedule:
    """How long to measure, and how."""

    threads: int = cores()
    """Of every contestant."""
    rounds: int = 10
    """Turns of each contestant."""
    seconds: float = 0.4
    """Length of a turn, in whole steps."""
    wait: bool = False
    """When all is validated, wait for the Enter key, so that the machine can be made quiet."""


@dataclass(frozen=True)
class Outcome:
    """What a contest found out."""

    times: Mapping[str, Rounds]
    refused: Mapping[str, str]
    """Who is wrong or failed, and how."""
    missing: Mapping[str, str]
    """Who is not installed."""
    warnings: Sequence[str]

    def rows(self, ours: str) -> list[Row]:
        """A line per contestant, the fastest first; ratios are to ``ours``."""
        rows = [
            Row(
                name,
                median_of_rounds(rounds),
                least_of_rounds(rounds),
                ratio_of_rounds(rounds, self.times[ours]) if ours in self.times else None,
            )
            for name, rounds in self.times.items()
        ]
        return sorted(rows, key=lambda row: row.median)

    def report(self, empty: Result, ours: str, save: bool) -> int:
        """Fill a result, show it, keep it if asked to; the exit status, 1 if someone is wrong."""
        rows = self.rows(ours)
        result = replace(
            empty,
            rows=[row.cells() for row in rows],
            notes=[
                *empty.notes,
                *(f"not timed: {why}" for why in self.missing.values()),
                *(f"not timed: {why}" for why in self.refused.values()),
            ],
            warnings=self.warnings,
            data={"rows": rows, "rounds": self.times},
        )
        result.show()
        if save:
            result.save()
        return int(bool(self.refused))


def contest(
    entries: Sequence[Entry],
    references: Mapping[str, Entry],
    tolerance: float,
    schedule: Schedule,
) -> Outcome:
    """Validate all contestants and let those that are right race.

    Parameters
    ----------
    entries
        Who competes; whoever needs a package that is not installed is left out.
    references
        For each name, who computes what that contestant's results should be; ``""`` for others.
    tolerance
        Greatest relative error, as in :func:`benchmarks.evidence.disagreements`.
    schedule
        How long to measure.
    """
    refused: dict[str, str] = {}
    missing = {
        entry.name: f"{entry.name}: not installed: {', '.join(entry.missing())}"
        for entry in entries
        if entry.missing()
    }
    watch = Watch()
    expected = {}
    for name, entry in references.items():
        console.print(f"reference: {entry.name}")
        with Worker.start(entry, schedule.threads) as reference:
            expected[name] = reference.validate()
    with ExitStack() as stack:
        workers = []
        for entry in (entry for entry in entries if entry.name not in missing):
            console.print(f"validate: {entry.name}")
            try:
                worker = stack.enter_context(Worker.start(entry, schedule.threads))
                known = {} if entry.is_limit else expected.get(entry.name, expected[""])
                if wrong := disagreements(worker.validate(), known, tolerance):
                    raise ContestantError(f"{entry.name}: {'; '.join(wrong[:3])}")
                worker.suspend()
                workers.append(worker)
            except ContestantError as error:
                refused[entry.name] = str(error)
                console.print(f"not timed: {error}", style="red")
        if schedule.wait:
            console.print("all validated; press Enter to measure")
            sys.stdin.readline()
        times = race(workers, schedule.rounds, schedule.seconds, watch)
    return Outcome(times, refused, missing, watch.warnings())
