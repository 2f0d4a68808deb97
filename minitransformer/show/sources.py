"""Source, from the library itself: what is shown is what runs."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from minitransformer import ops
from minitransformer.errors import InputError
from minitransformer.show import html

Pair = tuple[Any, Any]
"""Forward and backward."""


def op_pair(name: str) -> Pair:
    """Forward and backward of an op.

    Raises
    ------
    InputError
        If there is no such pair.
    """
    names = [each.removesuffix("_backward") for each in ops.__all__ if each.endswith("_backward")]
    if name not in names:
        raise InputError(f"there is no op {name!r}; choose one of {', '.join(names)}")
    return getattr(ops, f"{name}_forward"), getattr(ops, f"{name}_backward")


def pair(name: str) -> html.Picture:
    """Show the forward and the backward of an op next to each other, with the cache between them.

    Parameters
    ----------
    name
        Of the op, such as ``"attention"``.

    Raises
    ------
    InputError
        If there is no such op.
    """
    forward, backward = (inspect.unwrap(each.impls["numpy"]) for each in op_pair(name))
    cache = source(inspect.signature(backward).parameters["cache"].annotation)
    above, below = source(forward), source(backward)
    page = html.code(cache, html.NEUTRAL) + html.columns(
        html.code(above, html.FORWARD), html.code(below, html.BACKWARD)
    )
    return html.Picture(page, "\n\n".join((cache, above, below)))


def source(thing: Callable[..., Any]) -> str:
    """Source of a function or class, without docstring and decorators."""
    text = textwrap.dedent(inspect.getsource(thing))
    docstring = inspect.cleandoc(thing.__doc__ or "")
    lines = text.splitlines()
    while lines[0].startswith("@"):
        del lines[0]
    if docstring:
        first = next(i for i, line in enumerate(lines) if line.strip().startswith('"""'))
        last = next(
            i
            for i in range(first, len(lines))
            if lines[i].rstrip().endswith('"""') and (i > first or lines[i].count('"""') == 2)
        )
        del lines[first : last + 1]
    return "\n".join(lines).strip("\n")
