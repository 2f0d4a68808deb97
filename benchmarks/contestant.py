"""What a contestant is, and how it is named before it is built."""

import importlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from benchmarks.evidence import Evidence


class Contestant(Protocol):
    """A program for one task. It is built in a process of its own, where it sleeps in between."""

    def validate(self) -> Evidence:
        """Compute what can be compared with the reference."""

    def run(self, steps: int) -> list[float]:
        """Do the task so many times; the seconds that each took."""


@dataclass(frozen=True)
class Entry:
    """How to build a contestant."""

    name: str
    """As the tables call it."""
    factory: str
    """Whom to call, ``"package.module:function"``; imported only in the contestant's process."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its keyword arguments, as JSON can carry them."""
    needs: tuple[str, ...] = ()
    """Packages that must be installed."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of its process."""
    is_limit: bool = False
    """It shows what the machine allows, and has no results to validate."""

    def missing(self) -> list[str]:
        """Needed packages that are not installed."""
        return [package for package in self.needs if not importlib.util.find_spec(package)]


def build(factory: str, settings: Mapping[str, Any]) -> Contestant:
    """Build a contestant, here."""
    module, _, function = factory.partition(":")
    return cast(Contestant, getattr(importlib.import_module(module), function)(**settings))


def timed(step: Callable[[], object], steps: int) -> list[float]:
    """Seconds that each of several calls takes."""
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return seconds
