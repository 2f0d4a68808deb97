"""Text as BERT reads it: cleaned, without accents, in small letters, cut at signs and blanks."""

import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from minitransformer.tokenizers.unicode_versions import (
    CHANGED_SINCE_8,
    WHITE_SPACE,
    YOUNGER_THAN_8,
    is_among,
)

CHINESE = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)
"""First and last characters of the blocks whose characters are words of their own."""


@lru_cache(maxsize=1 << 16)
def category(character: str) -> str:
    """The category of a character in Unicode 8, as far as BERT's rules ask for it."""
    if is_among(character, YOUNGER_THAN_8):
        return "Cn"
    return CHANGED_SINCE_8.get(character) or unicodedata.category(character)


def is_punctuation(character: str) -> bool:
    """Whether a character is a word of its own: a sign of Unicode's, or any of ASCII's."""
    ascii_sign = character.isascii() and character.isprintable() and not character.isalnum()
    return (ascii_sign and character != " ") or category(character).startswith("P")


def _is_unwanted(character: str) -> bool:
    """Control, format and private characters, and those that stand for something lost."""
    if character in "\t\n\r":
        return False
    return character in "\0\ufffd" or category(character) in ("Cc", "Cf", "Co")


def _is_chinese(character: str) -> bool:
    return is_among(character, CHINESE)


class BertNormalizer(NamedTuple):
    r"""The text that BERT's words are cut from.

    Parameters
    ----------
    clean_text
        Drop control characters; all white space becomes blanks.
    handle_chinese_chars
        Blanks around each Chinese character, so that it is a word.
    strip_accents
        Take characters apart and drop what does not take up space; None: if ``lowercase``.
    lowercase
        In small letters.

    Examples
    --------
    >>> BertNormalizer()("Né à\t中")
    ('ne a  中 ', [0, 1, 2, 3, 4, 5, 5, 5])
    """

    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True

    def __call__(self, text: str) -> tuple[str, list[int]]:
        """The normalised text, and for each of its characters the one that it comes from."""
        characters = list(enumerate(text))
        strip_accents = self.lowercase if self.strip_accents is None else self.strip_accents
        if self.clean_text:
            characters = _each(characters, _cleaned)
        if self.handle_chinese_chars:
            characters = _each(characters, lambda c: f" {c} " if _is_chinese(c) else c)
        if strip_accents:
            characters = _each(characters, _without_accents)
        if self.lowercase:
            characters = _each(characters, str.lower)
        return "".join(c for _, c in characters), [origin for origin, _ in characters]


def _each(characters: list[tuple[int, str]], change: Callable[[str], str]) -> list[tuple[int, str]]:
    return [(origin, new) for origin, character in characters for new in change(character)]


def _cleaned(character: str) -> str:
    if _is_unwanted(character):
        return ""
    return " " if character in WHITE_SPACE else character


def _without_accents(character: str) -> str:
    apart = unicodedata.normalize("NFD", character)
    return "".join(part for part in apart if category(part) != "Mn")


def words(text: str) -> Iterator[tuple[int, str]]:
    """Words of a normalised text, and where each begins; a sign is a word."""

    def kind(indexed: tuple[int, str]) -> int:
        """Signs are never put together, each being of a kind of its own."""
        i, character = indexed
        if is_punctuation(character):
            return i
        return -2 if character in WHITE_SPACE else -1

    for key, group in groupby(enumerate(text), kind):
        if key != -2:
            characters = list(group)
            yield characters[0][0], "".join(c for _, c in characters)
