"""Values between two processes that do not trust each other: JSON, and the raw bytes of arrays.

Nothing is unpickled. What cannot be sent arrives as :class:`Foreign`, which only has a type's name.
"""

import json
import struct
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

import numpy as np

LARGEST_MESSAGE = 2**28
_LENGTHS = struct.Struct("<QQ")
_SENDABLE = "biufc"  # booleans, integers, floats


class BrokenMessageError(Exception):
    """What came is no message of ours."""


@dataclass(frozen=True)
class Foreign:
    """A value that cannot be sent; only its type is known."""

    type_name: str


@dataclass(frozen=True)
class Remote:
    """A value that stays in the student's process, by its number."""

    number: int


def write_message(stream: BinaryIO, message: dict[str, Any], keep: Callable[..., Any]) -> None:
    """Send one message; ``keep`` turns a callable into the number by which it can be called."""
    blob = bytearray()
    header = json.dumps(_encode(message, blob, keep)).encode()
    stream.write(_LENGTHS.pack(len(header), len(blob)) + header)
    stream.write(blob)
    stream.flush()


def read_message(stream: BinaryIO, function: Callable[[int], Any]) -> dict[str, Any]:
    """Receive one message; ``function`` makes a callable of its number.

    Raises
    ------
    EOFError
        If the other side is gone.
    BrokenMessageError
        If it sent something else.
    """
    lengths = _read(stream, _LENGTHS.size)
    header, blob = _LENGTHS.unpack(lengths)
    if header + blob > LARGEST_MESSAGE:
        raise BrokenMessageError(f"a message of {header + blob:,} bytes")
    text, data = _read(stream, header), bytearray(_read(stream, blob))
    try:
        message = _decode(json.loads(text), data, function)
    except EOFError:
        raise
    except Exception as error:  # whatever a hostile sender provokes
        raise BrokenMessageError(f"no message: {type(error).__name__}") from error
    if not isinstance(message, dict):
        raise BrokenMessageError("no message")
    return message


def _read(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _encode(value: Any, blob: bytearray, keep: Callable[..., Any]) -> Any:
    def encode(item: Any) -> Any:
        return _encode(item, blob, keep)

    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return _encode_array(value, blob)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        cls = type(value)
        name = [cls.__module__, cls.__qualname__, list(value._fields)]
        return {"kind": "named", "name": name, "items": [encode(item) for item in value]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {"kind": kind, "items": [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"kind": "dict", "items": [encode(item) for item in value.items()]}
    if isinstance(value, Remote):
        return {"kind": "remote", "number": value.number}
    if isinstance(value, np.random.Generator):
        return {"kind": "generator", "state": encode(value.bit_generator.state)}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        kind = "dtype" if isinstance(value, np.dtype) else "type"
        return {"kind": kind, "dtype": np.dtype(value).str}
    if callable(value) and not isinstance(value, type):
        return {"kind": "callable", "number": keep(value)}
    return {"kind": "foreign", "type": type(value).__name__}


def _encode_array(value: Any, blob: bytearray) -> dict[str, Any]:
    if value.dtype.kind not in _SENDABLE or value.dtype.itemsize > 16:
        return {"kind": "foreign", "type": f"array of {value.dtype}"}
    start = len(blob)
    blob += value.tobytes()
    return {
        "kind": "array" if isinstance(value, np.ndarray) else "scalar",
        "dtype": value.dtype.str,
        "shape": value.shape,
        "strides": value.strides,
        "start": start,
        "writeable": value.flags.writeable,
    }


def _decode(value: Any, data: bytearray, function: Callable[[int], Any]) -> Any:
    if not isinstance(value, dict):
        return value
    items = [_decode(item, data, function) for item in value.get("items", ())]
    match value["kind"]:
        case "tuple":
            return tuple(items)
        case "list":
            return items
        case "dict":
            return dict(items)
        case "named":
            module, name, fields = value["name"]
            return _named_tuple(module, name, tuple(fields))(*items)
        case "array" | "scalar" as kind:
            array = _decode_array(value, data)
            return array if kind == "array" else array[()]
        case "dtype":
            return np.dtype(value["dtype"])
        case "type":
            return np.dtype(value["dtype"]).type
        case "remote":
            return Remote(value["number"])
        case "callable":
            return function(value["number"])
        case "generator":
            generator = np.random.default_rng(0)
            generator.bit_generator.state = _decode(value["state"], data, function)
            return generator
        case "foreign":
            return Foreign(str(value["type"]))
    raise BrokenMessageError("an unknown kind of value")


def _decode_array(value: dict[str, Any], data: bytearray) -> Any:
    """Rebuild an array in the memory layout that it had."""
    dtype, shape = np.dtype(value["dtype"]), tuple(value["shape"])
    if dtype.kind not in _SENDABLE or min(shape, default=0) < 0:
        raise BrokenMessageError("an unknown kind of array")
    count = int(np.prod(shape, dtype=np.int64))
    plain = np.frombuffer(data, dtype, count, value["start"]).reshape(shape) if count else None
    array = _laid_out(dtype, shape, tuple(value["strides"]))
    if plain is not None:
        np.copyto(array, plain)
    array.flags.writeable = value["writeable"]
    return array


def _laid_out(dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """Make an array with these strides; between its elements lies what must not be read."""
    if 0 in shape or 0 in strides:
        return np.empty(shape, dtype)
    reach = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
    first = -sum(step for step in reach if step < 0)
    length = first + sum(step for step in reach if step > 0) + dtype.itemsize
    if length > LARGEST_MESSAGE:
        return np.empty(shape, dtype)
    buffer = np.frombuffer(bytearray(b"\xff" * length), np.uint8)  # NaN, True, -1
    return np.ndarray(shape, dtype, buffer, first, strides)


def _named_tuple(module: str, name: str, fields: tuple[str, ...]) -> Any:
    """The NamedTuple of this name where it is loaded; else one that looks like it."""
    known = getattr(sys.modules.get(module), name, None)
    is_it = isinstance(known, type) and issubclass(known, tuple)
    return (
        known
        if is_it and getattr(known, "_fields", None) == fields
        else _lookalike(module, name, fields)
    )


@cache
def _lookalike(module: str, name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name.rpartition(".")[2], fields, module=module)
