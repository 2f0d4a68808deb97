"""Kernels from the obvious loop to the library's, rung by rung, each validated and then timed.

Read a ladder from top to bottom: :mod:`.matmul` first, then :mod:`.softmax`, :mod:`.layer_norm`,
:mod:`.adamw` and :mod:`.attention`. ``python -m benchmarks.ladders`` climbs them all.
"""

from minitransformer.backends.numba import disk_cache

with disk_cache.own_folder():  # rungs contain what they call, from the library's files
    from benchmarks.ladders import adamw, attention, layer_norm, matmul, softmax

__all__ = ["adamw", "attention", "layer_norm", "matmul", "softmax"]
