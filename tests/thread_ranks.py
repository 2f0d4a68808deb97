"""Ranks that are threads of one process, to test what several do together without MPI."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np


class Meeting:
    """Where the ranks leave what they have to say and take what the others left."""

    def __init__(self, size):
        self.size, self.left = size, [None] * size
        self.barrier = threading.Barrier(size, timeout=600)

    def exchange(self, rank, value):
        self.left[rank] = value
        self.barrier.wait()
        everything = list(self.left)
        self.barrier.wait()
        return everything


class ThreadComm:
    """One rank's view of a :class:`Meeting`."""

    def __init__(self, meeting, rank):
        self.meeting, self.rank, self.size = meeting, rank, meeting.size

    def exchange(self, value):
        return self.meeting.exchange(self.rank, value)

    def all_reduce(self, array):
        array[...] = sum(self.exchange(array.copy()))

    def reduce_scatter(self, array, borders):
        own = slice(borders[self.rank], borders[self.rank + 1])
        array[own] = sum(part[own] for part in self.exchange(array.copy()))

    def all_gather(self, array, borders):
        own = slice(borders[self.rank], borders[self.rank + 1])
        array[...] = np.concatenate(self.exchange(array[own].copy()))


def on_ranks(size, work):
    """What ``work(comm)`` returns on each of the ranks; the first error of one ends all."""
    meeting = Meeting(size)

    def run(rank):
        try:
            return work(ThreadComm(meeting, rank))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(run, rank) for rank in range(size)]
    errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None and not isinstance(error, threading.BrokenBarrierError):
            raise error
    return [future.result() for future in futures]
