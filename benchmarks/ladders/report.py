"""Tables of what was measured, for the terminal and for a page."""

from collections.abc import Iterator, Mapping

from rich.table import Table

from benchmarks.ladders.limits import Limits
from benchmarks.ladders.results import Book, Climb
from benchmarks.ladders.rungs import Ladder

COLUMNS = (
    "rung",
    "fastest",
    "median",
    "GFLOP/s",
    "GB/s",
    "over first",
    "over previous",
    "of the limit",
)
HEADING = """# Kernel ladders

The same task again and again, from the code that one would write first to the library's kernel.
Every rung is compared with float64 before it is timed; rungs take turns. Times are those of the
fastest call, and of the median. GB/s counts what passes between memory and caches by design: 4
bytes to read a number, 8 to write one, since a cache fetches a line before it changes it. *Of the
limit*: the share of what all cores of this machine could do with so many operations for each of
those bytes, which is the roof in the picture: measured too, as the best that a matrix product, a
walk through memory, or a rung has reached. `python -m benchmarks.ladders` wrote this page, and
[results/ladders.json](results/ladders.json).
"""
ALTERNATIVE = "Roofline picture of all rungs; the tables below have its figures."


def rows(climb: Climb, limits: Limits) -> Iterator[tuple[str, ...]]:
    """A row of text for each rung, as wide as COLUMNS."""
    first = before = climb.rungs[0]
    for number, rung in enumerate(climb.rungs, 1):
        yield (
            f"{number} {rung.title}",
            f"{1e3 * rung.fastest:.2f} ms",
            f"{1e3 * rung.median:.2f} ms",
            f"{rung.rate / 1e9:.3g}",
            f"{rung.bandwidth / 1e9:.3g}",
            f"{first.fastest / rung.fastest:.1f}x",
            f"{before.fastest / rung.fastest:.2f}x",
            f"{rung.rate / limits.of(rung.intensity):.0%}",
        )
        before = rung


def terminal_table(climb: Climb, limits: Limits) -> Table:
    """The table of a ladder, to be printed."""
    table = Table(*COLUMNS, title=climb.title)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows(climb, limits):
        table.add_row(*row)
    return table


def page(book: Book, ladders: Mapping[str, Ladder], picture: str) -> str:
    """The whole page, in Markdown.

    Parameters
    ----------
    book
        What was measured.
    ladders
        Where the stories are.
    picture
        Path of the picture from the page.
    """
    parts = [HEADING, f"![{ALTERNATIVE}]({picture})\n", *_machine(book)]
    for name, climb in book.ladders.items():
        ladder = ladders[name]
        parts += [f"## {climb.title}\n", ladder.story, f"Measured on {climb.date}:\n"]
        parts.append(_markdown(COLUMNS, rows(climb, book.limits["all cores"])))
        for number, rung in enumerate(ladder.rungs, 1):
            parts.append(f"**{number} {rung.title}.** {rung.story}\n")
        if climb.memory:
            parts += ["Memory at its peak, one head, beyond q, k and v:\n", _memory(climb.memory)]
    return "\n".join(parts)


def _machine(book: Book) -> Iterator[str]:
    yield from (f"- {name}: {value}" for name, value in book.machine.items())
    for name, limits in book.limits.items():
        yield (
            f"- {name}, measured: {limits.flops / 1e9:.0f} GFLOP/s in a float32 matrix product, "
            f"{limits.bandwidth / 1e9:.0f} GB/s from memory and back"
        )
    yield ""


def _memory(memory: dict[str, dict[str, int]]) -> str:
    lengths = list(next(iter(memory.values())))
    cells = (
        (title, *(f"{grown[length] / 1e6:.1f} MB" for length in lengths))
        for title, grown in memory.items()
    )
    return _markdown(("rung", *(f"T = {int(length):,}" for length in lengths)), cells)


def _markdown(columns: tuple[str, ...], cells: Iterator[tuple[str, ...]]) -> str:
    lines = [columns, ("---", *("--:" for _ in columns[1:])), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
