"""Compiled kernels are never older than the sources that they were made from."""

from pathlib import Path

import numba
import pytest

from minitransformer.backend import OPS
from minitransformer.backends.numba import disk_cache, gemm
from minitransformer.doctor import warm

pytestmark = pytest.mark.kernels


def test_kernels_are_kept_in_our_folder() -> None:
    assert disk_cache.FOLDER is not None
    assert Path(gemm.multiply_part.stats.cache_path).is_relative_to(disk_cache.FOLDER)


@pytest.mark.parametrize("edit", ["text", "name", "another"])
def test_digest_changes_with_any_source(tmp_path: Path, edit: str) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    before = disk_cache.digest(tmp_path)
    if edit == "text":
        (tmp_path / "a.py").write_text("x = 2\n")
    elif edit == "name":
        (tmp_path / "a.py").rename(tmp_path / "b.py")
    else:
        (tmp_path / "b.py").write_text("")
    assert disk_cache.digest(tmp_path) != before


def test_digest_does_not_depend_on_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    before = disk_cache.digest(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert disk_cache.digest(tmp_path) == before


def test_older_folders_go_and_the_setting_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, other = tmp_path / "kernels-0", tmp_path / "mine"
    older.mkdir()
    other.mkdir()
    monkeypatch.setattr(disk_cache, "FOLDER", tmp_path / "kernels-1")
    before = numba.config.CACHE_DIR
    with disk_cache.own_folder():
        assert str(tmp_path / "kernels-1") == numba.config.CACHE_DIR
    assert before == numba.config.CACHE_DIR
    assert not older.exists()
    assert other.exists()


def test_warmth_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "FOLDER", tmp_path / "kernels-1")
    assert not disk_cache.is_warm()
    disk_cache.mark_warm()
    assert disk_cache.is_warm()


def test_a_folder_that_cannot_be_made_is_not_writeable(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert disk_cache.is_writeable(tmp_path / "new")
    assert not disk_cache.is_writeable(file / "below")


def test_warming_leaves_no_kernel_out() -> None:
    ops = {name for name, op in OPS.items() if "numba" in op.impls}
    assert set(warm.jobs(everything=True)) == {*ops, warm.TOKEN, warm.LOOPS, warm.TRAINING}
    assert set(warm.jobs(everything=False)) < ops | {warm.TOKEN, warm.LOOPS, warm.TRAINING}


def test_training_compiles_nothing_that_was_not_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()
    for name, op in OPS.items():
        if "numba" in op.impls:

            def spy(*args, _run=op.impls["numba"], _name=name, **kwargs):
                called.add(_name)
                return _run(*args, **kwargs)

            monkeypatch.setitem(op.impls, "numba", spy)
    warm.warm(warm.TRAINING)
    assert called == set(warm.jobs(everything=False)) - {warm.TOKEN, warm.LOOPS, warm.TRAINING}
