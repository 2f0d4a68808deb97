"""Added tokens: strings that are cut out of a text before anything else is done to it."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import regex

from minitransformer.tokenizers.unicode_versions import WHITE_SPACE, YOUNGER_THAN_16, as_set

_WORD = regex.compile(rf"[\w--{as_set(YOUNGER_THAN_16)}]", regex.V1)


class AddedToken(NamedTuple):
    """A token that no merge and no longest match makes.

    Attributes
    ----------
    id, content
        The token.
    special
        It stands for no text, and ``skip_special_tokens`` leaves it out.
    single_word
        Only where no letter or digit touches it.
    lstrip, rstrip
        White space before or behind it is part of it.
    normalized
        It is looked for in the normalised text, not in the text as it was written.
    """

    id: int
    content: str
    special: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class Part(NamedTuple):
    """A piece of a text, and the added token that it is, if it is one."""

    start: int
    end: int
    token: AddedToken | None


class AddedTokens:
    """Finds added tokens in a text: the first that begins, and of several there the longest.

    Parameters
    ----------
    tokens
        What to look for.
    normalize
        What the text went through in which they are looked for.
    """

    def __init__(
        self, tokens: Iterable[AddedToken], normalize: Callable[[str], str] = lambda text: text
    ) -> None:
        self._tokens = {normalize(token.content): token for token in tokens if token.content}
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._pattern = regex.compile("|".join(map(regex.escape, longest_first)))

    def split(self, text: str, allow_special: bool = True) -> Iterator[Part]:
        """Cut a text into added tokens and what stands between them."""
        behind = 0
        for match in self._pattern.finditer(text) if self._tokens else ():
            token = self._tokens[match[0]]
            start, end = match.span()
            if (token.special and not allow_special) or (
                token.single_word and _touched(text, match)
            ):
                continue
            if token.lstrip:
                start = max(behind, len(text[:start].rstrip(WHITE_SPACE)))
            if token.rstrip:
                end = len(text) - len(text[end:].lstrip(WHITE_SPACE))
            if behind < start:
                yield Part(behind, start, None)
            yield Part(start, end, token)
            behind = end
        if behind < len(text):
            yield Part(behind, len(text), None)


def _touched(text: str, match: "regex.Match[str]") -> bool:
    """Whether a letter or digit stands right before or right behind the match."""
    neighbours = (
        text[max(match.start() - 1, 0) : match.start()],
        text[match.end() : match.end() + 1],
    )
    return any(_WORD.match(neighbour) for neighbour in neighbours)
