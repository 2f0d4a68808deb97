import errno
import json
import os

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from minitransformer.checkpoints import (
    checkpoint_files,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from minitransformer.errors import InputError
from minitransformer.models import GPT, GPTConfig
from minitransformer.optim import AdamW
from tests.full_disk import files_of_at_most

CONFIG = GPTConfig(11, context=6, layers=2, heads=2, width=8, dropout=0.1)


def trained(dtype=np.float32, seed=0):
    """A model and an optimizer that are nowhere near their initial values."""
    model = GPT(CONFIG, seed=seed, dtype=dtype)
    optimizer = AdamW(model.parameters(), 0.1)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad[...] = rng.normal(size=parameter.shape)
        optimizer.step()
    return model, optimizer


def saved(folder, step=3, **options):
    model, optimizer = trained(**options)
    path = folder / f"step-{step:08d}.safetensors"
    save_checkpoint(path, step, model, optimizer)
    return path


def assert_same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_was_saved_is_loaded_bit_for_bit(tmp_path, dtype):
    model, optimizer = trained(dtype)
    save_checkpoint(tmp_path / "a", 17, model, optimizer)
    checkpoint = load_checkpoint(tmp_path / "a")
    assert checkpoint.step == 17
    assert checkpoint.config == CONFIG
    assert_same(checkpoint.build().state_dict(), model.state_dict())
    fresh = AdamW(checkpoint.build().parameters(), 0.1)
    fresh.load_state_dict(checkpoint.optimizer)
    assert_same(fresh.state_dict(), optimizer.state_dict())


def test_equal_states_make_equal_files(tmp_path):
    contents = set()
    for i in range(8):
        (tmp_path / str(i)).mkdir()
        contents.add(saved(tmp_path / str(i)).read_bytes())
    assert len(contents) == 1


def test_another_program_can_read_the_model(tmp_path):
    arrays = safetensors.numpy.load_file(saved(tmp_path))
    model, _ = trained()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(arrays[f"model.{name}"], array)


def test_every_truncation_is_found(tmp_path):
    path = saved(tmp_path)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), len(whole) // 40), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="is truncated or not a checkpoint.*one before") as e:
            load_checkpoint(path)
        assert str(path) in str(e.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04K\x01.", b"PK\x03\x04" * 99])
def test_other_files_are_no_checkpoints(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(InputError, match="a is truncated or not a checkpoint"):
        load_checkpoint(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="nothing does not exist; expected a checkpoint"):
        load_checkpoint(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder is truncated or not a checkpoint"):
        load_checkpoint(tmp_path / "folder")


def with_header(path, header):
    metadata = None if header is None else {"minitransformer": header}
    safetensors.numpy.save_file({"model.x": np.zeros(3)}, path, metadata)
    return path


def test_other_safetensors_files_are_named_as_such(tmp_path):
    with pytest.raises(InputError, match="is a safetensors file but not a checkpoint"):
        load_checkpoint(with_header(tmp_path / "a", None))


@pytest.mark.parametrize("version", [0, 1, "x"])
def test_another_version_is_named(tmp_path, version):
    header = json.dumps({"format": version, "novelty": 1})
    with pytest.raises(InputError, match=f"has format {version!r}, this program reads format 2"):
        load_checkpoint(with_header(tmp_path / "a", header))


@pytest.mark.parametrize(
    "header",
    [
        "{",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 2, "step": "x", "config": {"architecture": "gpt", "vocab_size": 3}}',
        '{"format": 2, "step": 1, "config": {"vocab_size": 3}}',
        '{"format": 2, "step": 1, "config": {"architecture": "gpz", "vocab_size": 3}}',
        '{"format": 2, "step": 1, "config": {"architecture": "gpt", "eyes": 2}}',
        '{"format": 2, "step": 1, "config": {"architecture": "gpt", "vocab_size": 3, "heads": 3}}',
        '{"format": 2, "step": 1, "config": 5}',
    ],
)
def test_damaged_metadata_is_named(tmp_path, header):
    with pytest.raises(InputError, match="a has damaged metadata"):
        load_checkpoint(with_header(tmp_path / "a", header))


def test_arrays_of_another_model_are_listed(tmp_path):
    config = {"architecture": "gpt", "vocab_size": 3}
    header = json.dumps({"format": 2, "step": 1, "config": config})
    checkpoint = load_checkpoint(with_header(tmp_path / "a", header))
    with pytest.raises(InputError, match=r"not of this model(.|\n)*missing: token_embedding"):
        checkpoint.build()


def test_a_full_disk_costs_nothing_that_was_there(tmp_path, monkeypatch):
    path = saved(tmp_path)
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot write .*No space left.*untouched"):
        saved(tmp_path, seed=1)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_system_that_refuses_to_write_costs_nothing_that_was_there(tmp_path):
    path = saved(tmp_path)
    before = path.read_bytes()
    with (
        files_of_at_most(len(before) // 2),
        pytest.raises(InputError, match="cannot write .*untouched"),
    ):
        saved(tmp_path, seed=1)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_newest_is_the_one_of_the_last_step(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for step in (9, 100, 10):
        saved(folder, step)
    (folder / "step-00000999.safetensors.tmp").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    assert [load_checkpoint(path).step for path in checkpoint_files(tmp_path)] == [9, 10, 100]
    assert load_checkpoint(newest_checkpoint(tmp_path)).step == 100


def test_a_folder_without_checkpoints_is_no_run(tmp_path):
    with pytest.raises(InputError, match="has no checkpoint; expected a run folder"):
        newest_checkpoint(tmp_path)
    with pytest.raises(InputError, match="nowhere does not exist; expected a run folder"):
        newest_checkpoint(tmp_path / "nowhere")
