"""WordPiece, the tokenizer of BERT: words in the longest pieces that the vocabulary has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from minitransformer.errors import InputError
from minitransformer.tokenizers.added_tokens import AddedToken
from minitransformer.tokenizers.bert_text import BertNormalizer, words
from minitransformer.tokenizers.pretrained import Piece, PretrainedTokenizer

CONTRACTIONS = (
    *((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't")),
    *((" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")),
)
"""Blanks that decoding takes back, in this order, within the text of one token."""


class WordPiece(PretrainedTokenizer):
    """The tokenizer of BERT; what it decodes is not the text again, but close to it.

    Parameters
    ----------
    document, vocab, added_tokens, around
        See `PretrainedTokenizer`.
    normalizer
        What a text goes through first.
    unknown
        Token of a word that cannot be put together.
    prefix
        Marks the pieces that go on with a word.
    longest_word
        Words of more characters are unknown.
    cleanup
        Take back blanks before signs when decoding.

    Raises
    ------
    InputError
        If the vocabulary does not have the unknown token.

    References
    ----------
    Schuster and Nakajima (2012), Japanese and Korean Voice Search.
    Devlin et al. (2018), BERT, arXiv:1810.04805.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        vocab: Mapping[str, int],
        added_tokens: Sequence[AddedToken] = (),
        around: tuple[list[int], list[int]] = ([], []),
        *,
        normalizer: BertNormalizer | None = None,
        unknown: str = "[UNK]",
        prefix: str = "##",
        longest_word: int = 100,
        cleanup: bool = True,
    ) -> None:
        self._normalizer = normalizer or BertNormalizer()
        super().__init__(document, vocab, added_tokens, around)
        if unknown not in self.vocab:
            raise InputError(f"the vocabulary lacks {unknown!r}, the token of unknown words")
        self._unknown = self.vocab[unknown]
        self._prefix = prefix
        self._longest_word = longest_word
        self._cleanup = cleanup

    def normalize(self, text: str) -> tuple[str, list[int]]:
        return self._normalizer(text)

    def pieces(self, text: str) -> Iterator[Piece]:
        for start, word in words(text):
            for token, first, last in self._word_pieces(word):
                yield Piece(token, start + first, start + last)

    def _word_pieces(self, word: str) -> list[Piece]:
        """Longest match first; one piece that cannot be found makes the whole word unknown."""
        unknown = [Piece(self._unknown, 0, len(word))]
        if len(word) > self._longest_word:
            return unknown
        pieces, start = [], 0
        while start < len(word):
            mark = self._prefix if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if mark + word[start:end] in self.vocab), None)
            if end is None:
                return unknown
            pieces.append(Piece(self.vocab[mark + word[start:end]], start, end))
            start = end
        return pieces

    def _decoded(self, tokens: Iterable[str]) -> Iterator[str]:
        for i, token in enumerate(tokens):
            goes_on = token.startswith(self._prefix)
            text = token if i == 0 else token.removeprefix(self._prefix) if goes_on else f" {token}"
            for apart, together in CONTRACTIONS if self._cleanup else ():
                text = text.replace(apart, together)
            yield text
