"""Ranks that differ must not train together, and what one rank does all must hear of."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numpy as np

from minitransformer.distributed.communicator import Communicator
from minitransformer.errors import InputError

T = TypeVar("T")


class OtherRankError(InputError):
    """Raised where another rank has told already what is wrong."""


def require_agreement(comm: Communicator, facts: Mapping[str, Any]) -> None:
    """See to it that all ranks were started with the same settings, data and versions.

    Parameters
    ----------
    facts
        Names and values in JSON's types, which must be equal on all ranks.

    Raises
    ------
    InputError
        On every rank, naming the first fact that differs and who has what.
    """
    everyone = comm.exchange(dict(facts))
    for name in facts:
        values = [rank.get(name) for rank in everyone]
        if any(value != values[0] for value in values):
            told = "; ".join(f"rank {rank} has {value!r}" for rank, value in enumerate(values))
            raise InputError(f"the ranks do not agree on {name}: {told}. Start all of them alike")


def first_rank(comm: Communicator, work: Callable[[], T]) -> T:
    """Let rank 0 do what only one may do, such as writing a file; all wait until it is done.

    Returns
    -------
    On every rank what ``work`` returned on rank 0, which must be of JSON's types.

    Raises
    ------
    InputError
        On every rank, if it fails on rank 0.
    """
    result: Any = None
    problem: InputError | None = None
    if comm.rank == 0:
        try:
            result = work()
        except InputError as error:
            problem = error
    told, result = comm.exchange([problem and str(problem), result])[0]
    if problem:
        raise problem
    if told:
        raise OtherRankError(told)
    return cast(T, result)


def any_rank(comm: Communicator, flag: bool) -> bool:
    """Whether the flag is set on one of the ranks."""
    count = np.array(int(flag))
    comm.all_reduce(count)
    return bool(count)
