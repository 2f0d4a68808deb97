"""How ranks talk: through MPI, or, where there is only one, not at all."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from minitransformer.errors import InputError

LAUNCHED = ("PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Environment variables by which mpiexec or srun tells a process that it is one of several."""


class Communicator(Protocol):
    """What data-parallel training asks of the ranks' network."""

    rank: int
    """Number of this process, from 0."""
    size: int
    """Number of processes."""

    def all_reduce(self, array: np.ndarray) -> None:
        """Replace the array, on every rank, by the sum over all ranks."""

    def reduce_scatter(self, array: np.ndarray, borders: Sequence[int]) -> None:
        """Replace rank r's part ``array[borders[r]:borders[r + 1]]`` by the sum over all ranks."""

    def all_gather(self, array: np.ndarray, borders: Sequence[int]) -> None:
        """Give every rank all ranks' parts of the array."""

    def exchange(self, value: Any) -> list[Any]:
        """Give every rank what each has to say, in the order of ranks; in JSON's types."""

    def abort(self, status: int) -> NoReturn:
        """End all ranks."""


class LocalComm:
    """A world of one: all sums are made already."""

    rank = 0
    size = 1

    def all_reduce(self, array: np.ndarray) -> None:
        pass

    def reduce_scatter(self, array: np.ndarray, borders: Sequence[int]) -> None:
        pass

    def all_gather(self, array: np.ndarray, borders: Sequence[int]) -> None:
        pass

    def exchange(self, value: Any) -> list[Any]:
        return [value]

    def abort(self, status: int) -> NoReturn:
        sys.exit(status)


class MPIComm:
    """All processes that one ``mpiexec`` started.

    Parameters
    ----------
    comm
        An ``mpi4py`` communicator.

    References
    ----------
    Message Passing Interface Forum (2023), MPI: A Message-Passing Interface Standard 4.1.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()

    def all_reduce(self, array: np.ndarray) -> None:
        from mpi4py import MPI

        self._comm.Allreduce(MPI.IN_PLACE, array)

    def reduce_scatter(self, array: np.ndarray, borders: Sequence[int]) -> None:
        own = array[borders[self.rank] : borders[self.rank + 1]]
        total = np.empty_like(own)
        self._comm.Reduce_scatter(array, total, np.diff(borders))
        own[...] = total

    def all_gather(self, array: np.ndarray, borders: Sequence[int]) -> None:
        from mpi4py import MPI

        counts, starts = np.diff(borders), np.array(borders[:-1])
        self._comm.Allgatherv(MPI.IN_PLACE, [array, (counts, starts)])

    def exchange(self, value: Any) -> list[Any]:
        own = np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)
        lengths = np.zeros(self.size, dtype=np.int64)
        lengths[self.rank] = own.size
        self.all_reduce(lengths)
        borders = [0, *np.cumsum(lengths).tolist()]
        everything = np.zeros(borders[-1], dtype=np.uint8)
        everything[borders[self.rank] : borders[self.rank + 1]] = own
        self.all_gather(everything, borders)
        return [
            json.loads(everything[borders[rank] : borders[rank + 1]].tobytes())
            for rank in range(self.size)
        ]

    def abort(self, status: int) -> NoReturn:
        sys.stdout.flush()
        sys.stderr.flush()
        self._comm.Abort(status)
        raise SystemExit(status)  # MPI ends the process before


def world() -> Communicator:
    """All ranks of this job: those that mpiexec started, or this process alone.

    Raises
    ------
    InputError
        If there are several but mpi4py is not installed.
    """
    if not any(name in os.environ for name in LAUNCHED):
        return LocalComm()
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise InputError(
            f"this is one of several processes of mpiexec, but mpi4py cannot be imported ({error});"
            ' pip install "minitransformer[mpi]", or start without mpiexec'
        ) from error
    return MPIComm(MPI.COMM_WORLD)
