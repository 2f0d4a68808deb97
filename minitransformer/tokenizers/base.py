"""What every tokenizer can do, and the checks that they share."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from operator import index
from pathlib import Path
from typing import ClassVar

from minitransformer.errors import InputError
from minitransformer.files import atomic_write

FORMAT_VERSION = 1


class Tokenizer(ABC):
    """A two-way dictionary between text and the integers that a model reads.

    A subclass names its `type`, the word that stands for it in a `tokenizer.json`, and its
    `fields`, which are the arguments of its constructor.
    """

    type: ClassVar[str]

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of different ids: every id is in `range(vocab_size)`."""

    @property
    @abstractmethod
    def fields(self) -> dict[str, object]:
        """All that has to be written down, in JSON's types, to build this tokenizer again."""

    @property
    def document(self) -> dict[str, object]:
        """What is written to a `tokenizer.json`."""
        return {"type": self.type, "version": FORMAT_VERSION, **self.fields}

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Turn text into ids."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids back into text."""

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Turn ids into text one by one, as a model utters them.

        Joined, the pieces are `decode(ids)`; a piece is empty while a character is incomplete.
        """
        return (self.decode([token]) for token in ids)

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json` that `load_tokenizer` reads; an old file survives a failure."""
        with atomic_write(path) as file:
            file.write(json.dumps(self.document, ensure_ascii=False).encode() + b"\n")


def check_unicode(text: str) -> None:
    """Reject lone surrogates: halves of UTF-16 pairs, which are no characters and have no UTF-8.

    Raises
    ------
    InputError
        Naming the first lone surrogate and its position.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"text has a lone surrogate U+{ord(text[error.start]):04X} at position {error.start}, "
            "which is not a character. Repair the text where it is read, e.g. with open(..., "
            'encoding="utf-8").'
        ) from None


def check_ids(ids: Iterable[int], vocab_size: int) -> list[int]:
    """Return the ids as a list of Python ints, all of them in the vocabulary.

    Raises
    ------
    InputError
        Naming the first id outside the vocabulary and its position.
    """
    checked = [index(token) for token in ids]
    for position, token in enumerate(checked):
        if not 0 <= token < vocab_size:
            raise InputError(
                f"ids[{position}] is {token}, but this tokenizer has ids 0 to {vocab_size - 1}. "
                "Use the tokenizer that made the ids."
            )
    return checked
