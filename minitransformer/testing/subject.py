"""What is on trial: one op, as one backend does it, in one precision."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer.backend import use_backend
from minitransformer.testing.specs import Arguments, OpSpec
from minitransformer.testing.trees import as_parts

TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
DROWNED = 1e-2


class LawError(AssertionError):
    """A law is broken; the message says how."""


@dataclass(frozen=True)
class Subject:
    """One op, as one backend does it, in one precision.

    Attributes
    ----------
    spec : OpSpec
        Which op.
    backend : str
        Whose implementation; what it lacks falls back as in ordinary use.
    dtype : str
        ``"float64"`` or ``"float32"``.
    """

    spec: OpSpec
    backend: str = "numpy"
    dtype: str = "float64"

    @property
    def tolerance(self) -> float:
        """Largest error that rounding in this precision excuses."""
        return TOLERANCES[self.dtype]

    @property
    def textbook(self) -> "Subject":
        """The same op as everything is measured against."""
        return Subject(self.spec)

    def forward(self, arguments: Arguments) -> tuple[Any, Any]:
        """Call forward on these very arrays."""
        with use_backend(self.backend):
            y, cache = self.spec.forward(**arguments)
        return y, cache

    def backward(self, dy: Any, cache: Any) -> Any:
        """Call backward on these very arrays."""
        with use_backend(self.backend):
            return self.spec.backward(dy, cache)

    def gradients(self, dy: Any, cache: Any) -> dict[str, Any]:
        """Call backward and name the gradients that are there."""
        named = zip(self.spec.wrt, self.backward(dy, cache), strict=True)
        return {f"d{name}": gradient for name, gradient in named if gradient is not None}

    def results(self, arguments: Arguments, dy: Any) -> dict[str, Any]:
        """Run forward and backward and name all that comes out."""
        return dict(self.each_result(arguments, dy))

    def each_result(self, arguments: Arguments, dy: Any) -> Iterator[tuple[str, Any]]:
        """Run forward, yield what comes out by name, and then do so with backward."""
        y, cache = self.forward(arguments)
        parts = as_parts(y)
        names = ["y"] if len(parts) == 1 else [f"y[{i}]" for i in range(len(parts))]
        yield from zip(names, parts, strict=True)
        yield from self.gradients(dy, cache).items()


def with_arrays(change: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to every array in arguments, a result, a cache or a nest of them."""
    if isinstance(tree, np.ndarray | np.generic):
        return change(tree)
    if isinstance(tree, dict):
        return {name: with_arrays(change, value) for name, value in tree.items()}
    if isinstance(tree, tuple | list):
        items = [with_arrays(change, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return tree


def cast(tree: Any, dtype: str) -> Any:
    """Copy all floats into one precision; the rest stays."""
    return with_arrays(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a.copy(), tree)


def compare(got: dict[str, Any], expected: dict[str, Any], tolerance: float) -> float:
    """Return the worst error of named arrays; raise if shapes differ or it is too large.

    An error counts relative to the largest entry of its array. Where this is less than a
    hundredth of the largest of all the results, rounding drowns it, and it counts from there.
    """
    if list(got) != list(expected):
        raise LawError(f"the results are {', '.join(got)}, expected {', '.join(expected)}")
    floor = DROWNED * max((_largest(array) for array in expected.values()), default=0.0)
    worst = 0.0
    for name in expected:
        have, want = np.asarray(got[name]), np.asarray(expected[name])
        if have.shape != want.shape:
            raise LawError(f"{name} has shape {have.shape}, expected {want.shape}")
        errors = _errors(have, want, floor)
        worst = max(worst, float(errors.max(initial=0.0)))
        if not worst <= tolerance:
            where = np.unravel_index(int(errors.argmax()), errors.shape)
            index = [int(i) for i in where] or ""
            raise LawError(
                f"{name}{index} is {have[where]:.9g}, expected {want[where]:.9g} (relative error "
                f"{errors[where]:.1e}, {tolerance:.0e} is allowed)"
            )
    return worst


def _largest(array: Any) -> float:
    sizes = np.abs(np.asarray(array, np.float64))
    return float(sizes.max(initial=0.0, where=np.isfinite(sizes)))


def _errors(have: Any, want: Any, floor: float) -> Any:
    """Error of each entry relative to its array; equal infinities are right, NaN never is."""
    scale = max(_largest(want), floor) or 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.abs(have.astype(np.float64) - want) / scale
    return np.where(have == want, 0.0, np.nan_to_num(errors, nan=np.inf))
