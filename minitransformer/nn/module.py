"""The tree of parts that a model is made of."""

from collections.abc import Iterator, Mapping

import numpy as np

from minitransformer import ops
from minitransformer.errors import InputError
from minitransformer.nn.parameter import Parameter


class Module:
    """A part with parameters that obeys the contract of the ops.

    ``y, cache = module(x)`` and ``dx = module.backward(dy, cache)``; gradients of parameters are
    added to ``parameter.grad``. A module keeps nothing between the two: everything backward needs
    is in the cache, a NamedTuple with one entry per part, under the part's own name.

    Parts are the attributes that are a :class:`Parameter`, a Module or a list of Modules.
    """

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Dotted names and parameters, in order of definition; a tied one under its first name."""
        seen: set[Parameter] = set()
        for name, parameter in self._walk(""):
            if parameter not in seen:
                seen.add(parameter)
                yield name, parameter

    def _walk(self, prefix: str) -> Iterator[tuple[str, Parameter]]:
        for name, part in vars(self).items():
            children = enumerate(part) if isinstance(part, list) else [(None, part)]
            for index, child in children:
                path = prefix + (name if index is None else f"{name}.{index}")
                if isinstance(child, Parameter):
                    yield path, child
                elif isinstance(child, Module):
                    yield from child._walk(f"{path}.")

    def parameters(self) -> list[Parameter]:
        """All parameters, tied ones once."""
        return [parameter for _, parameter in self.named_parameters()]

    def parameter_count(self) -> int:
        """Number of trainable values."""
        return sum(parameter.size for parameter in self.parameters())

    def zero_grad(self) -> None:
        """Set all gradients to 0."""
        for grad in {id(p.flat): p.flat.grad for p in self.parameters() if p.flat}.values():
            ops.zero_(grad)
        for parameter in self.parameters():
            if parameter.flat is None:
                ops.zero_(parameter.grad)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters by name."""
        return {name: parameter.data.copy() for name, parameter in self.named_parameters()}

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
            parameter.data[...] = arrays[name]
