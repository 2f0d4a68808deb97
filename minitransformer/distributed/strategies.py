"""What the ranks share after each backward pass: gradients, or also the optimizer's work."""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from minitransformer import ops
from minitransformer.distributed.communicator import Communicator
from minitransformer.nn import FlatParameters
from minitransformer.optim import clip_grad_norm


class DataParallel(Protocol):
    """How ranks that hold the same model take one step together."""

    comm: Communicator
    owned: slice
    """The part of the flat buffer that this rank's optimizer updates."""

    def reduce(self, flat: FlatParameters) -> None:
        """Sum the ranks' gradients, at least where this rank updates."""

    def clip(self, flat: FlatParameters, max_norm: float) -> float:
        """Shorten the summed gradient as `optim.clip_grad_norm` does; returns its length before."""

    def spread(self, flat: FlatParameters) -> None:
        """Give every rank all updated parameters."""

    def gather(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What all ranks' optimizers remember, as one optimizer would."""


class Replicated:
    """Every rank sums all gradients and updates all parameters: one all-reduce.

    Parameters
    ----------
    comm
        The ranks.
    size
        Number of values N in the flat buffer.
    """

    def __init__(self, comm: Communicator, size: int) -> None:
        self.comm = comm
        self.owned = slice(0, size)

    def reduce(self, flat: FlatParameters) -> None:
        self.comm.all_reduce(flat.grad)

    def clip(self, flat: FlatParameters, max_norm: float) -> float:
        return clip_grad_norm([flat.grad], max_norm)

    def spread(self, flat: FlatParameters) -> None:
        """All ranks made the same update already."""

    def gather(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(state)


class Sharded:
    """Every rank updates one part, and remembers the moments of that part only (ZeRO, stage 1).

    Parameters are those of :class:`Replicated`.

    Notes
    -----
    An all-reduce is a reduce-scatter followed by an all-gather. AdamW fits between the two: the
    same bytes travel, and each of n ranks keeps 1/n of the moments.

    References
    ----------
    Rajbhandari et al. (2020), ZeRO: Memory Optimizations Toward Training Trillion Parameter
    Models, arXiv:1910.02054.
    """

    def __init__(self, comm: Communicator, size: int) -> None:
        self.comm = comm
        self.borders = np.linspace(0, size, comm.size + 1).astype(int).tolist()
        self.owned = slice(self.borders[comm.rank], self.borders[comm.rank + 1])

    def reduce(self, flat: FlatParameters) -> None:
        self.comm.reduce_scatter(flat.grad, self.borders)

    def clip(self, flat: FlatParameters, max_norm: float) -> float:
        squares = np.array([ops.sum_of_squares(flat.grad[self.owned])])
        self.comm.all_reduce(squares)
        norm = math.sqrt(squares[0])
        if max_norm < norm < math.inf:
            ops.scale_(flat.grad[self.owned], max_norm / (norm + 1e-6))
        return norm

    def spread(self, flat: FlatParameters) -> None:
        self.comm.all_gather(flat.data, self.borders)

    def gather(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: self._whole(array) for name, array in state.items()}

    def _whole(self, array: np.ndarray) -> np.ndarray:
        if array.ndim == 0:  # the number of steps
            return array
        whole = np.empty(self.borders[-1], array.dtype)
        whole[self.owned] = array
        self.comm.all_gather(whole, self.borders)
        return whole
