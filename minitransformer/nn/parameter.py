"""Trainable arrays, and the one flat buffer that all of a model's live in."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer import ops


class Parameter:
    """A trainable array and its gradient.

    Parameters
    ----------
    data
        Initial values, float32 or float64; kept, not copied.

    Attributes
    ----------
    data, grad : arrays of the same shape and dtype
        Backward passes add to ``grad``; :meth:`Module.zero_grad` clears it.
    frozen : bool
        Not to be trained: ``grad`` is empty then, and no optimizer knows of it.
    """

    def __init__(self, data: np.ndarray) -> None:
        self.data = data
        self.grad = np.zeros_like(data)
        self.frozen = False
        self.flat: FlatParameters | None = None

    def add_gradient(self, gradient: np.ndarray) -> None:
        """Add to ``grad``; a frozen parameter has none."""
        if not self.frozen:
            ops.accumulate(self.grad, gradient)

    def freeze(self) -> None:
        """Keep the values as they are from now on, without the memory for learning."""
        self.data = self.data.copy()  # a view would keep the whole buffer of the others alive
        self.grad = np.empty(0, self.dtype)
        self.frozen = True
        self.flat = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


@dataclass(frozen=True, eq=False)
class FlatParameters:
    """Parameters laid end to end, matrices first.

    A gradient norm, an optimizer step, an all-reduce and a copy to a device are each one call on
    ``data`` or ``grad``, and weight decay is a slice: ``data[:decayed]`` holds the matrices.
    """

    parameters: tuple[Parameter, ...]
    data: np.ndarray  # (N,)
    grad: np.ndarray  # (N,)
    decayed: int


def flatten_parameters(parameters: Iterable[Parameter]) -> FlatParameters:
    """Move parameters into one flat buffer; their data and grad become views of it.

    Parameters that already make up a whole buffer keep it. A parameter given twice counts once,
    a frozen one not at all.

    Raises
    ------
    ValueError
        If there are no parameters to train or they differ in dtype.
    """
    unique = [parameter for parameter in dict.fromkeys(parameters) if not parameter.frozen]
    ordered = tuple(sorted(unique, key=lambda parameter: parameter.data.ndim < 2))
    if not ordered:
        raise ValueError(
            "flatten_parameters: got no parameters, expected one or more that are not frozen"
        )
    dtypes = {parameter.dtype for parameter in ordered}
    if len(dtypes) > 1:
        raise ValueError(f"flatten_parameters: parameters are {dtypes}, expected one dtype")
    flat = ordered[0].flat
    if flat is not None and flat.parameters == ordered and all(p.flat is flat for p in ordered):
        return flat
    flat = FlatParameters(
        ordered,
        data=np.concatenate([parameter.data.ravel() for parameter in ordered]),
        grad=np.concatenate([parameter.grad.ravel() for parameter in ordered]),
        decayed=sum(parameter.size for parameter in ordered if parameter.data.ndim >= 2),
    )
    start = 0
    for parameter in ordered:
        part = slice(start, start + parameter.size)
        parameter.data = flat.data[part].reshape(parameter.shape)
        parameter.grad = flat.grad[part].reshape(parameter.shape)
        parameter.flat = flat
        start = part.stop
    return flat
