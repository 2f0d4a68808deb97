"""Functions here that run there: the student's functions as the laws see them."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minitransformer.exercises.grader.child.changes import write_back
from minitransformer.exercises.grader.child.values import Foreign, Remote
from minitransformer.exercises.grader.process import StudentProcess
from minitransformer.exercises.source import plain
from minitransformer.testing.subject import LawError


class StudentCache(NamedTuple):
    """A cache that stays in the student's process; only what identifies its content is here."""

    number: int
    digest: np.ndarray  # changes when the cache is overwritten


class FormError(LawError):
    """What came back has the wrong form; with the name of the mistake."""

    def __init__(self, name: str, sentence: str) -> None:
        self.name = name
        super().__init__(sentence)


def proxy(
    process: StudentProcess,
    textbook: Callable[..., Any],
    keeps_cache: str = "",
    may_be_none: bool = False,
) -> Callable[..., Any]:
    """Make a function with the textbook's parameters that calls the student's in their process.

    Parameters
    ----------
    process
        Where it runs.
    textbook
        The library's function of the same name.
    keeps_cache
        ``"always"`` if the result is a y and a cache that stays there, ``"if there"`` if the
        cache may be missing.
    may_be_none
        Whether the function may return None, as those do that overwrite their arguments.
    """

    @functools.wraps(plain(textbook))
    def call(*args: Any, **kwargs: Any) -> Any:
        ordered, named = _in_order(textbook, args, kwargs)
        sent = [Remote(a.number) if isinstance(a, StudentCache) else a for a in ordered]
        reply = process.request(
            "call", name=textbook.__name__, args=sent, kwargs=named, keeps_cache=keeps_cache
        )
        write_back(reply["changed"], {"args": tuple(ordered), "kwargs": named})
        for cache in ordered:
            if isinstance(cache, StudentCache):
                np.copyto(cache.digest, reply["digest"])
        result = _plain(textbook.__name__, reply["result"], may_be_none)
        return (result, _cache(textbook.__name__, reply)) if keeps_cache else result

    return call


def _in_order(
    textbook: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """All arguments up to the last one given, by position: the student may name them otherwise."""
    bound = inspect.signature(plain(textbook)).bind(*args, **kwargs)
    given = list(bound.arguments)
    bound.apply_defaults()
    named = {name: value for name, value in bound.kwargs.items() if name in given}
    positional = [name for name in bound.arguments if name not in bound.kwargs]
    last = max((positional.index(name) for name in given if name in positional), default=-1)
    return list(bound.args[: last + 1]), named


def _plain(name: str, result: Any, may_be_none: bool) -> Any:
    if result is None and not may_be_none:
        raise FormError("returns_nothing", f"{name} returns None: is the return statement missing?")
    foreign = next((item for item in _leaves(result) if isinstance(item, Foreign)), None)
    if foreign is not None:
        raise FormError(
            "wrong_type", f"{name} returns an object of type {foreign.type_name}, expected arrays"
        )
    return np.float64(result) if type(result) is float else result


def _leaves(tree: Any) -> list[Any]:
    return [leaf for item in tree for leaf in _leaves(item)] if _is_nest(tree) else [tree]


def _is_nest(tree: Any) -> bool:
    return isinstance(tree, tuple | list)


def _cache(name: str, reply: dict[str, Any]) -> StudentCache:
    if reply.get("cache") is None:
        raise FormError(
            "cache_not_returned",
            f"{name} returns one thing, expected two: (y, cache), the result and whatever backward "
            "needs",
        )
    return StudentCache(reply["cache"]["number"], np.array(reply["cache"]["digest"]))
