import pytest

from minitransformer.errors import InputError
from minitransformer.files import atomic_write


def write_and_fail(path, error):
    with atomic_write(path) as file:
        file.write(b"half")
        raise error


def test_replaces_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt(), OSError(28, "disk full")])
def test_failure_keeps_the_old_file_and_leaves_no_litter(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises((type(error), InputError)):
        write_and_fail(path, error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*a\.bin: disk full; .*untouched"):
        write_and_fail(tmp_path / "a.bin", OSError(28, "disk full"))


def test_missing_folder_is_named(tmp_path):
    with (
        pytest.raises(InputError, match=r"cannot write .*No such file"),
        atomic_write(tmp_path / "nowhere" / "a.bin"),
    ):
        pytest.fail("opened a file in a folder that does not exist")
