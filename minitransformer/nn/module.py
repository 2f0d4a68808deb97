"""The tree of parts that a model is made of."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from minitransformer import ops, placement
from minitransformer.errors import InputError
from minitransformer.nn.parameter import Parameter, flatten_parameters


class Module:
    """A part with parameters that obeys the contract of the ops.

    ``y, cache = module(x)`` and ``dx = module.backward(dy, cache)``; gradients of parameters are
    added to ``parameter.grad``. A module keeps nothing between the two: everything backward needs
    is in the cache, a NamedTuple with one entry per part, under the part's own name.

    Parts are the attributes that are a :class:`Parameter`, a Module, or a list or dict of Modules.
    """

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Dotted names and parameters, in order of definition; a tied one under its first name."""
        seen: set[Parameter] = set()
        for name, parameter in self._walk(""):
            if parameter not in seen:
                seen.add(parameter)
                yield name, parameter

    def _walk(self, prefix: str) -> Iterator[tuple[str, Parameter]]:
        for name, part in self._parts():
            if isinstance(part, Parameter):
                yield prefix + name, part
            else:
                yield from part._walk(f"{prefix}{name}.")

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """Dotted names and all modules below this one, a whole before its parts."""
        for name, part in self._parts():
            if isinstance(part, Module):
                yield name, part
                yield from ((f"{name}.{below}", module) for below, module in part.named_modules())

    def _parts(self) -> Iterator[tuple[str, "Parameter | Module"]]:
        for name, value in vars(self).items():
            if isinstance(value, Parameter | Module):
                yield name, value
            elif isinstance(value, list | dict):
                keyed = value.items() if isinstance(value, dict) else enumerate(value)
                yield from ((f"{name}.{key}", part) for key, part in keyed if _is_part(part))

    def parameters(self) -> list[Parameter]:
        """All parameters, tied ones once."""
        return [parameter for _, parameter in self.named_parameters()]

    def parameter_count(self) -> int:
        """Number of values in all parameters."""
        return sum(parameter.size for parameter in self.parameters())

    def trainable_count(self) -> int:
        """Number of values in those that are not frozen."""
        return sum(parameter.size for parameter in self.parameters() if not parameter.frozen)

    def learns(self) -> bool:
        """Whether any parameter is not frozen."""
        return any(not parameter.frozen for _, parameter in self._walk(""))

    def zero_grad(self) -> None:
        """Set all gradients to 0."""
        parameters = self.parameters()
        for grad in {id(p.flat): p.flat.grad for p in parameters if p.flat}.values():
            ops.zero_(grad)
        for parameter in parameters:
            if parameter.flat is None and not parameter.frozen:
                ops.zero_(parameter.grad)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters by name."""
        return {name: placement.host_copy(p.data) for name, p in self.named_parameters()}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Overwrite all parameters; every array is used once and has the right shape.

        Raises
        ------
        InputError
            Lists every missing, unknown and ill-shaped array; nothing is changed then.
        """
        own = dict(self.named_parameters())
        problems = [f"missing: {name} {own[name].shape}" for name in own if name not in arrays]
        problems += [f"unknown: {name} {arrays[name].shape}" for name in arrays if name not in own]
        problems += [
            f"shape: {name} is {arrays[name].shape}, expected {parameter.shape}"
            for name, parameter in own.items()
            if name in arrays and arrays[name].shape != parameter.shape
        ]
        if problems:
            raise InputError(
                "these arrays are not of this model; load them into the model that they came from\n"
                + "\n".join(f"  {problem}" for problem in problems)
            )
        for name, parameter in own.items():
            placement.overwrite(parameter.data, arrays[name])

    def to(self, place: str, storage: str | None = None) -> Self:
        """Move all parameters and gradients to another place, where they stay.

        Parameters
        ----------
        place
            ``"cuda"``: the device of the cuda backend, which must be selected before the model is
            called; ``"cpu"``: back to the host.
        storage
            ``"float16"`` or ``"bfloat16"``, for generation on a device: it keeps matrices, and the
            keys and values that :meth:`new_kv` makes room for, in half the bytes, rounded. All
            else stays float32, and so does every sum. All parameters are frozen: such a model
            reads, and adapters (see :func:`nn.add_lora`) may learn beside it.

        Returns
        -------
        The model itself.

        Raises
        ------
        TypeError
            If parameters are float64: the device computes in float32.
        InputError
            If there is no device, or storage is none; says what to do.
        """
        if storage is not None:
            return self._stored(place, storage)
        away = [p for p in self.parameters() if not placement.is_at(p.data, place)]
        if any(not parameter.frozen for parameter in away):
            flatten_parameters(self.parameters()).to(place)
        for parameter in away:
            if parameter.frozen:
                parameter.data = placement.move(parameter.data, place)
        return self

    def _stored(self, place: str, storage: str) -> Self:
        moved = {}
        for parameter in self.parameters():
            values, is_matrix = placement.to_host(parameter.data), len(parameter.shape) >= 2
            moved[parameter] = placement.move(values, place, storage if is_matrix else None)
        for parameter, data in moved.items():
            parameter.freeze()
            parameter.data = data
        return self


def _is_part(value: Any) -> bool:
    return isinstance(value, Parameter | Module)


def backward_through(parts: Sequence[Any], caches: Sequence[Any], dy: np.ndarray) -> Any:
    """Lead a gradient back through parts that ran one after another.

    It stops at the lowest part that learns: nothing below has a use for it.

    Parameters
    ----------
    parts, caches
        In the order of the forward pass.
    dy
        Gradient of what the last part returned.

    Returns
    -------
    dx
        Gradient of what the first part was given, or of where it stopped.
    """
    lowest = next((i for i, part in enumerate(parts) if part.learns()), len(parts))
    for part, cache in zip(reversed(parts[lowest:]), reversed(caches[lowest:]), strict=True):
        dy = part.backward(dy, cache)
    return dy
