"""How fast a model writes."""

import time
from collections.abc import Iterable, Iterator


class Count:
    """Counts tokens, and the seconds that they take."""

    def __init__(self) -> None:
        self.tokens = 0
        self.start = time.perf_counter()

    def counted(self, ids: Iterable[int]) -> Iterator[int]:
        for token in ids:
            self.tokens += 1
            yield token

    def __str__(self) -> str:
        seconds = time.perf_counter() - self.start
        return f"{self.tokens:,} tokens in {seconds:.1f} s: {self.tokens / seconds:,.0f} tokens/s"
