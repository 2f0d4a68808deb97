"""``python -m benchmarks.ladders [names]``: climb ladders, and write the tables and the picture."""

import argparse
import datetime
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.ladders import (
    adamw,
    attention,
    layer_norm,
    matmul,
    memory,
    report,
    roofline,
    softmax,
)
from benchmarks.ladders.limits import measure_limits
from benchmarks.ladders.results import Book, climb, read_book, write_book
from benchmarks.ladders.rungs import Ladder, WrongRungError
from benchmarks.machine import describe
from minitransformer.memory import keep_freed_memory

LADDERS: dict[str, Callable[[], Ladder]] = {
    "matmul": matmul.ladder,
    "softmax": softmax.ladder,
    "layer_norm": layer_norm.ladder,
    "adamw": adamw.ladder,
    "attention": attention.ladder,
}
BENCHMARKS = Path(__file__).parents[1]
RESULTS = BENCHMARKS / "results"
TIMES_DEPEND_ON = ("processor", "cores", "memory", "system", "python", "numpy", "numba")


def main(arguments: list[str]) -> int:
    """Climb the named ladders, or all; those measured before on this machine stay on the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladders", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(LADDERS))
    names = parser.parse_args(arguments).names or list(LADDERS)
    if unknown := [name for name in names if name not in LADDERS]:
        parser.error(f"no ladder {', '.join(unknown)}; there are {', '.join(LADDERS)}")
    keep_freed_memory()
    machine = describe()
    book = read_book(RESULTS / "ladders.json", {name: machine[name] for name in TIMES_DEPEND_ON})
    for name, limits in measure_limits().items():
        book.limits[name] = limits.raised_to(book.limits.get(name, limits))
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    today = datetime.date.today().isoformat()
    for name in names:
        grown = memory.table() if name == "attention" else {}
        try:
            book.ladders[name] = climb(LADDERS[name](), today, grown)
        except WrongRungError as error:
            console.print(str(error), style="bold red")
            return 1
        limits = book.limits["all cores"].raised_to(book.ladders[name].reached())
        book.limits["all cores"] = limits
        console.print(report.terminal_table(book.ladders[name], limits))
    publish(book)
    return 0


def publish(book: Book) -> None:
    """Write the figures, the picture and the page, without ladders that have changed since."""
    ladders = {name: make() for name, make in LADDERS.items()}
    climbs = {
        name: book.ladders[name]
        for name, ladder in ladders.items()
        if name in book.ladders and book.ladders[name].is_of(ladder)
    }
    book = Book(book.machine, book.limits, climbs)
    RESULTS.mkdir(exist_ok=True)
    write_book(book, RESULTS / "ladders.json")
    roofline.draw(book, RESULTS / "roofline.svg", RESULTS / "roofline.png")
    page = report.page(book, ladders, "results/roofline.svg")
    (BENCHMARKS / "LADDERS.md").write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
