"""Dates as people write them in many languages, to be written as ISO 8601 has it."""

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer.tasks.optional import import_or_explain
from minitransformer.tasks.pairs import Pair, PairTask

FIRST, DAYS = datetime.date(1970, 1, 1), 36_525
"""A hundred years, so that years of two digits are unambiguous."""

STYLES = ("short", "medium", "long", "full")


@dataclass(frozen=True)
class DatesOptions:
    """What dates there are to learn from."""

    locales: tuple[str, ...] = (
        "ar", "de", "en_GB", "en_US", "es", "fr", "hi", "it", "ja", "pl", "pt", "ru", "zh",
    )  # fmt: skip
    """Languages, where it matters with country."""
    examples: int = 60_000
    """Pairs to learn from."""
    held_out: int = 2_000
    """Pairs to measure on; their days occur in none of the former."""


class DatesTask(PairTask):
    """``de Donnerstag, 7. März 2024`` is ``2024-03-07``.

    The locale stands in front, for nothing else tells whether 3/7/24 is in March or in July.
    """

    Options = DatesOptions

    @classmethod
    def pairs(cls, options: Any, rng: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
        days = rng.permutation(DAYS)
        held_out, train = np.split(days, [DAYS // 10])
        return (
            _draw(train, options.examples, options.locales, rng),
            _draw(held_out, options.held_out, options.locales, rng),
        )


def _draw(
    days: np.ndarray, count: int, locales: tuple[str, ...], rng: np.random.Generator
) -> list[Pair]:
    dates = import_or_explain("babel.dates", "babel")
    return [
        _pair(dates, FIRST + datetime.timedelta(int(day)), locales[locale], STYLES[style])
        for day, locale, style in zip(
            rng.choice(days, count),
            rng.integers(len(locales), size=count),
            rng.integers(len(STYLES), size=count),
            strict=True,
        )
    ]


def _pair(dates: Any, day: datetime.date, locale: str, style: str) -> Pair:
    written = dates.format_date(day, style, locale=locale)
    return Pair(locale, f"{locale} {written}", day.isoformat())
