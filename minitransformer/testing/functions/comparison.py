"""Compare what a function does with what its reference does."""

from typing import Any

import numpy as np

from minitransformer.backend import use_backend
from minitransformer.testing.functions.base import Function, FunctionSpec
from minitransformer.testing.layouts import backwards, inside, spread, transposed
from minitransformer.testing.specs import Arguments
from minitransformer.testing.subject import TOLERANCES, LawError, cast, compare, with_arrays
from minitransformer.testing.trees import is_number, leaves, named_arrays

LAYOUTS = (np.copy, spread, transposed, backwards, inside)
"""Of arrays that may be written."""

KINDS = {"f": "floats", "i": "integers", "u": "integers", "b": "booleans"}


def equals_reference(
    spec: FunctionSpec, backend: str = "numpy", dtype: str = "float64", seed: int = 0
) -> float:
    """Return the worst error against the reference, of results and of overwritten arguments.

    A list or tuple of numbers counts as an array of them. Integers and booleans must be equal, and
    floats nearly; arrays of floats come out in the precision in which arrays of floats went in.

    Raises
    ------
    LawError
        Names the inputs, and the first wrong type or number.
    """
    function = spec.harness(spec.function)
    worst = 0.0
    for label, arguments in spec.inputs(np.random.default_rng(seed)).items():
        given = cast(arguments, dtype)
        arrays = [array for _, array in named_arrays(given, "given")]
        has_floats = any(array.dtype.kind == "f" for array in arrays)
        expected = _arrays(_outcome(spec.reference, cast(given, "float64")))
        for layout in LAYOUTS if arrays else LAYOUTS[:1]:
            try:
                with use_backend(backend):
                    outcome = _outcome(function, with_arrays(layout, given))
                if has_floats:
                    _check_precision(outcome, dtype)
                worst = max(worst, _compare(_arrays(outcome), expected, TOLERANCES[dtype]))
            except Exception as error:
                raise LawError(f"reference ({label}): {error}") from error
    return worst


def _outcome(function: Function, arguments: Arguments) -> Arguments:
    """Call the function and gather what there is afterwards."""
    return {"result": function(**arguments), **arguments}


def _arrays(outcome: Arguments) -> dict[str, Any]:
    """Everything by its path; numbers, and lists of nothing else, become arrays."""
    return {path: np.asarray(leaf) if _is_array(leaf) else leaf for path, leaf in leaves(outcome)}


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, list | tuple | np.ndarray) or is_number(leaf)


def _check_precision(outcome: Arguments, dtype: str) -> None:
    for path, array in named_arrays(outcome["result"], "result"):
        if array.dtype.kind == "f" and array.dtype != dtype:
            raise LawError(f"{path} is {array.dtype}, expected {dtype}, as the arguments are")


def _compare(got: dict[str, Any], expected: dict[str, Any], tolerance: float) -> float:
    for path in expected:
        if path not in got:
            raise LawError(f"{path} is missing")
    for path in got:
        if path not in expected:
            raise LawError(f"{path} is one too many")
    floats: dict[str, Any] = {}
    for path, want in expected.items():
        if isinstance(want, np.ndarray):
            _check_kind(path, got[path], want)
        if isinstance(want, np.ndarray) and want.dtype.kind == "f":
            floats[path] = want
        else:
            _require_equal(path, got[path], want)
    return compare({path: got[path] for path in floats}, floats, tolerance)


def _require_equal(path: str, have: Any, want: Any) -> None:
    if np.shape(have) != np.shape(want):
        raise LawError(f"{path} has shape {np.shape(have)}, expected {np.shape(want)}")
    for index in np.argwhere(np.asarray(have != want))[:1].tolist():
        where = tuple(index)
        one, other = (array[where] if where else array for array in (have, want))
        raise LawError(f"{path}{index or ''} is {one}, expected {other}")


def _check_kind(path: str, have: Any, want: Any) -> None:
    """Integers for integers, floats for floats; but a single 0 may stand for 0.0."""
    wanted = KINDS[want.dtype.kind]
    if not isinstance(have, np.ndarray):
        raise LawError(f"{path} is a {type(have).__name__}, expected {wanted}")
    got = KINDS.get(have.dtype.kind, str(have.dtype))
    may_be_either = want.size == 0 or (want.ndim == have.ndim == 0 and wanted == "floats")
    if got != wanted and not may_be_either:
        raise LawError(f"{path} is made of {got}, expected {wanted}")
