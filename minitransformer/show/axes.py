"""Names of axes: the shape letters of annotations, and for what is not annotated, of sizes."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

ORDER = ("B", "H", "Hk", "T", "S", "C", "D", "Dv", "V", "F", "M", "K", "N", "I", "O")
_LEADING = {0: (), 1: ("T",), 2: ("B", "T"), 3: ("B", "H", "T")}


def annotated_axes(function: Callable[..., Any]) -> dict[str, str]:
    """Axes by name: of the cache that a function returns, then of its own parameters.

    An argument keeps the axes of its annotation, even if the cache has a field of its name.
    """
    signature = inspect.signature(function)
    axes: dict[str, str] = {}
    for each in get_args(signature.return_annotation):
        axes |= _commented_axes(each)
    for name, parameter in signature.parameters.items():
        for each in (parameter.annotation, *get_args(parameter.annotation)):
            axes |= _commented_axes(each)
            if getattr(each, "dim_str", "...") != "...":  # which says nothing about axes
                axes[name] = each.dim_str
    return axes


def _commented_axes(cache: Any) -> dict[str, str]:
    """Axes in the comments beside the fields of a cache: ``probs: ndarray  # (B, H, T, S)``."""
    if not hasattr(cache, "_fields"):
        return {}
    try:
        source = inspect.getsource(cache)
    except (OSError, TypeError):  # of a class in a notebook cell, on some Pythons
        return {}
    found = re.findall(r"^\s+(\w+):.*#\s*\(([^)]*)\)", source, re.MULTILINE)
    return {name: letters.replace(",", " ").replace("...", "*leading") for name, letters in found}


def letters(specification: str, ndim: int) -> tuple[str, ...] | None:
    """Match a specification such as ``"*leading C"`` with a number of axes; None if it cannot be.

    Leading axes are by convention T, B T, or B H T.
    """
    names = specification.split()
    variadic = [name for name in names if name.startswith("*") or name == "..."]
    if not variadic:
        return tuple(names) if len(names) == ndim else None
    rest = ndim - len(names) + 1
    if rest not in _LEADING:
        return None
    at = names.index(variadic[0])
    return (*names[:at], *_LEADING[rest], *names[at + 1 :])


def name_axes(
    name: str, shape: tuple[int, ...], annotated: Mapping[str, str], sizes: Mapping[str, int]
) -> tuple[str, ...]:
    """Letters of an array's axes.

    Parameters
    ----------
    name
        Of the array. ``dq`` has the axes of ``q``.
    shape
        Its shape.
    annotated
        Axes of names that are annotated.
    sizes
        Length of each axis by letter. An axis without annotation gets the first unused letter
        of its length; without any, its length.
    """
    for known in (name, name.removeprefix("d")):
        found = letters(annotated.get(known, ""), len(shape)) or ()
        fits = all(sizes.get(a, n) == n for a, n in zip(found, shape, strict=False))
        if found and fits and all(map(str.isidentifier, found)):
            return tuple("·" if a == "_" else a for a in found)
    unused = [letter for letter in ORDER if letter in sizes]
    named = []
    for length in shape:
        letter = next((each for each in unused if sizes[each] == length and length > 1), None)
        if letter:
            unused.remove(letter)
        named.append(letter or str(length))
    return tuple(named)


def sizes_of(values: Mapping[str, Any], annotated: Mapping[str, str]) -> dict[str, int]:
    """Length of each axis by letter, from annotated arrays and from numbers called B, T, Dv."""
    sizes: dict[str, int] = {}
    for name, value in values.items():
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple) and name in annotated:
            found = letters(annotated[name], len(shape)) or ()
            for letter, length in zip(found, shape, strict=False):
                if letter in ORDER:
                    sizes.setdefault(letter, length)
        elif name in ORDER and isinstance(value, int):
            sizes.setdefault(name, value)
    return sizes
