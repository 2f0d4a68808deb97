"""Memory of the device, views of it, and the PTX that is kept."""

import gc
import os

import numpy as np
import pytest

from tests.cuda_lane import DEVICE, cuda, on_device

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("cuda")]
__all__ = ["cuda"]


class Fake:
    """A device of 100 bytes."""

    name, granularity = "fake", 10

    def __init__(self):
        self.held = {}

    def allocate(self, size):
        if sum(self.held.values()) + size > 100:
            raise MemoryError
        self.held[object()] = size
        return list(self.held)[-1]

    def forget(self, memory):
        self.forgotten = memory

    def free(self, memory):
        del self.held[memory]


@pytest.fixture
def pool():
    from minitransformer.backends.cuda.memory import Pool

    return Pool(Fake())


def test_a_block_that_nobody_holds_serves_the_next_of_its_size(pool):
    first = pool.block(31)
    memory = first.memory
    del first
    gc.collect()
    assert pool.block(40).memory is memory
    assert pool.device.forgotten is memory
    assert pool.counters.allocations == 1
    assert list(pool.device.held.values()) == [40]


def test_blocks_in_use_are_apart(pool):
    first, second = pool.block(10), pool.block(10)
    assert first.memory is not second.memory


def test_what_is_kept_is_given_back_before_there_is_no_room(pool):
    first = pool.block(80)
    del first
    gc.collect()
    second = pool.block(90)
    assert list(pool.device.held.values()) == [90]
    with pytest.raises(MemoryError):
        pool.block(20)
    assert second is not None


@pytest.mark.skipif(DEVICE == "gpu", reason="a GPU keeps what was there")
def test_a_reused_block_is_as_if_nobody_had_written_to_it():
    from minitransformer.backends.cuda.arrays import empty
    from minitransformer.backends.cuda.device import current_device
    from minitransformer.backends.cuda.in_place import copied
    from minitransformer.emulator.observers import UninitialisedReads

    first = on_device(np.ones(1234, np.float32))
    memory = first.block.memory
    del first
    gc.collect()
    again, device, reads = empty((1234,)), current_device(), UninitialisedReads()
    assert again.block.memory is memory
    assert np.isnan(again.to_host()).all()
    if DEVICE == "emulated":
        device.watch = lambda kernel, grid, block: [reads]
        try:
            copied(again)
        finally:
            device.watch = None
        assert [bug.kind for bug in reads.bugs] == ["uninitialised read"]


def test_views_share_memory_and_know_their_place():
    x = on_device(np.arange(12, dtype=np.float32))
    middle = x.part(4, 10).reshape(2, -1)
    assert (middle.shape, middle.size, middle.block) == ((2, 3), 6, x.block)
    np.testing.assert_array_equal(middle.to_host(), [[4, 5, 6], [7, 8, 9]])
    middle.part(1, 2).overwrite(np.zeros((1, 3), np.float32))
    np.testing.assert_array_equal(x.to_host(), [0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 10, 11])


def test_impossible_views_are_refused():
    x = on_device(np.arange(12, dtype=np.float32))
    with pytest.raises(ValueError, match="cannot be reshaped"):
        x.reshape(5, -1)
    with pytest.raises(IndexError, match="no part from 3 to 13"):
        x.part(3, 13)
    with pytest.raises(ValueError, match=r"array has shape \(3,\)"):
        x.overwrite(np.zeros(3, np.float32))


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_integers_are_int64(dtype):
    ids = on_device(np.array([[1], [2]], dtype))
    assert ids.dtype == np.int64
    assert ids.to_host().tolist() == [[1], [2]]


def test_kernels_check_what_they_are_given():
    from minitransformer.backends.cuda.in_place import copy

    x = on_device(np.ones(4, np.float32))
    for arguments in ((x,), (x, 3.0), (x, x.reshape(2, 2)), (x, on_device(np.ones(4, np.bool_)))):
        with pytest.raises(TypeError, match="copy: "):
            copy.stride(4, *arguments)


def test_what_is_kept_is_not_compiled_again(monkeypatch, tmp_path):
    from minitransformer.backends.cuda import ptx_cache

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    ptx_cache.folder.cache_clear()
    compiled = []

    def compile_it():
        compiled.append("text")
        return "text\n"

    try:
        assert [ptx_cache.remember(key, compile_it) for key in "aab"] == ["text\n"] * 3
        assert len(compiled) == 2
        old = ptx_cache.folder().with_name("ptx-of-other-sources")
        new = ptx_cache.folder().with_name("ptx-of-a-clone")
        for folder in (old, new):
            folder.mkdir()
        os.utime(old, (0, 0))
        ptx_cache.folder.cache_clear()
        assert ptx_cache.folder().exists()
        assert new.exists()
        assert not old.exists()
    finally:
        monkeypatch.undo()
        ptx_cache.folder.cache_clear()
