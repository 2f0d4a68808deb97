"""The format of CTranslate2, of files that nobody vouches for: checked first, read later.

A file is a few numbers, the name of a kind of model, and its variables one after another, each with
name, shape, type and size before it. Variables without axes are settings. At the end stand other
names of the same variables.

References
----------
The format: https://github.com/OpenNMT/CTranslate2/blob/master/python/ctranslate2/specs/model_spec.py.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minitransformer.errors import InputError
from minitransformer.pretrained.cursor import Cursor
from minitransformer.pretrained.stored import StoredTensor, check_sizes, read_bytes

VERSION = 6
MOST_VARIABLES = 100_000
LONGEST_KIND = 64
TYPES = ("<f4", "i1", "<i2", "<i4", "<f2", "<u2")  # by the number of the type in the file
BFLOAT16 = 5  # the upper half of a float32
FLOATS = (0, 4, BFLOAT16)


class CTranslate2Variables(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    kind : str
        Such as ``"WhisperSpec"``.
    settings : dict of int
    tensors : dict of StoredTensor
    """

    kind: str
    settings: dict[str, int]
    tensors: dict[str, StoredTensor]


def is_ctranslate2(path: Path) -> bool:
    """Whether a file begins as one of CTranslate2 does, of whatever version."""
    try:
        with path.open("rb") as file:
            begin = file.read(6 + LONGEST_KIND)
    except OSError:
        return False
    length = int.from_bytes(begin[4:6], "little")
    return begin[1:4] == bytes(3) and begin[6 : 6 + length].endswith(b"Spec\0")


def read_ctranslate2(path: Path) -> CTranslate2Variables:
    """List the variables of a file; no tensor is read yet.

    Raises
    ------
    InputError
        If the file is missing, cut off or damaged: says where.
    """
    try:
        with path.open("rb") as file:
            return _read(path, Cursor(file))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(path: Path, cursor: Cursor) -> CTranslate2Variables:
    version = cursor.integer(4)
    if version != VERSION:
        raise InputError(
            f"it is of version {version}, expected {VERSION}; convert the model once more, with a "
            "newer CTranslate2"
        )
    kind, _revision, count = _text(cursor), cursor.integer(4), cursor.integer(4)
    if count > MOST_VARIABLES:
        raise InputError(f"it is said to have {count} variables")
    found = CTranslate2Variables(kind, {}, {})
    for _ in range(count):
        _read_variable(path, cursor, found)
    for _ in range(cursor.integer(4)):
        alias, name = _text(cursor), _text(cursor)
        if name not in found.tensors:
            raise InputError(f"{alias} is another name of {name}, which there is not")
        _check_new(alias, found)
        found.tensors[alias] = found.tensors[name]
    if cursor.place < cursor.size:
        raise InputError(f"{cursor.size - cursor.place} bytes follow its end")
    return found


def _read_variable(path: Path, cursor: Cursor, found: CTranslate2Variables) -> None:
    name = _text(cursor)
    _check_new(name, found)
    axes = cursor.integer(1)
    shape = check_sizes(name, [cursor.integer(4) for _ in range(axes)])
    kind, size = cursor.integer(1), cursor.integer(4)
    if kind >= len(TYPES):
        raise InputError(f"{name} has the unknown type {kind}")
    if size != math.prod(shape) * np.dtype(TYPES[kind]).itemsize:
        raise InputError(f"{name} {shape} of {TYPES[kind]} has {size} bytes")
    if not shape and kind not in FLOATS:
        found.settings[name] = int.from_bytes(cursor.take(size), "little", signed=True)
    else:
        found.tensors[name] = _stored(path, name, kind, shape, cursor.place)
        cursor.skip(size)


def _check_new(name: str, found: CTranslate2Variables) -> None:
    if name in found.settings or name in found.tensors:
        raise InputError(f"it has the name {name} twice")


def _text(cursor: Cursor) -> str:
    """A length, and so many bytes, the last of which is 0."""
    content = cursor.take(cursor.integer(2)).removesuffix(b"\0")
    if not content.isascii() or not content.decode("ascii").isprintable():
        raise InputError(f"there is the name {content[:80]!r} before byte {cursor.place}")
    return content.decode("ascii")


def _stored(path: Path, name: str, kind: int, shape: tuple[int, ...], start: int) -> StoredTensor:
    def read() -> np.ndarray:
        if kind not in FLOATS:
            raise InputError(
                f"{path}: {name} is quantised to integers, expected floats; convert the model once "
                "more, with --quantization float16"
            )
        array = read_bytes(path, start, shape, TYPES[kind])
        if kind == BFLOAT16:
            return (array.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(invalid="ignore"):
            return array.astype(np.float32, copy=False)

    return StoredTensor(shape, TYPES[kind], read)
