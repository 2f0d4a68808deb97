"""What every model can do."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from minitransformer.nn import Parameter


class Model(Protocol):
    """A model that can be trained and evaluated; a :class:`~minitransformer.nn.Module`."""

    def loss(self, batch: Any, rng: np.random.Generator | None = None) -> tuple[Any, Any]:
        """Mean loss of a batch and the cache of its backward; dropout is on with an rng."""

    def backward(self, cache: Any, dloss: float = 1.0) -> None:
        """Add the loss's gradients, times ``dloss``, to the parameters' ``grad``."""

    def zero_grad(self) -> None:
        """Set all gradients to 0."""

    def parameters(self) -> list[Parameter]:
        """All parameters, tied ones once."""

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The same with their names."""
