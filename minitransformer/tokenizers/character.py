"""The simplest tokenizer: one character, one id."""

from collections.abc import Iterable

from minitransformer.errors import InputError
from minitransformer.tokenizers.base import Tokenizer, check_ids, check_unicode

NAMED_CHARACTERS = 5
"""How many unknown characters an error message names."""


class CharTokenizer(Tokenizer):
    """Give each character of an alphabet its place in that alphabet as id.

    Parameters
    ----------
    characters : str
        The alphabet, each character once; the character at index `i` has id `i`.

    Raises
    ------
    InputError
        If the alphabet is empty or has a character twice.

    Examples
    --------
    >>> tokenizer = CharTokenizer.train("hello")
    >>> tokenizer.characters, tokenizer.encode("hole")
    ('ehlo', [1, 3, 2, 0])
    """

    type = "char"

    def __init__(self, characters: str) -> None:
        if not isinstance(characters, str) or not characters:
            raise InputError(f"characters must be a string, not empty; got {characters!r}")
        if len(set(characters)) < len(characters):
            raise InputError("characters must be different from each other")
        check_unicode(characters)
        self.characters = characters
        self._ids = {character: i for i, character in enumerate(characters)}

    @classmethod
    def train(cls, text: str) -> "CharTokenizer":
        """Take the characters of a text as the alphabet, in the order of their code points."""
        if not text:
            raise InputError("text is empty: a character tokenizer learns its alphabet from text")
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    @property
    def fields(self) -> dict[str, object]:
        return {"characters": self.characters}

    def encode(self, text: str) -> list[int]:
        """Turn text into ids, one for each character.

        Raises
        ------
        InputError
            If characters are not in the alphabet; it names them and where each first stands.
        """
        try:
            return [self._ids[character] for character in text]
        except KeyError:
            raise InputError(self._describe_unknown(text)) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids back into text.

        Raises
        ------
        InputError
            If an id is outside the vocabulary.
        """
        return "".join(self.characters[token] for token in check_ids(ids, self.vocab_size))

    def _describe_unknown(self, text: str) -> str:
        unknown = [character for character in dict.fromkeys(text) if character not in self._ids]
        named = ", ".join(
            f"{character!r} (U+{ord(character):04X}) at position {text.index(character)}"
            for character in unknown[:NAMED_CHARACTERS]
        )
        more = len(unknown) - NAMED_CHARACTERS
        return (
            f"text has characters that this tokenizer never saw: {named}"
            + (f", and {more} more" if more > 0 else "")
            + ". Leave them out, train on text that has them, or use the byte-level BPE "
            "tokenizer, which knows every character."
        )
