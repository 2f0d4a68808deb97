"""Reading a file of a stranger from its beginning to its end."""

import os
from typing import BinaryIO

from minitransformer.errors import InputError


class Cursor:
    """Reads what comes next in a file, and never more than there is."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.place = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self._pass(count)
        return self.file.read(count)

    def skip(self, count: int) -> None:
        """Leave the next bytes out."""
        self._pass(count)
        self.file.seek(self.place)

    def integer(self, size: int) -> int:
        """A number of so many bytes, 0 or more."""
        return int.from_bytes(self.take(size), "little")

    def _pass(self, count: int) -> None:
        if count > self.size - self.place:
            raise InputError(
                f"{count} bytes are said to follow byte {self.place} of {self.size}; is the file "
                "cut off?"
            )
        self.place += count
