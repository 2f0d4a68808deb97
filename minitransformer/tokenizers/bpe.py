"""Byte-level byte-pair encoding, the tokenizer of GPT-2: common strings become single tokens.

Every text is bytes, and every byte is a token, so no text is unknown. Words are cut out first and
no token crosses their borders, for else "dog.", "dog!" and "dog?" would each become a token.
"""

import codecs
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain

import regex

from minitransformer.errors import InputError
from minitransformer.tokenizers.base import Tokenizer, check_ids, check_unicode
from minitransformer.tokenizers.byte_pairs import BYTES, Pair, bpe_encode, learn_merges

WORDS = regex.compile(
    r"""'(?:s|t|re|ve|m|ll|d)"""  # the endings of contractions: I'm, they're, dog's
    r"""| ?\p{L}+"""  # letters, with the blank before them
    r"""| ?\p{N}+"""  # digits, likewise
    r"""| ?[^\s\p{L}\p{N}]+"""  # punctuation and other signs, likewise
    r"""|\s+(?!\S)"""  # white space, but for a last blank that belongs to the next word
    r"""|\s+"""
)
"""GPT-2's way to cut text into words; joined, the words are the text again."""

CACHED_WORDS = 1 << 16
"""A tokenizer remembers the ids of this many words, those it met last."""


class BPETokenizer(Tokenizer):
    """Byte-level byte-pair encoding: any text to ids and back, common words in one id.

    Ids are given in this order: the 256 bytes, one id for each merge, the special tokens.

    Parameters
    ----------
    merges : sequence of pairs of ints
        The i-th pair of ids makes the id `256 + i`.
    special_tokens : sequence of str
        Signs that stand for no text, such as `"<|endoftext|>"`; merges never make them.

    Attributes
    ----------
    vocab : list of bytes
        What each id stands for.
    special_tokens : dict of str to int
        The id of each special token.

    Raises
    ------
    InputError
        If a merge uses an id that does not exist yet, a special token is empty, or either is
        there twice.

    Notes
    -----
    A word is merged in one pass for each different merge inside it. Words are short, and the ids
    of the last 65,536 are remembered, but a "word" of a megabyte (a genome on one line) is slow.

    References
    ----------
    Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016.
    Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.

    Examples
    --------
    >>> tokenizer = BPETokenizer.train("the cat, the hat, the bat", vocab_size=259)
    >>> [tokenizer.vocab[token] for token in tokenizer.encode("the hat")]
    [b'the', b' ', b'h', b'at']
    """

    type = "bpe"

    def __init__(self, merges: Sequence[Pair], special_tokens: Sequence[str] = ()) -> None:
        self.merges = [_check_merge(pair, BYTES + i) for i, pair in enumerate(merges)]
        self._merged_ids = {pair: BYTES + i for i, pair in enumerate(self.merges)}
        if len(self._merged_ids) < len(self.merges):
            raise InputError("merges must be different from each other")
        self.vocab = [bytes([byte]) for byte in range(BYTES)]
        for first, second in self.merges:
            self.vocab.append(self.vocab[first] + self.vocab[second])
        _check_special_tokens(special_tokens)
        self.special_tokens = {token: len(self.vocab) + i for i, token in enumerate(special_tokens)}
        self.vocab += [token.encode() for token in special_tokens]
        self._encode_word = lru_cache(maxsize=CACHED_WORDS)(self._merge_word)

    @classmethod
    def train(
        cls, text: str, vocab_size: int, special_tokens: Sequence[str] = ()
    ) -> "BPETokenizer":
        """Learn merges from text.

        Parameters
        ----------
        text : str
            What to learn from. Special tokens in it are passed over.
        vocab_size : int
            How many ids to have at most, bytes and special tokens included; there will be fewer
            if the text has no further pair that occurs twice.
        special_tokens : sequence of str
            See `BPETokenizer`.

        Raises
        ------
        InputError
            If `vocab_size` has no room for the bytes and the special tokens, or the text has
            lone surrogates.
        """
        _check_special_tokens(special_tokens)
        limit = vocab_size - BYTES - len(special_tokens)
        if limit < 0:
            raise InputError(
                f"vocab_size is {vocab_size}, but {BYTES} bytes and {len(special_tokens)} special "
                f"tokens need at least {BYTES + len(special_tokens)}"
            )
        check_unicode(text)
        ordinary = _split_at(special_tokens, text)[::2]
        words = Counter(chain.from_iterable(map(WORDS.findall, ordinary)))
        return cls(learn_merges(words, limit), special_tokens)

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    @property
    def fields(self) -> dict[str, object]:
        return {"merges": self.merges, "special_tokens": list(self.special_tokens)}

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Turn text into ids.

        Parameters
        ----------
        text : str
            Any text.
        allow_special : bool
            Whether special tokens written in the text become their ids. By default they are
            ordinary text, so that no user's text can forge them.

        Raises
        ------
        InputError
            If the text has lone surrogates.
        """
        check_unicode(text)
        if not allow_special:
            return self._encode_ordinary(text)
        ids = []
        for i, part in enumerate(_split_at(self.special_tokens, text)):
            ids += [self.special_tokens[part]] if i % 2 else self._encode_ordinary(part)
        return ids

    def encode_bytes(self, data: bytes) -> list[int]:
        """Turn any bytes into ids, UTF-8 or not; `decode_bytes` gives exactly them back."""
        return self._encode_ordinary(data.decode(errors="surrogateescape"))

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """Turn ids back into text.

        Parameters
        ----------
        ids : iterable of int
            Tokens, special ones included.
        errors : str
            What to do where the bytes are not UTF-8, as in `bytes.decode`; by default U+FFFD
            stands in their place.

        Raises
        ------
        InputError
            If an id is outside the vocabulary.
        """
        return self.decode_bytes(ids).decode(errors=errors)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Turn ids back into the bytes that they stand for."""
        return b"".join(self.vocab[token] for token in check_ids(ids, self.vocab_size))

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in ids:
            yield decoder.decode(self.decode_bytes([token]))
        yield decoder.decode(b"", final=True)

    def _encode_ordinary(self, text: str) -> list[int]:
        return list(chain.from_iterable(map(self._encode_word, WORDS.findall(text))))

    def _merge_word(self, word: str) -> list[int]:
        return bpe_encode(word.encode(errors="surrogateescape"), self._merged_ids)


def _split_at(special_tokens: Collection[str], text: str) -> list[str]:
    """Cut text at its special tokens: ordinary parts at even places, special tokens at odd."""
    if not special_tokens:
        return [text]
    longest_first = sorted(special_tokens, key=len, reverse=True)
    parts: list[str] = regex.split(f"({'|'.join(map(regex.escape, longest_first))})", text)
    return parts


def _check_merge(pair: object, new_id: int) -> Pair:
    match pair:
        case [int(first), int(second)] if 0 <= first < new_id and 0 <= second < new_id:
            return first, second
    raise InputError(
        f"merges[{new_id - BYTES}] is {pair!r}; expected two ids from 0 to {new_id - 1}"
    )


def _check_special_tokens(special_tokens: Sequence[str]) -> None:
    if isinstance(special_tokens, str):
        raise InputError(f"special_tokens is the string {special_tokens!r}; expected a list")
    for token in special_tokens:
        if not isinstance(token, str) or not token:
            raise InputError(f"special_tokens has {token!r}; expected strings, not empty")
        check_unicode(token)
    if len(set(special_tokens)) < len(special_tokens):
        raise InputError(f"special_tokens must be different from each other; got {special_tokens}")
