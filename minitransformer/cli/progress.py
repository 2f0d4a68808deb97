"""A live bar on a terminal; plain lines in a file or a pipe."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from minitransformer.training import Step

PLAIN_LINES = 20  # in a whole run


class Progress:
    """Shows loss, tokens per second and time left of a training run.

    Parameters
    ----------
    start, total
        Steps taken before, and the number of the last one.
    """

    def __init__(self, start: int, total: int) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.start, self.total = start, total
        self.began = time.monotonic()
        self.bar = RichProgress(
            TextColumn("training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=total, completed=start, figures="")

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def show(self, step: Step) -> None:
        """Move on to this step."""
        figures = f"loss {step.loss:.3f}  {step.tokens_per_second:,.0f} tokens/s"
        self.bar.update(self.task, completed=step.index, figures=figures)
        every = math.ceil(self.total / PLAIN_LINES)
        if self.bar.disable and (step.index % every == 0 or step.index == self.total):
            done = step.index - self.start
            left = (time.monotonic() - self.began) / done * (self.total - step.index)
            self.console.print(
                f"step {step.index:>{len(str(self.total))}}/{self.total}  {figures}  "
                f"{left:.0f} s left"
            )

    def note(self, text: Any, style: str | None = None) -> None:
        """Print above the bar."""
        self.console.print(text, style=style, markup=False)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that the training loop asks; a second one stops.

    Yields
    ------
    callable
        Whether Ctrl-C was pressed.
    """
    pressed = False

    def remember(_signal: int, _frame: Any) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
