"""The GGUF format, of files that nobody vouches for: checked first, read later.

A file is a few numbers, named settings, a list of tensors, and the tensors themselves, each at a
multiple of the alignment. Quantised tensors are blocks of small numbers with common factors; the
gguf package knows how to turn them into floats.

References
----------
The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from minitransformer.errors import InputError
from minitransformer.pretrained.cursor import Cursor
from minitransformer.pretrained.stored import (
    Extent,
    StoredTensor,
    check_extents,
    check_sizes,
    read_bytes,
)

try:
    import gguf
except ImportError:
    raise InputError(
        'to read GGUF files, install the gguf package: pip install "minitransformer[gguf]"'
    ) from None

VERSIONS = (2, 3)
NUMBERS = {  # by the number of the type in the file
    **{0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?"},
    **{10: "<u8", 11: "<i8", 12: "<f8"},
}
STRING, ARRAY = 8, 9
MOST_TENSORS = 100_000
LARGEST_ALIGNMENT = 2**16


class GGUFCursor(Cursor):
    """Reads the values of a GGUF file one after another."""

    def text(self) -> str:
        """A length and so many bytes of UTF-8."""
        try:
            return self.take(self.integer(8)).decode()
        except UnicodeDecodeError as error:
            raise InputError(f"a text before byte {self.place} is not UTF-8: {error}") from None

    def numbers(self, dtype: str, count: int) -> np.ndarray:
        """An array."""
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype)

    def value(self) -> Any:
        """A number, a text, or a list of one of them, with its type before it."""
        kind = self.integer(4)
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            kind, count = self.integer(4), self.integer(8)
            if kind == STRING:
                return [self.text() for _ in range(count)]
            return self.numbers(_number_type(kind), count)
        return self.numbers(_number_type(kind), 1)[0].item()


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """Read the settings of a file and list its tensors; none is read yet.

    Raises
    ------
    InputError
        If the file is missing, cut off or damaged: says where.
    """
    try:
        with path.open("rb") as file:
            return _read(path, GGUFCursor(file))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(path: Path, cursor: GGUFCursor) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    magic, version = cursor.take(4), cursor.integer(4)
    if magic != b"GGUF" or version not in VERSIONS:
        raise InputError(
            f"it begins with {magic!r} and version {version}, expected GGUF and one of {VERSIONS}"
        )
    tensor_count, setting_count = cursor.integer(8), cursor.integer(8)
    if tensor_count > MOST_TENSORS:
        raise InputError(f"it is said to have {tensor_count} tensors")
    settings: dict[str, Any] = {}
    for _ in range(setting_count):
        name = cursor.text()
        if name in settings:
            raise InputError(f"it has the setting {name[:80]!r} twice")
        settings[name] = cursor.value()
    entries = [_entry(cursor) for _ in range(tensor_count)]
    alignment = settings.get("general.alignment", 32)
    if type(alignment) is not int or not 1 <= alignment <= LARGEST_ALIGNMENT:
        raise InputError(f"the alignment is {str(alignment)[:80]}")
    start = -(-cursor.place // alignment) * alignment
    return settings, _tensors(path, entries, start, cursor.size)


def _entry(cursor: GGUFCursor) -> tuple[Extent, tuple[int, ...], Any]:
    name = cursor.text()
    if not name.isprintable():
        raise InputError(f"a tensor has the name {name[:80]!r}")
    axes = cursor.integer(4)
    # the axis whose values are neighbours comes first in the file, and last here
    shape = check_sizes(name, [cursor.integer(8) for _ in range(min(axes, 9))][::-1])
    kind, start = cursor.integer(4), cursor.integer(8)
    try:
        kind = gguf.GGMLQuantizationType(kind)
        values, size = gguf.GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError):
        raise InputError(f"tensor {name} has the unknown type {kind}") from None
    if math.prod(shape) == 0 or not shape or shape[-1] % values:
        raise InputError(
            f"tensor {name} has shape {shape}; expected a multiple of {values} values, as "
            f"{kind.name} keeps them together"
        )
    return Extent(start, start + math.prod(shape) // values * size, name), shape, kind


def _tensors(
    path: Path, entries: list[tuple[Extent, tuple[int, ...], Any]], start: int, size: int
) -> dict[str, StoredTensor]:
    check_extents([extent for extent, _, _ in entries], max(0, size - start))
    tensors = {
        extent.name: _stored(path, extent, shape, kind, start) for extent, shape, kind in entries
    }
    if len(tensors) < len(entries):
        raise InputError("it has two tensors of the same name")
    return tensors


def _stored(
    path: Path, extent: Extent, shape: tuple[int, ...], kind: Any, start: int
) -> StoredTensor:
    def read() -> np.ndarray:
        rows, size = math.prod(shape[:-1]), extent.end - extent.start
        rows //= math.gcd(rows, 64)  # whole blocks; of few and long rows, as the package is slow
        packed = read_bytes(path, start + extent.start, (rows, size // max(1, rows)), "u1")
        try:
            with np.errstate(all="ignore"):
                values: np.ndarray = gguf.quants.dequantize(packed, kind)
        except NotImplementedError:
            raise InputError(
                f"{path}: tensor {extent.name} is of {kind.name}, which the gguf package cannot "
                "turn into floats; expected F32, F16, BF16 or a quantised type"
            ) from None
        return values.reshape(shape)

    return StoredTensor(shape, kind.name, read)


def _number_type(kind: int) -> str:
    if kind not in NUMBERS:
        raise InputError(f"a setting has the unknown type {kind}")
    return NUMBERS[kind]
