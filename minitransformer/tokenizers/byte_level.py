"""Byte-level byte-pair encoding as GPT-2's files describe it, with tokens written as text."""

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import regex

from minitransformer.errors import InputError
from minitransformer.tokenizers.added_tokens import AddedToken
from minitransformer.tokenizers.bpe import CACHED_WORDS
from minitransformer.tokenizers.merging import merge_by_rank
from minitransformer.tokenizers.pretrained import Piece, PretrainedTokenizer
from minitransformer.tokenizers.unicode_versions import (
    NUMBERS_YOUNGER_THAN_17,
    YOUNGER_THAN_16,
    as_set,
)

_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
CHARACTERS = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(256 + i) for i, byte in enumerate(_OTHERS)
}
"""The character that stands for each byte in the files: itself if it can be seen, as in "Ġthe"."""

_BYTES = {character: byte for byte, character in CHARACTERS.items()}
_YOUNG = as_set(YOUNGER_THAN_16)
_LETTERS, _NUMBERS = rf"[\p{{L}}--{_YOUNG}]", rf"[\p{{N}}--{_YOUNG}]"
_WORDS = regex.compile(
    rf"""'(?:s|t|re|ve|m|ll|d)| ?{_LETTERS}+| ?{_NUMBERS}+| ?[[^\s\p{{L}}\p{{N}}]{_YOUNG}]+"""
    r"""|\s+(?!\S)|\s+""",
    regex.V1,
)
"""Words as `bpe.WORDS` cuts them out, in the Unicode of the reference implementation."""

_DIGIT = rf"[\p{{N}}--{as_set(NUMBERS_YOUNGER_THAN_17)}]"
_DIGITS_AND_OTHERS = {
    True: regex.compile(rf"{_DIGIT}|(?:(?!{_DIGIT}).)+", regex.V1 | regex.DOTALL),
    False: regex.compile(rf"{_DIGIT}+|(?:(?!{_DIGIT}).)+", regex.V1 | regex.DOTALL),
}
"""Cuts digits out, each by itself or together."""


class ByteLevelBPE(PretrainedTokenizer):
    """Byte-level byte-pair encoding of a public checkpoint: GPT-2, SmolLM2, Whisper.

    Parameters
    ----------
    document, vocab, added_tokens, around
        See `PretrainedTokenizer`.
    merges
        Pairs of tokens, the first to be merged in front.
    digits
        Cut digits out before words: each by itself (True), or together (False); None: do not.
    add_prefix_space
        Begin every text with a blank, so that its first word is like the others.
    trim_offsets
        Leave white space at either end of a token out of its offsets.
    ignore_merges
        Take a word that is a token as it is, whatever its merges make.

    Raises
    ------
    InputError
        If a merge makes a token that the vocabulary does not have.

    Notes
    -----
    A byte that the vocabulary lacks is left out, as the reference implementation does.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        vocab: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        added_tokens: Sequence[AddedToken] = (),
        around: tuple[list[int], list[int]] = ([], []),
        *,
        digits: bool | None = None,
        add_prefix_space: bool = False,
        trim_offsets: bool = False,
        ignore_merges: bool = False,
    ) -> None:
        super().__init__(document, vocab, added_tokens, around)
        self._merges = {
            (self._id(first), self._id(second)): (rank, self._id(first + second))
            for rank, (first, second) in reversed(list(enumerate(merges)))
        }
        self._digits = digits
        self._add_prefix_space = add_prefix_space
        self._trim_offsets = trim_offsets
        self._ignore_merges = ignore_merges
        self._encode_word = lru_cache(maxsize=CACHED_WORDS)(self._merge_word)

    def _id(self, token: str) -> int:
        if token not in self.vocab:
            raise InputError(f"merges have the token {token!r}, which is not in the vocabulary")
        return self.vocab[token]

    def pieces(self, text: str) -> Iterator[Piece]:
        start = 0
        if self._add_prefix_space and not text.startswith(" "):
            text, start = f" {text}", -1
        for word in self._words(text):
            for token, first, last in self._encode_word(word):
                yield Piece(token, max(start + first, 0), max(start + last, 1))
            start += len(word)

    def _words(self, text: str) -> Iterator[str]:
        if self._digits is None:
            yield from _WORDS.findall(text)
        else:
            for stretch in _DIGITS_AND_OTHERS[self._digits].findall(text):
                yield from _WORDS.findall(stretch)

    def _merge_word(self, word: str) -> list[Piece]:
        """Tokens of a word, and their characters in it."""
        written = [(CHARACTERS[byte], i) for i, c in enumerate(word) for byte in c.encode()]
        if self._ignore_merges and (whole := "".join(c for c, _ in written)) in self.vocab:
            return [Piece(self.vocab[whole], 0, len(word))]
        known = [c for c, _ in written if c in self.vocab]
        # the reference counts places in the UTF-8 of what is written, and passes unknown bytes over
        origins = [i for c, i in written for _ in c.encode()]
        ends = _running_sum(len(c.encode()) for c in known)
        pieces, begun = [], 0
        for token, width in merge_by_rank([self.vocab[c] for c in known], self._merges):
            first, last = origins[ends[begun]], origins[ends[begun + width] - 1]
            pieces.append(Piece(token, first, last + 1))
            begun += width
        return pieces

    def _all_pieces(self, text: str, allow_special: bool) -> Iterator[Piece]:
        pieces = super()._all_pieces(text, allow_special)
        return map(self._trimmed, pieces) if self._trim_offsets else pieces

    def _trimmed(self, piece: Piece) -> Piece:
        """Without white space at either end, but for a blank that was put before the text."""
        token, start, end = piece
        written = self._tokens[token].replace(CHARACTERS[ord(" ")], " ")
        leading = len(written) - len(written.lstrip())
        if start == 0 and self._add_prefix_space:
            leading = max(leading - 1, 0)
        start = min(start + leading, end)
        return Piece(token, start, max(end - (len(written) - len(written.rstrip())), start))

    def _decoded(self, tokens: Iterable[str]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in tokens:
            yield decoder.decode(_to_bytes(token))
        yield decoder.decode(b"", final=True)


def _running_sum(values: Iterable[int]) -> list[int]:
    sums = [0]
    for value in values:
        sums.append(sums[-1] + value)
    return sums


def _to_bytes(token: str) -> bytes:
    """What a token stands for; an added one may be written as it is."""
    try:
        return bytes(_BYTES[character] for character in token)
    except KeyError:
        return token.encode()
