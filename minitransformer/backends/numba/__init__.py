"""The numba backend: kernels compiled for this machine's CPU, each at its first call.

Every module beside this file registers its kernels when it is imported; a new file needs no entry
anywhere. Compiled code is kept on disk, so that only the first use of all waits for it.
"""

import importlib
import os
import pkgutil

from minitransformer.backends.numba import disk_cache

# A thread without work spins for this long, half a millisecond at most, before it lets go of its
# core: longer than the pause between two kernels. Waking up takes tens of microseconds. The
# default is 30 times as much: where another program holds a core, every kernel would take 15
# milliseconds. GNU's OpenMP reads it when it is loaded, which is at the first parallel kernel.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

with disk_cache.own_folder():
    for _module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{_module.name}")
