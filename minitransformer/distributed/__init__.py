"""Data-parallel training: every rank computes a part of the batch, and all take the same step."""

from minitransformer.distributed.agreement import (
    OtherRankError,
    any_rank,
    first_rank,
    require_agreement,
)
from minitransformer.distributed.average import average_gradients
from minitransformer.distributed.communicator import Communicator, LocalComm, world
from minitransformer.distributed.strategies import DataParallel, Replicated, Sharded

__all__ = [
    "Communicator",
    "DataParallel",
    "LocalComm",
    "OtherRankError",
    "Replicated",
    "Sharded",
    "any_rank",
    "average_gradients",
    "first_rank",
    "require_agreement",
    "world",
]
