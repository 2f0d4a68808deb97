"""A forward and its backward as one thing that can be run."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """A forward and its backward, with the names of the arguments that have a gradient."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    slots: tuple[str, ...]

    def call(self, arguments: Arguments) -> tuple[Any, Any]:
        """Run forward on copies of its arguments, by keyword or by position as it demands."""
        return self.call_on(copy.deepcopy(arguments))

    def call_on(self, arguments: Arguments) -> tuple[Any, Any]:
        """Run forward on these very arrays."""
        bound = inspect.BoundArguments(inspect.signature(self.forward), arguments)
        y, cache = self.forward(*bound.args, **bound.kwargs)
        return y, cache

    def align(self, result: Any, arguments: Arguments) -> list[tuple[str, Any]] | None:
        """Give each gradient its argument's name; None if their number is wrong.

        Optional arguments that have a gradient but are absent hold a place with None. Those that
        gradcheck was not told about (`wrt` left out) are recognised by their None.
        """
        gradients = list(result) if isinstance(result, tuple | list) else [result]
        slots = list(self.slots)
        if len(gradients) > len(slots):
            gradients = [gradient for gradient in gradients if gradient is not None]
            slots = [name for name in slots if arguments.get(name) is not None]
        return list(zip(slots, gradients, strict=True)) if len(slots) == len(gradients) else None

    def gradients(self, arguments: Arguments, dy: Any) -> dict[str, Any]:
        """Run forward and backward and name the gradients; empty if backward does not cope."""
        _, cache = self.call(arguments)
        try:
            return dict(self.align(self.backward(dy, cache), arguments) or [])
        except Exception:
            return {}
