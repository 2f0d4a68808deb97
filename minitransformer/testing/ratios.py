"""Put a name to a number: 0.25 is 1/4, and 4 is the batch size."""

import math
from collections.abc import Iterator

from minitransformer.testing.evidence import FIT, Evidence

Named = tuple[float, str, str]


def name_ratio(ratio: float, evidence: Evidence) -> tuple[str, str] | None:
    """Write a ratio as a formula and say what it may come from; None if it is no known number.

    Returns
    -------
    formula, reason : str
        For instance ``"1/4 of"`` and ``"4 is B, the batch size: it is divided by it twice"``.
    """
    if abs(ratio + 1) < FIT:
        return "-1 times", "a sign is wrong"
    sign = "minus " if ratio < 0 else ""
    matching = _equal_to(abs(ratio), _simple_numbers(evidence))
    matching = matching or _equal_to(abs(ratio), _quotients(evidence))
    if not matching:
        return None
    reasons = dict.fromkeys(reason for _, _, reason in matching)
    return sign + matching[0][1], "; or ".join(list(reasons)[:3])


def _equal_to(size: float, numbers: Iterator[Named]) -> list[Named]:
    return [named for named in numbers if abs(size - named[0]) < FIT * named[0]]


def _simple_numbers(evidence: Evidence) -> Iterator[Named]:
    """Yield value, formula and reason, the likeliest first."""
    lengths = evidence.lengths()
    for n, meaning in lengths:
        yield n, f"{n} times", f"{n} is {meaning}: a division by it (a mean) is missing"
        yield 1 / n, f"1/{n} of", f"{n} is {meaning}: it is divided by it once too often"
    yield 2, "2 times", "something is counted twice"
    yield (
        1 / 2,
        "1/2 of",
        "a factor 2 (the derivative of a square?) or one of two equal paths is missing",
    )
    for n, meaning in lengths:
        root = f"sqrt({n})"
        yield math.sqrt(n), f"{root} times", f"{n} is {meaning}: a scale of 1/{root} is missing"
        yield 1 / math.sqrt(n), f"1/{root} of", f"{n} is {meaning}: 1/{root} comes in too often"
    yield from _scalar_arguments(evidence)
    for n, meaning in lengths:
        yield n * n, f"{n}^2 times", f"{n} is {meaning}"
        yield 1 / (n * n), f"1/{n}^2 of", f"{n} is {meaning}"


def _quotients(evidence: Evidence) -> Iterator[Named]:
    lengths = evidence.lengths()
    for n, meaning in lengths:
        for m, other in lengths:
            yield (
                n / m,
                f"{n}/{m} of",
                f"{n} is {meaning}, {m} is {other}: one stands for the other",
            )
            yield math.sqrt(n / m), f"sqrt({n}/{m}) of", f"{n} is {meaning}, {m} is {other}"


def _scalar_arguments(evidence: Evidence) -> Iterator[Named]:
    for name, value in evidence.inputs.items():
        if not isinstance(value, float) or value <= 0:
            continue
        yield value, f"{name} times", f"{name} is {value:g}: it comes in once too often"
        yield 1 / value, f"1/{name} times", f"{name} is {value:g}: a factor {name} is missing"
        if value < 1:
            rest = f"(1 - {name})"
            yield (
                1 - value,
                f"{rest} times",
                f"{name} is {value:g}: a division by {rest} is missing",
            )
            yield (
                1 / (1 - value),
                f"1/{rest} times",
                f"{name} is {value:g}: a factor {rest} is missing",
            )
