"""Compare what functions are given and what they return, whatever way it is nested."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np


def as_parts(y: Any) -> tuple[Any, ...]:
    """See any result, an array, a scalar or a tuple of arrays, as a tuple."""
    return y if isinstance(y, tuple) else (y,)


def map_parts(function: Callable[[Any], Any], y: Any) -> Any:
    """Apply a function to a result, or to each array of a tuple of them."""
    return tuple(map(function, y)) if isinstance(y, tuple) else function(y)


def named_arrays(tree: Any, label: str) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Walk through tuples, lists and dicts and yield every array with its path (cache.probs)."""
    if isinstance(tree, np.ndarray):
        yield label, tree
    elif isinstance(tree, tuple | list):
        fields = getattr(tree, "_fields", None)
        for number, item in enumerate(tree):
            path = f"{label}.{fields[number]}" if fields else f"{label}[{number}]"
            yield from named_arrays(item, path)
    elif isinstance(tree, dict):
        for key, item in tree.items():
            yield from named_arrays(item, f"{label}[{key!r}]")


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through tuples, lists and dicts; a list or tuple of nothing but numbers is a leaf."""
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from leaves(item, f"{path}[{key!r}]" if path else key)
    elif isinstance(tree, list | tuple) and not all(map(is_number, tree)):
        for number, item in enumerate(tree):
            yield from leaves(item, f"{path}[{number}]")
    else:
        yield path, tree


def is_number(value: Any) -> bool:
    """Whether something is a number of Python's or NumPy's, or a truth value."""
    return isinstance(value, bool | int | float | np.generic)


def changed_arrays(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """List the paths of all arrays that are no longer what they were."""
    paths: list[str] = []
    for name in before:
        old, new = dict(named_arrays(before[name], name)), dict(named_arrays(after[name], name))
        paths += [path for path in old if path not in new or not _equal(old[path], new[path])]
    return paths


def same_numbers(first: Any, second: Any) -> bool:
    """Whether two results of one function are the same to the last bit."""
    ours, theirs = _items(first), _items(second)
    return len(ours) == len(theirs) and all(map(_equal, ours, theirs))


def _items(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def _equal(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f")
