"""Run all laws on an op, a function or a whole model, and sum up in a row of a table."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minitransformer.backend import use_backend
from minitransformer.testing.functions import FUNCTIONS, FunctionSpec, equals_reference
from minitransformer.testing.laws import LAWS, Law, adjoint, reference
from minitransformer.testing.models import MODELS, model_gradient
from minitransformer.testing.specs import SPECS, Arguments, OpSpec
from minitransformer.testing.subject import TOLERANCES, LawError, Subject


@dataclass(frozen=True)
class Row:
    """The verdict on one op, function or model.

    Attributes
    ----------
    name, backend, dtype : str
        What was tried.
    error : float
        Worst relative error of all laws; NaN if one was broken.
    verdict : str
        Empty if all laws hold; otherwise which one does not, for which inputs, and how.
    """

    name: str
    backend: str
    dtype: str
    error: float
    verdict: str = ""

    @property
    def passed(self) -> bool:
        """Whether all laws hold."""
        return not self.verdict


def trials(subject: Subject, seed: int = 0) -> Iterator[tuple[Law, str, Arguments]]:
    """List what a proof consists of: each law with each of the inputs, by label."""
    spec = subject.spec
    for law in LAWS:
        if law is adjoint and subject.dtype != "float64":
            continue  # with fewer digits finite differences prove nothing
        for label, arguments in spec.cases(seed).items():
            if law is not adjoint or label not in spec.kinks:
                yield law, label, arguments
    for lengths, dims in spec.other_dims().items():
        for label, arguments in spec.cases(seed, dims).items():
            yield reference, f"{label}, {lengths}", arguments


def prove(subject: Subject, seed: int = 0) -> float:
    """Return the worst relative error of all laws.

    Raises
    ------
    LawError
        Names the first law that is broken, and the inputs.
    """
    worst = 0.0
    for law, label, arguments in trials(subject, seed):
        try:
            worst = max(worst, law(subject, arguments, np.random.default_rng(seed)))
        except LawError as error:
            raise LawError(f"{law.__name__} ({label}): {error}") from error
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise LawError(f"{law.__name__} ({label}): raised {what}") from error
    return worst


def check_op(
    spec: OpSpec,
    backend: str = "numpy",
    dtypes: Sequence[str] = tuple(TOLERANCES),
    seed: int = 0,
) -> list[Row]:
    """Try all laws on one op, in one row for each precision."""
    return [
        _row(spec.name, backend, dtype, partial(prove, Subject(spec, backend, dtype), seed))
        for dtype in dtypes
    ]


def check_function(
    spec: FunctionSpec,
    backend: str = "numpy",
    dtypes: Sequence[str] = tuple(TOLERANCES),
    seed: int = 0,
) -> list[Row]:
    """Compare one function with its reference, in one row for each precision."""
    return [
        _row(spec.name, backend, dtype, partial(equals_reference, spec, backend, dtype, seed))
        for dtype in dtypes
    ]


def check_model(model: Any, batch: Any, backend: str = "numpy", seed: int = 0) -> Row:
    """Try the adjoint law on a whole model, in float64; see :func:`model_gradient`."""
    with use_backend(backend):
        return _row(
            type(model).__name__, backend, "float64", partial(model_gradient, model, batch, seed)
        )


def checkable() -> list[str]:
    """Names of all ops, functions and models."""
    return [*SPECS, *FUNCTIONS, *MODELS]


def check_all(
    names: Collection[str] | None = None, backend: str = "numpy", seed: int = 0
) -> Iterator[Row]:
    """Check what a backend implements itself, and the gradient of every model with it.

    Parameters
    ----------
    names
        Which ops, functions and models, of :func:`checkable`; by default all.
    backend
        Whose implementations.
    seed
        Of all that is drawn.
    """
    wanted = checkable() if names is None else names
    for name, spec in SPECS.items():
        if name in wanted and backend in {*spec.forward.impls, *spec.backward.impls}:
            yield from check_op(spec, backend, seed=seed)
    for name, function in FUNCTIONS.items():
        if name in wanted and backend in getattr(function.function, "impls", ("numpy",)):
            yield from check_function(function, backend, seed=seed)
    for name, build in MODELS.items():
        if name in wanted:
            yield check_model(*build(), backend=backend, seed=seed)


def _row(name: str, backend: str, dtype: str, proof: Callable[[], float]) -> Row:
    try:
        return Row(name, backend, dtype, proof())
    except LawError as error:
        return Row(name, backend, dtype, math.nan, str(error))
