"""What tokenizers of public checkpoints have in common."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from minitransformer.errors import InputError
from minitransformer.tokenizers.added_tokens import AddedToken, AddedTokens
from minitransformer.tokenizers.base import Tokenizer, check_ids, check_unicode


class Encoding(NamedTuple):
    """Ids, and where in the text each comes from.

    Attributes
    ----------
    ids : list of int
    offsets : list of (int, int)
        First character, and the one behind the last; (0, 0) for tokens that are added around the
        text. A character may be spread over several tokens, which then all have its offsets.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]


class Piece(NamedTuple):
    """A token that a stretch of text became, and its characters, counted in that stretch."""

    id: int
    start: int
    end: int


class PretrainedTokenizer(Tokenizer):
    """A tokenizer that another program made, as its `tokenizer.json` describes it.

    Parameters
    ----------
    document
        The `tokenizer.json`; truncation and padding in it are not applied.
    vocab
        The id of each token.
    added_tokens
        Tokens that are cut out first.
    around
        Ids that are put before and behind a text.

    Raises
    ------
    InputError
        If two tokens have the same id.
    """

    type = "pretrained"

    def __init__(
        self,
        document: Mapping[str, Any],
        vocab: Mapping[str, int],
        added_tokens: Sequence[AddedToken] = (),
        around: tuple[list[int], list[int]] = ([], []),
    ) -> None:
        self._document = dict(document)
        self.vocab = dict(vocab)
        self.added_tokens = list(added_tokens)
        self._around = around
        self._tokens = {token: content for content, token in self.vocab.items()}
        if len(self._tokens) < len(self.vocab):
            raise InputError("the vocabulary has two tokens of the same id")
        self._tokens |= {token.id: token.content for token in added_tokens}
        self._vocab_size = max(self._tokens, default=-1) + 1
        self._special_ids = {token.id for token in added_tokens if token.special}
        self._raw_tokens = AddedTokens(t for t in added_tokens if not t.normalized)
        self._normalized_tokens = AddedTokens(
            (t for t in added_tokens if t.normalized), lambda content: self.normalize(content)[0]
        )

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def fields(self) -> dict[str, object]:
        return self._document

    @property
    def document(self) -> dict[str, object]:
        return self._document

    @property
    def special_tokens(self) -> dict[str, int]:
        """The id of each special token."""
        return {token.content: token.id for token in self.added_tokens if token.special}

    def normalize(self, text: str) -> tuple[str, Sequence[int]]:
        """The text that is cut into tokens, and for each of its characters the one it was."""
        return text, range(len(text))

    @abstractmethod
    def pieces(self, text: str) -> Iterator[Piece]:
        """Tokens of a normalised text in which there is no added token."""

    @abstractmethod
    def _decoded(self, tokens: Iterable[str]) -> Iterator[str]:
        """Text of tokens, piece by piece."""

    def encode(
        self, text: str, *, add_special_tokens: bool = True, allow_special: bool = True
    ) -> list[int]:
        """Turn text into ids.

        Parameters
        ----------
        text : str
            Any text.
        add_special_tokens : bool
            Whether tokens such as `[CLS]` are put before and behind it, if the tokenizer says so.
        allow_special : bool
            Whether special tokens written in the text become their ids; say False for text of
            strangers, who might forge them.

        Raises
        ------
        InputError
            If the text has lone surrogates.
        """
        return self.encode_with_offsets(
            text, add_special_tokens=add_special_tokens, allow_special=allow_special
        ).ids

    def encode_with_offsets(
        self, text: str, *, add_special_tokens: bool = True, allow_special: bool = True
    ) -> Encoding:
        """Turn text into ids that know where they come from; arguments as for :meth:`encode`."""
        check_unicode(text)
        pieces = list(self._all_pieces(text, allow_special))
        before, behind = self._around if add_special_tokens else ([], [])
        return Encoding(
            [*before, *(piece.id for piece in pieces), *behind],
            [(0, 0)] * len(before)
            + [(piece.start, piece.end) for piece in pieces]
            + [(0, 0)] * len(behind),
        )

    def _all_pieces(self, text: str, allow_special: bool) -> Iterator[Piece]:
        for start, end, token in self._raw_tokens.split(text, allow_special):
            if token is not None:
                yield Piece(token.id, start, end)
                continue
            normalized, origins = self.normalize(text[start:end])
            for first, last, inner in self._normalized_tokens.split(normalized, allow_special):
                found = (
                    self.pieces(normalized[first:last])
                    if inner is None
                    else [Piece(inner.id, 0, last - first)]
                )
                for piece in found:
                    yield Piece(
                        piece.id,
                        start + origins[first + piece.start],
                        start + origins[first + piece.end - 1] + 1,
                    )

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """Turn ids back into text.

        Parameters
        ----------
        ids : iterable of int
            Tokens.
        skip_special_tokens : bool
            Leave special tokens out.

        Raises
        ------
        InputError
            If an id is outside the vocabulary.
        """
        checked = check_ids(ids, self.vocab_size)
        return "".join(self.decode_stream(checked, skip_special_tokens=skip_special_tokens))

    def decode_stream(
        self, ids: Iterable[int], *, skip_special_tokens: bool = False
    ) -> Iterator[str]:
        checked = (check_ids([token], self.vocab_size)[0] for token in ids)
        left_out = self._special_ids if skip_special_tokens else set[int]()
        return self._decoded(
            self._tokens.get(token, "") for token in checked if token not in left_out
        )
