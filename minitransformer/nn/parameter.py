"""Trainable arrays, and the one flat buffer that all of a model's live in."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minitransformer import ops, placement


class Parameter:
    """A trainable array and its gradient.

    Parameters
    ----------
    data
        Initial values, float32 or float64; kept, not copied.

    Attributes
    ----------
    data, grad : arrays of the same shape and dtype
        Backward passes add to ``grad``; :meth:`Module.zero_grad` clears it. It is made when it is
        first asked for: a model that never learns needs half the memory.
    frozen : bool
        Not to be trained: ``grad`` is empty then, and no optimizer knows of it.
    """

    def __init__(self, data: np.ndarray) -> None:
        self.data = data
        self.frozen = False
        self.flat: FlatParameters | None = None
        self._grad: np.ndarray | None = None

    @property
    def grad(self) -> np.ndarray:
        if self._grad is None:
            flat = self.flat
            self._grad = flat.grad_of(self) if flat else placement.zeros_like(self.data)
        return self._grad

    @grad.setter
    def grad(self, grad: np.ndarray) -> None:
        self._grad = grad

    def add_gradient(self, gradient: np.ndarray) -> None:
        """Add to ``grad``; a frozen parameter has none."""
        if not self.frozen:
            ops.accumulate(self.grad, gradient)

    def move(self, flat: "FlatParameters", data: np.ndarray) -> None:
        """Live in a flat buffer, of which ``data`` is a view; a gradient comes along."""
        exists = self._grad is not None or (self.flat is not None and self.flat.has_grad)
        grad = self.grad if exists else None
        self.settle(flat, data)
        if grad is not None:
            placement.overwrite(self.grad, placement.to_host(grad))

    def settle(self, flat: "FlatParameters", data: np.ndarray) -> None:
        """Live in a flat buffer that holds the gradient too, if there is one."""
        self.data, self.flat, self._grad = data, flat, None

    def freeze(self) -> None:
        """Keep the values as they are from now on, without the memory for learning."""
        # a view would keep the whole buffer of the others alive
        self.data = placement.placed_like(placement.host_copy(self.data), self.data)
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
    decayed: int

    @cached_property
    def grad(self) -> np.ndarray:
        """All gradients (N,), made when the first is asked for."""
        grad: np.ndarray = placement.zeros_like(self.data)
        return grad

    @property
    def has_grad(self) -> bool:
        """Whether a gradient was asked for yet."""
        return "grad" in vars(self)

    @cached_property
    def places(self) -> dict[Parameter, slice]:
        """Where each parameter lies."""
        ends = itertools.accumulate(parameter.size for parameter in self.parameters)
        return {p: slice(end - p.size, end) for p, end in zip(self.parameters, ends, strict=True)}

    def grad_of(self, parameter: Parameter) -> np.ndarray:
        """The gradient of one of the parameters, as a view."""
        return self._view(self.grad, parameter)

    def _view(self, buffer: np.ndarray, parameter: Parameter) -> np.ndarray:
        view: np.ndarray = placement.part(buffer, self.places[parameter])
        return view.reshape(parameter.shape)

    def settle(self) -> None:
        """Make the parameters views of these buffers."""
        for parameter in self.parameters:
            parameter.settle(self, self._view(self.data, parameter))

    def to(self, place: str) -> None:
        """Move all parameters, and their gradients if there are any, in one copy each."""
        moved = FlatParameters(self.parameters, placement.move(self.data, place), self.decayed)
        if self.has_grad:
            vars(moved)["grad"] = placement.move(self.grad, place)
        moved.settle()


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
    ordered = tuple(sorted(unique, key=lambda parameter: len(parameter.shape) < 2))
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
    values = [placement.to_host(parameter.data).ravel() for parameter in ordered]
    flat = FlatParameters(
        ordered,
        data=placement.placed_like(np.concatenate(values), ordered[0].data),
        decayed=sum(parameter.size for parameter in ordered if len(parameter.shape) >= 2),
    )
    for parameter, place in flat.places.items():
        parameter.move(flat, placement.part(flat.data, place).reshape(parameter.shape))
    return flat
