"""A command on several ranks: rank 0 speaks, and one that fails ends all."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout

from minitransformer.distributed import Communicator, OtherRankError, world
from minitransformer.errors import InputError, NonFiniteError

EXPECTED = (InputError, NonFiniteError, OSError, MemoryError, KeyboardInterrupt)
"""What a user can mend, and needs no traceback."""

COURTESY = 1.0
"""Seconds that other ranks leave to rank 0 to say what is wrong, which often is the same."""


def on_all_ranks(command: Callable[[Communicator], int]) -> int:
    """Run a command on every process that mpiexec started; alone, it simply runs.

    Parameters
    ----------
    command
        Takes the ranks and returns the exit status.
    """
    comm = world()
    loud = sys.stderr
    with ExitStack() as stack:
        if comm.rank > 0:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        try:
            return command(comm)
        except OtherRankError:
            return 2
        except (Exception, KeyboardInterrupt) as error:
            if comm.size == 1:
                raise
            if comm.rank > 0:
                time.sleep(COURTESY)
            where = f" on rank {comm.rank}" if comm.rank else ""
            print(f"error{where}: {error or type(error).__name__}", file=loud)
            if not isinstance(error, EXPECTED):
                traceback.print_exc(file=loud)
            comm.abort(2)
