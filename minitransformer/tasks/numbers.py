"""Numbers in words, translated from English."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minitransformer.errors import InputError
from minitransformer.tasks.optional import import_or_explain
from minitransformer.tasks.pairs import Pair, PairTask


@dataclass(frozen=True)
class NumbersOptions:
    """What numbers there are to learn from.

    Raises
    ------
    InputError
        If there are fewer numbers than asked for.
    """

    languages: tuple[str, ...] = ("de", "es", "fr")
    """Languages to translate into, as num2words calls them."""
    limit: int = 1_000_000
    """All numbers are below it."""
    examples: int = 10_000
    """Numbers to learn from, each in all languages."""
    held_out: int = 500
    """Numbers to measure on, which occur in none of the former."""

    def __post_init__(self) -> None:
        wanted = self.examples + self.held_out
        if not 0 < wanted <= self.limit // 10:
            raise InputError(
                f"examples + held_out is {wanted}, expected at most a tenth of limit ({self.limit})"
            )


class NumbersTask(PairTask):
    """``fr twenty-one`` is ``vingt et un``."""

    Options = NumbersOptions
    bleu: ClassVar[bool] = True

    @classmethod
    def pairs(cls, options: Any, rng: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
        num2words = import_or_explain("num2words", "num2words").num2words

        def translated(numbers: np.ndarray) -> list[Pair]:
            return [
                Pair(language, f"{language} {num2words(number)}", num2words(number, lang=language))
                for number in numbers.tolist()
                for language in options.languages
            ]

        numbers = draw_numbers(options.limit, options.examples + options.held_out, rng)
        held_out, train = np.split(numbers, [options.held_out])
        return translated(train), translated(held_out)


def draw_numbers(limit: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Different numbers below the limit, short ones as likely as long ones while there are any."""
    chosen: dict[int, None] = {}
    while len(chosen) < count:
        draws = np.exp(rng.uniform(0.0, np.log(limit), size=count)).astype(np.int64)
        chosen |= dict.fromkeys(draws.tolist())
    return rng.permutation(list(chosen)[:count])
