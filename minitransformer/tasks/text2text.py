"""Six tasks for one model: what is to be done is said in front of the text.

References
----------
Raffel et al. (2019), Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer, arXiv:1910.10683.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer.errors import InputError
from minitransformer.tasks.pairs import Pair, PairTask

NOUNS = {
    "cat": "le chat", "dog": "le chien", "bird": "l'oiseau", "horse": "le cheval",
    "king": "le roi", "cow": "la vache", "mouse": "la souris", "queen": "la reine",
    "goat": "la chèvre", "hen": "la poule",
}  # fmt: skip
"""With the French article, which tells the gender; for the bird it does not, it is masculine."""

ADJECTIVES = {
    "black": ("noir", "noire"), "white": ("blanc", "blanche"), "green": ("vert", "verte"),
    "grey": ("gris", "grise"), "tired": ("fatigué", "fatiguée"), "happy": ("content", "contente"),
}  # fmt: skip
"""Masculine and feminine; in French they stand behind the noun."""

VERBS = {"sees": "voit", "hears": "entend", "follows": "suit", "likes": "aime", "finds": "trouve"}

PLACES = ("garden", "house", "kitchen", "river", "forest", "castle", "barn", "tower")

SUBJECTS = ("soup", "film", "book", "song", "room", "train", "game", "bread")

OPINIONS = {
    "good": "positive", "lovely": "positive", "excellent": "positive", "fine": "positive",
    "bad": "negative", "awful": "negative", "boring": "negative", "poor": "negative",
}  # fmt: skip

DEGREES = ("", "very ", "really ", "quite ", "rather ")

Drawn = tuple[str, str]


def translate(rng: np.random.Generator) -> Drawn:
    """Into French: genders agree, and adjectives change their place."""
    (one, its), (other, others) = (_phrase(rng) for _ in range(2))
    verb = _one(rng, VERBS)
    return f"{one} {verb} {other}", f"{its} {VERBS[verb]} {others}"


def reverse(rng: np.random.Generator) -> Drawn:
    """The last word first."""
    words = _some(rng, [*NOUNS, *PLACES], at_most=6)
    return " ".join(words), " ".join(reversed(words))


def sort(rng: np.random.Generator) -> Drawn:
    """Digits in ascending order."""
    digits = [str(digit) for digit in rng.integers(10, size=rng.integers(4, 8))]
    return " ".join(digits), " ".join(sorted(digits))


def classify(rng: np.random.Generator) -> Drawn:
    """Whether an opinion is positive; a "not" turns it round."""
    first, second = (_opinion(rng) for _ in range(2))
    link = _one(rng, ["and", "but"])
    same = first[1] == second[1]
    return f"{first[0]} {link} {second[0]}", first[1] if same else "mixed"


def answer(rng: np.random.Generator) -> Drawn:
    """A question about a sentence: who, what, whom, or where."""
    (one, _), (other, _) = (_phrase(rng) for _ in range(2))
    verb, place = _one(rng, VERBS), f"in the {_one(rng, PLACES)}"
    answers = {"who?": one, "does what?": verb, "whom?": other, "where?": place}
    question = _one(rng, answers)
    return f"{one} {verb} {other} {place}. {question}", answers[question]


def summarise(rng: np.random.Generator) -> Drawn:
    """Who does what to whom, without the details."""
    one, other = _some(rng, list(NOUNS), at_least=2, at_most=2)
    verb, adjectives = _one(rng, VERBS), _some(rng, list(ADJECTIVES), at_least=2, at_most=2)
    degree, place = _one(rng, DEGREES), _one(rng, PLACES)
    sentence = f"the {degree}{adjectives[0]} {one} {verb} the {adjectives[1]} {other}"
    where = f"in the {place}"
    text = f"{where}, {sentence}" if rng.random() < 0.5 else f"{sentence} {where}"
    return text, f"{one} {verb} {other}"


DRAW: dict[str, Callable[[np.random.Generator], Drawn]] = {
    "translate": translate,
    "reverse": reverse,
    "sort": sort,
    "classify": classify,
    "answer": answer,
    "summarise": summarise,
}
"""What the model can be told to do, and how examples of it are drawn."""


@dataclass(frozen=True)
class Text2TextOptions:
    """What there is to learn.

    Raises
    ------
    InputError
        If a task is unknown.
    """

    tasks: tuple[str, ...] = tuple(DRAW)
    """Some of translate, reverse, sort, classify, answer, summarise."""
    examples: int = 5_000
    """Pairs of each task to learn from."""
    held_out: int = 300
    """Pairs of each task to measure on; none of their sources is among the former."""

    def __post_init__(self) -> None:
        for task in self.tasks:
            if task not in DRAW:
                raise InputError(f"tasks has {task!r}, expected some of {', '.join(DRAW)}")


class Text2TextTask(PairTask):
    """``sort: 3 1 2`` is ``1 2 3``, and ``reverse: cat dog`` is ``dog cat``."""

    Options = Text2TextOptions

    @classmethod
    def pairs(cls, options: Any, rng: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
        train, held_out = list[Pair](), list[Pair]()
        for task in options.tasks:
            pairs = _different(task, options.examples + options.held_out, rng)
            held_out += pairs[: options.held_out]
            train += pairs[options.held_out :]
        return train, held_out


def _different(task: str, count: int, rng: np.random.Generator) -> list[Pair]:
    """So many examples of a task, no source twice."""
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        source, target = DRAW[task](rng)
        pairs[source] = target
    return [Pair(task, f"{task}: {source}", target) for source, target in pairs.items()]


def _one(rng: np.random.Generator, words: Any) -> str:
    return str(rng.choice(list(words)))


def _some(
    rng: np.random.Generator, words: Sequence[str], at_most: int, at_least: int = 2
) -> list[str]:
    """Different words, in any order."""
    count = rng.integers(at_least, at_most + 1)
    return [str(word) for word in rng.choice(words, count, replace=False)]


def _phrase(rng: np.random.Generator) -> Drawn:
    noun, adjective = _one(rng, NOUNS), _one(rng, ADJECTIVES)
    feminine = NOUNS[noun].startswith("la ")
    return f"the {adjective} {noun}", f"{NOUNS[noun]} {ADJECTIVES[adjective][feminine]}"


def _opinion(rng: np.random.Generator) -> Drawn:
    subject, degree, word = _one(rng, SUBJECTS), _one(rng, DEGREES), _one(rng, OPINIONS)
    negated = rng.random() < 0.4
    opposite = {"positive": "negative", "negative": "positive"}
    meaning = opposite[OPINIONS[word]] if negated else OPINIONS[word]
    return f"the {subject} was {'not ' if negated else ''}{degree}{word}", meaning
