"""Where a text ends: at the first of several stops, tokens or characters, which are left out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

Text: TypeAlias = Sequence[int] | str
"""Tokens, or characters."""


def ends_with(text: Text, stop: Text) -> bool:
    """Whether the last tokens, or characters, of the text are a stop."""
    return len(stop) <= len(text) and text[len(text) - len(stop) :] == stop


def without_stop(tokens: list[int], stops: Iterable[list[int]]) -> tuple[list[int], bool]:
    """Take off the stop that the tokens end with, the longest one; and say whether there was one.

    Examples
    --------
    >>> without_stop([5, 7, 0], [[0], [7, 0], [5, 7]])
    ([5], True)
    """
    length = max((len(stop) for stop in stops if ends_with(tokens, stop)), default=0)
    return tokens[: len(tokens) - length], length > 0


def held_back(text: Text, stops: Iterable[Text]) -> int:
    r"""Length of the longest end of the text with which a stop begins: it may become one.

    Examples
    --------
    >>> held_back("Yes.\n", ["\n\nUser:", "\nEnd"])
    1
    """
    return max(
        (
            length
            for stop in stops
            for length in range(1, min(len(text), len(stop) - 1) + 1)
            if ends_with(text, stop[:length])
        ),
        default=0,
    )


def until_stop(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """Pass on pieces of text as they come, up to the first stop.

    Parameters
    ----------
    pieces
        A text in pieces, of which a stop may span several.
    stops
        Texts that end it; none of them is passed on.

    Yields
    ------
    str
        Each piece as soon as it is certain to hold no part of a stop.

    Examples
    --------
    >>> list(until_stop(["so", " long", ". U", "ser: and"], ["User:"]))
    ['so', ' long', '. ', '']
    """
    text = ""
    for piece in pieces:
        text += piece
        found = [text.index(stop) for stop in stops if stop in text]
        if found:
            yield text[: min(found)]
            return
        certain = len(text) - held_back(text, stops)
        yield text[:certain]
        text = text[certain:]
    yield text
