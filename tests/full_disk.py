"""A disk that is full, as far as this process can tell."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes.

    Nor is bytecode written: Python 3.11 does not notice when half of a file fails, and keeps it.
    """
    resource = pytest.importorskip("resource", reason="Windows has no limits for file sizes")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    without_bytecode = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = without_bytecode
