"""How the C library treats freed memory."""

import ctypes

# numbers of mallopt's parameters, from glibc's malloc.h
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
MIB = 1 << 20


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed memory for the next step instead of returning it.

    A training step frees all that it allocated. By default glibc returns that to the system, which
    hands it out again page by page, zeroed: in a small step that takes almost as long as the
    arithmetic. Holds for the whole process.

    Returns
    -------
    bool
        Whether it was done; False on systems without glibc, where nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = {MMAP_THRESHOLD: 32 * MIB, TRIM_THRESHOLD: 2047 * MIB, TOP_PAD: 64 * MIB}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())
