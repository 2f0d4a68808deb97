"""What a function did to its arguments on one side, done to theirs on the other."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def fingerprints(tree: Any) -> dict[str, Any]:
    """What everything is like that can be overwritten, by its path in nested arguments."""
    return {path: _fingerprint(item) for path, item in _mutable(tree, "")}


def changes(tree: Any, before: dict[str, Any]) -> dict[str, Any]:
    """What is no longer as it was, by path."""
    found = dict(_mutable(tree, ""))
    return {path: item for path, item in found.items() if before.get(path) != _fingerprint(item)}


def write_back(changed: dict[str, Any], tree: Any) -> None:
    """Overwrite the same things in a copy of the arguments."""
    for path, value in changed.items():
        target = tree
        for step in path.split("/")[1:]:
            target = target[step] if isinstance(target, dict) else target[int(step)]
        if isinstance(target, list):
            target[:] = value
        elif isinstance(target, np.random.Generator):
            target.bit_generator.state = value.bit_generator.state
        elif target.flags.writeable:
            np.copyto(target, value)


def _fingerprint(item: Any) -> Any:
    if isinstance(item, np.ndarray):
        return item.tobytes()
    if isinstance(item, np.random.Generator):
        return str(item.bit_generator.state)
    return repr(item)


def _mutable(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, np.ndarray | np.random.Generator):
        yield path, tree
    elif isinstance(tree, dict):
        for key, item in tree.items():
            if isinstance(key, str) and "/" not in key:
                yield from _mutable(item, f"{path}/{key}")
    elif isinstance(tree, list) and not any(map(_is_nest, tree)):
        yield path, tree
    elif isinstance(tree, tuple | list):
        for number, item in enumerate(tree):
            yield from _mutable(item, f"{path}/{number}")


def _is_nest(item: Any) -> bool:
    return isinstance(item, np.ndarray | np.random.Generator | list | tuple | dict)
