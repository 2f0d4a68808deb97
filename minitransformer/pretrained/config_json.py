"""The ``config.json`` of public checkpoints, whose values are not believed either."""

import json
import math
from pathlib import Path
from typing import Any

from minitransformer.errors import InputError

LARGEST_FILE = 100_000_000  # bytes; an index of ten thousand tensors has one million
LARGEST_SIZE = 2**31
LARGEST_TABLE = 2**25  # values; of rotary positions, whose number no tensor in the file tells


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON table.

    Raises
    ------
    InputError
        If the file is missing or something else.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} has more than {LARGEST_FILE} bytes; is it JSON?")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {str(error)[:80]}. Is the file cut off?") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no table of settings")
    return document


class Settings:
    """Settings of a checkpoint, taken one by one.

    Parameters
    ----------
    document
        Names and values.
    source
        Where they are from, for messages.
    """

    def __init__(self, document: dict[str, Any], source: str) -> None:
        self.document = document
        self.source = source

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default where it is missing or null."""
        value = self.document.get(name)
        return default if value is None else value

    def size(self, name: str, default: int | None = None, at_most: int = LARGEST_SIZE) -> int:
        """A whole number from 1 on."""
        value = self.get(name, default)
        if type(value) is not int or not 1 <= value <= at_most:
            raise self.wrong(name, value, f"a whole number from 1 to {at_most}")
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        value = self.get(name, default)
        if type(value) not in (int, float) or abs(value) > 1e300 or not math.isfinite(value):
            raise self.wrong(name, value, "a number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.get(name, default)
        if type(value) is not bool:
            raise self.wrong(name, value, "true or false")
        return value

    def end_ids(self, name: str, vocab_size: int) -> int | tuple[int, ...] | None:
        """Ids that end a text; those outside the vocabulary stand for nothing."""
        value = self.get(name, [])
        several = value if isinstance(value, list) else [value]
        if not all(type(token) is int for token in several):
            raise self.wrong(name, value, "a token, or several")
        known = tuple(token for token in several if 0 <= token < vocab_size)
        return known if len(known) > 1 else next(iter(known), None)

    def ids(self, name: str, vocab_size: int) -> tuple[int, ...]:
        """Ids of a vocabulary; those outside of it stand for nothing."""
        value = self.get(name, [])
        if not isinstance(value, list) or not all(type(token) is int for token in value):
            raise self.wrong(name, value, "a list of tokens")
        return tuple(token for token in value if 0 <= token < vocab_size)

    def require(self, name: str, *expected: Any) -> None:
        """See to it that a setting has a value that the model here implies; missing is fine."""
        value = self.get(name, expected[0])
        if value not in expected:
            raise self.wrong(name, value, " or ".join(map(repr, expected)))

    def table(self, name: str) -> "Settings":
        """A table of settings inside of this one, empty where it is missing."""
        value = self.get(name, {})
        if not isinstance(value, dict):
            raise self.wrong(name, value, "a table")
        return Settings(value, f"{self.source}: {name}")

    def wrong(self, name: str, value: Any, expected: str) -> InputError:
        """The error that says what a setting is, and what it should be."""
        return InputError(
            f"{self.source}: {name} is {str(value)[:80]}, expected {expected}; models here know "
            "nothing else"
        )
