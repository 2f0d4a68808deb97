"""Files of strangers: every lie is found before memory is taken for it."""

import contextlib
import json
import os
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer.errors import InputError
from minitransformer.models import GPT, GPTConfig
from minitransformer.pretrained import from_pretrained, save_pretrained
from minitransformer.pretrained.safetensors_file import read_safetensors

pytestmark = pytest.mark.systems

EXAMPLES = int(os.environ.get("MINITRANSFORMER_FUZZ", "75"))
"""Damaged files of each kind; a thorough run asks for ten thousand."""
MOST_MEMORY = 3_000_000  # bytes, for files of a few thousand

TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float16)}
HEADER = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "F16", "shape": [4], "data_offsets": [24, 32]},
}


def safetensors_bytes(header, data=bytes(32), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def with_entry(name="a", **changes):
    return HEADER | {name: HEADER[name] | changes}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file(TENSORS, path)
    read = read_safetensors(path)
    assert {name: tensor.shape for name, tensor in read.items()} == {"a": (2, 3), "b": (4,)}
    for name, tensor in read.items():
        np.testing.assert_array_equal(tensor.read(), TENSORS[name])
        assert tensor.read().dtype == np.float32
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="became shorter"):
        read["b"].read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header is said to have 0 bytes, the file has 0"),
        (safetensors_bytes(HEADER, length=2**63), "said to have 9223372036854775808 bytes"),
        (safetensors_bytes(HEADER, length=2000), "said to have 2000 bytes"),
        (safetensors_bytes(b"{"), "not JSON"),
        (safetensors_bytes(b"[" * 100_000), "not JSON"),
        (safetensors_bytes(b'{"a": ' + b"1" * 5000 + b"}"), "not JSON"),
        (safetensors_bytes(b"\xff\xfe"), "not JSON"),
        (safetensors_bytes([1]), "not a table"),
        (safetensors_bytes(b'{"a": 1, "a": 2}'), "name twice"),
        (safetensors_bytes({"a": 1}), "described as 1"),
        (safetensors_bytes({"a\x00b": HEADER["a"]}), "has the name"),
        (safetensors_bytes(with_entry(dtype="F4")), "type F4"),
        (safetensors_bytes(with_entry(shape=[2**62, 2**62])), "has 24 bytes"),
        (safetensors_bytes(with_entry(shape=[-2, -3])), "has the shape"),
        (safetensors_bytes(with_entry(shape=[2.0, 3])), "has the shape"),
        (safetensors_bytes(with_entry(shape=[1] * 100)), "has the shape"),
        (safetensors_bytes(with_entry(shape=[2, 4])), "has 24 bytes"),
        (safetensors_bytes(with_entry(data_offsets=[-24, 0])), "bytes -24 to 0 of 32"),
        (safetensors_bytes(with_entry(data_offsets=[2**60, 2**60 + 24])), "cut off"),
        (safetensors_bytes(with_entry("b", data_offsets=[20, 28])), "a and b overlap"),
        (safetensors_bytes(HEADER, bytes(31)), "bytes 24 to 32 of 31"),
        (safetensors_bytes(HEADER, bytes(33)), "32 bytes, but 33 follow"),
    ],
)
def test_lies_of_a_safetensors_file(content, message, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_safetensors(path)


def test_integers_are_no_weights(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes(with_entry(dtype="I32")))
    with pytest.raises(InputError, match="tensor a is of I32, expected one of"):
        read_safetensors(path)["a"].read()


@contextlib.contextmanager
def little_memory():
    """Fails if more memory is taken than files of this size can need."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY


def test_taking_memory_is_noticed():
    with pytest.raises(AssertionError), little_memory():
        np.zeros(MOST_MEMORY, np.uint8)


def damaged(content):
    """Bytes replaced, taken out, put in, or cut off, some of them by extreme numbers."""
    extreme = st.sampled_from([b"\x00" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"9" * 12, b"-1"])
    change = st.tuples(
        st.integers(0, len(content)), st.integers(0, 12), st.binary(max_size=8) | extreme
    )

    def apply(changes):
        result = content
        for place, removed, put in changes:
            result = result[:place] + put + result[place + removed :]
        return result

    cut = st.integers(0, len(content)).map(lambda end: content[:end])
    return st.lists(change, min_size=1, max_size=4).map(apply) | cut


def check_reader(path, content, read):
    """An error of ours or success, in little memory."""
    path.write_bytes(content)
    with little_memory(), contextlib.suppress(InputError):
        read(path)


def read_all(path):
    for tensor in read_safetensors(path).values():
        tensor.read()


@settings(max_examples=EXAMPLES)
@given(content=damaged(safetensors.numpy.save(TENSORS)))
def test_damaged_safetensors(content, tmp_path_factory):
    check_reader(tmp_path_factory.getbasetemp() / "damaged.safetensors", content, read_all)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    save_pretrained(GPT(GPTConfig(5, 4, 1, 1, 4)), folder)
    (folder / "original.json").write_bytes((folder / "config.json").read_bytes())
    return folder


values = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 3, 2**31, 10**12, 10**400, 0.5, 1e308, "gpt2", "bert", "llama"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_damaged_settings(data, checkpoint):
    config = json.loads((checkpoint / "original.json").read_bytes())
    changes = data.draw(st.dictionaries(st.sampled_from(list(config)), values, min_size=1))
    text = json.dumps(config | changes).encode()
    content = data.draw(st.just(text) | damaged(text))
    check_reader(checkpoint / "config.json", content, lambda path: from_pretrained(path.parent))


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_damaged_indexes(data, checkpoint, tmp_path_factory):
    weights = safetensors.numpy.load_file(checkpoint / "model.safetensors")
    folder = tmp_path_factory.getbasetemp()
    (folder / "part.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    text = json.dumps({"weight_map": dict.fromkeys(weights, "part.safetensors")}).encode()
    content = data.draw(damaged(text))
    path = folder / "model.safetensors.index.json"
    check_reader(path, content, from_pretrained)
