"""The safetensors format, of files that nobody vouches for: checked first, read later.

A file is a length (8 bytes, little-endian), so many bytes of JSON that name the type, shape and
place of each tensor, and the tensors themselves, end to end.

References
----------
The format: https://github.com/huggingface/safetensors#format.
"""

import json
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minitransformer.errors import InputError
from minitransformer.pretrained.stored import (
    Extent,
    StoredTensor,
    check_extents,
    check_sizes,
    read_bytes,
)

LARGEST_HEADER = 10_000_000  # bytes; a header is about 100 for each tensor
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
BYTES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E5M2": 1, "F8_E4M3": 1},
    **{"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1},
}


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """List the tensors of a file; none is read yet.

    Raises
    ------
    InputError
        If the file is missing, cut off or damaged: says where.
    """
    try:
        with path.open("rb") as file:
            header, start = _read_header(file, path.stat().st_size)
        return _tensors(path, header, start)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, LARGEST_HEADER):
        raise InputError(
            f"the header is said to have {length} bytes, the file has {size}; expected at most "
            f"{LARGEST_HEADER}. Is this a safetensors file, and whole?"
        )
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"the header is not JSON: {str(error)[:80]}") from error
    if not isinstance(header, dict):
        raise InputError("the header is not a table of tensors")
    header.pop("__metadata__", None)
    return header, 8 + length


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise InputError("the header has a name twice")
    return table


def _tensors(path: Path, header: dict[str, Any], start: int) -> dict[str, StoredTensor]:
    size = path.stat().st_size - start
    extents, tensors = [], {}
    for name, entry in header.items():
        extent, dtype, shape = _entry(name, entry)
        extents.append(extent)
        tensors[name] = _stored(path, name, dtype, shape, start + extent.start)
    check_extents(extents, size)
    described = sum(extent.end - extent.start for extent in extents)
    if described != size:
        raise InputError(f"tensors make up {described} bytes, but {size} follow the header")
    return tensors


def _entry(name: str, entry: Any) -> tuple[Extent, str, tuple[int, ...]]:
    if not name.isprintable():
        raise InputError(f"a tensor has the name {name[:80]!r}")
    match entry:
        case {"dtype": str(dtype), "shape": shape, "data_offsets": [int(start), int(end)]}:
            shape = check_sizes(name, shape)
        case _:
            raise InputError(f"tensor {name} is described as {str(entry)[:80]}")
    if dtype not in BYTES:
        raise InputError(f"tensor {name} has the type {dtype[:20]}, expected one of {list(BYTES)}")
    if end - start != math.prod(shape) * BYTES[dtype]:
        raise InputError(f"tensor {name} {shape} of {dtype} has {end - start} bytes")
    return Extent(start, end, name), dtype, shape


def _stored(path: Path, name: str, dtype: str, shape: tuple[int, ...], start: int) -> StoredTensor:
    def read() -> np.ndarray:
        if dtype not in FLOATS:
            raise InputError(f"{path}: tensor {name} is of {dtype}, expected one of {list(FLOATS)}")
        array = read_bytes(path, start, shape, FLOATS[dtype])
        if dtype == "BF16":  # the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype(np.float32, copy=False)

    return StoredTensor(shape, dtype, read)
