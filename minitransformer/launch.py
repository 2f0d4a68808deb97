"""What must be settled before NumPy and Numba are imported: how many threads each process uses."""

import os

LOCAL_RANKS = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
"""Environment variables by which mpiexec tells how many processes it started on this machine."""

THREADS = (
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Environment variables that limit the threads of BLAS and of Numba."""


def local_ranks() -> int:
    """Number of processes of this job on this machine, 1 without mpiexec."""
    told = [int(os.environ[name]) for name in LOCAL_RANKS if name in os.environ]
    return max(told, default=1)


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_cores() -> int:
    """Divide the cores among the processes on this machine; what the user has set stays.

    Returns
    -------
    int
        Threads of this process: together they are no more than there are cores, if there are as
        many cores as processes.
    """
    threads = max(1, cores() // local_ranks())
    if local_ranks() > 1:
        for name in THREADS:
            os.environ.setdefault(name, str(threads))
    return threads
