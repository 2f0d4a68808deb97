import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer.data import (
    EncoderBatch,
    PairBatch,
    batch_at,
    batch_offsets,
    count_targets,
    default_text,
    open_tokens,
    read_text,
    sample_batch,
    split,
    split_batch,
    unigram_entropy,
    validation_batches,
    write_tokens,
)
from minitransformer.errors import InputError

sizes = {"batch": st.integers(1, 5), "context": st.integers(1, 7)}


def test_default_text_is_english():
    text = default_text()
    assert len(text) > 300_000
    assert text.count(" the ") > 2000
    assert text == default_text()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"plain", "plain"),
        ("\ufeffmarked".encode(), "marked"),
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        ("naïve 猫 🐈".encode(), "naïve 猫 🐈"),
    ],
)
def test_read_text(tmp_path, content, text):
    path = tmp_path / "file.anything"
    path.write_bytes(content)
    assert read_text([path]) == text
    assert read_text(path) == read_text(str(path)) == text


def test_read_text_searches_folders_in_the_order_of_names(tmp_path):
    names = ["b.txt", "a/z.md", "a/deep/C.TXT", "c.rst", "skipped.py", "a/skipped"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    assert read_text([tmp_path]) == "a/deep/C.TXT\na/z.md\nb.txt\nc.rst"
    assert read_text([tmp_path / "b.txt", tmp_path / "a"]) == "b.txt\na/deep/C.TXT\na/z.md"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9 au lait", "byte 0xE9 at offset 3"),
        (b"ok\n" * 5 + b"\xff", "byte 0xFF at offset 15"),
        ("utf-16".encode("utf-16"), "byte 0xF[EF] at offset 0"),
        (b"cut off \xf0\x9f\x90", "byte 0xF0 at offset 8"),
        (b"abc\0def", "byte 0x00 at offset 3"),
        (b"abc\0def\xff", "byte 0x00 at offset 3"),
        (b"abc\xff\0", "byte 0xFF at offset 3"),
        (b"\xed\xa0\x80", "byte 0xED at offset 0"),
    ],
)
def test_read_text_names_file_and_first_bad_byte(tmp_path, content, message):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    (tmp_path / "a_good.txt").write_text("good", encoding="utf-8")
    with pytest.raises(InputError, match=rf"bad\.txt is not UTF-8 text: {message}\. .*save it as"):
        read_text([tmp_path])


def is_text(content):
    try:
        return b"\0" not in content and content.decode().removeprefix("\ufeff").strip() != ""
    except UnicodeDecodeError:
        return False


@given(st.binary() | st.text(max_size=5).map(str.encode))
def test_read_text_takes_exactly_utf8(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    if is_text(content):
        assert read_text(path).split() == content.decode().removeprefix("\ufeff").split()
    else:
        with pytest.raises(InputError, match=r"any\.txt"):
            read_text(path)


def test_read_text_needs_text(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*absent\.txt: No such file"):
        read_text([tmp_path / "absent.txt"])
    with pytest.raises(InputError, match=r"folder .* has no text file \(\.txt, "):
        read_text([tmp_path])
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(InputError, match=r"no text in .*empty\.txt"):
        read_text([tmp_path / "empty.txt"])
    with pytest.raises(InputError, match="no text in no files"):
        read_text([])


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(100, "<u2"), (65_536, "<u2"), (65_537, "<u4"), (2**32, "<u4")]
)
def test_token_file_round_trip(tmp_path, vocab_size, dtype):
    path = tmp_path / "tokens.npy"
    ids = [0, 7, vocab_size - 1]
    write_tokens(path, ids, vocab_size)
    tokens = open_tokens(path)
    assert isinstance(tokens, np.memmap)
    assert tokens.dtype == np.dtype(dtype)
    assert tokens.tolist() == ids
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], r"shape \(0,\); expected one dimension, not empty"),
        ([[1, 2]], r"shape \(1, 2\)"),
        ([1.0, 2.0], "dtype float64; expected integers"),
        ([1, 2, 10], r"ids\[2\] is 10, but vocab_size is 10; expected ids from 0 to 9"),
        ([1, -1], r"ids\[1\] is -1"),
        ([1, 10**30], "dtype object"),
    ],
)
def test_write_tokens_refuses_what_is_not_ids_and_keeps_the_old_file(tmp_path, ids, message):
    path = tmp_path / "tokens.npy"
    write_tokens(path, [5], 10)
    with pytest.raises(InputError, match=message):
        write_tokens(path, ids, 10)
    assert open_tokens(path).tolist() == [5]


def test_open_tokens_refuses_foreign_files(tmp_path):
    path = tmp_path / "tokens.npy"
    with pytest.raises(InputError, match=r"cannot read the token file .*tokens\.npy"):
        open_tokens(path)
    foreign = [np.ones(3), np.ones((2, 2), "<u2"), np.ones(3, ">u2"), np.array(3, "<u2")]
    for array in foreign:
        np.save(path, array)
        with pytest.raises(InputError, match="is not a token file: it holds"):
            open_tokens(path)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="not a token file"):
        open_tokens(path)
    path.write_bytes(b"some text")
    with pytest.raises(InputError, match="not a token file"):
        open_tokens(path)


@given(st.data())
def test_open_tokens_refuses_cut_off_files_and_survives_damage(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("tokens") / "tokens.npy"
    write_tokens(path, range(40), 40)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(InputError, match=r"tokens\.npy is cut off or not a token file"):
        open_tokens(path)
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, 60))] = data.draw(st.sampled_from(b"0(){}[],:'<u \n\xff"))
    path.write_bytes(damaged)
    with suppress(InputError):
        open_tokens(path)


@given(st.integers(2, 500), st.floats(0.01, 0.99))
def test_split_parts_are_the_whole(length, fraction):
    tokens = np.arange(length)
    try:
        train, validation = split(tokens, fraction)
    except InputError:
        assert round(length * (1 - fraction)) in (0, length)
        return
    assert np.concatenate([train, validation]).tolist() == tokens.tolist()
    assert abs(len(validation) - length * fraction) <= 0.5 + 1e-9


def test_split_sets_the_last_tenth_aside():
    train, validation = split(np.arange(100))
    assert (len(train), validation.tolist()) == (90, list(range(90, 100)))
    assert np.shares_memory(train, split(train)[0])


@pytest.mark.parametrize("fraction", [0, 1, -0.1, math.nan])
def test_split_refuses_a_fraction_that_is_none(fraction):
    with pytest.raises(InputError, match=r"validation_fraction is .*more than 0 and less than 1"):
        split(np.arange(100), fraction)


@pytest.mark.parametrize(("length", "fraction"), [(0, 0.1), (1, 0.1), (4, 0.1), (4, 0.9)])
def test_split_refuses_a_text_too_short(length, fraction):
    with pytest.raises(InputError, match=rf"{length} token\(s\), too few.*longer text"):
        split(np.arange(length), fraction)


@given(length=st.integers(9, 100), seed=st.integers(0, 2**40), step=st.integers(0, 2**20), **sizes)
def test_targets_are_inputs_one_later(length, batch, context, seed, step):
    tokens = np.arange(length, dtype=np.uint16)
    inputs, targets, _ = sample_batch(tokens, batch, context, seed, step)
    assert inputs.shape == targets.shape == (batch, context)
    assert inputs.dtype == targets.dtype == np.int64
    assert inputs.flags.c_contiguous
    assert targets.flags.c_contiguous
    assert (inputs == inputs[:, :1] + np.arange(context)).all()
    assert (targets == inputs + 1).all()
    assert targets.max() < length


def test_batches_replay_by_seed_and_step():
    tokens = np.arange(1000)
    first = sample_batch(tokens, 8, 16, seed=1, step=2).inputs
    assert (first == sample_batch(tokens, 8, 16, seed=1, step=2).inputs).all()
    for seed, step in [(1, 3), (2, 2), (2, 1), (1, 0), (0, 2)]:
        assert (first != sample_batch(tokens, 8, 16, seed=seed, step=step).inputs).any()


def test_batches_stay_what_they_were():
    assert batch_offsets(1000, 4, 16, seed=1, step=2).tolist() == [102, 422, 358, 621]


def test_offsets_are_independent_of_other_draws_by_seed_and_step():
    other = np.random.default_rng([1, 2]).integers(984, size=4)
    assert (batch_offsets(1000, 4, 16, seed=1, step=2) != other).any()


def test_offsets_reach_every_window_that_fits():
    drawn = batch_offsets(10, 2000, 4, seed=0, step=0)
    assert set(drawn.tolist()) == set(range(6))


def test_ranks_share_one_plan():
    tokens = np.arange(1000)
    plan = batch_offsets(len(tokens), 6, 5, seed=3, step=4)
    shares = [batch_at(tokens, share, 5).inputs for share in np.split(plan, 3)]
    assert (np.concatenate(shares) == sample_batch(tokens, 6, 5, seed=3, step=4).inputs).all()


def test_a_text_just_long_enough():
    tokens = np.arange(5)
    assert sample_batch(tokens, 1, 4, 0, 0).targets.tolist() == [[1, 2, 3, 4]]
    assert [b.inputs.tolist() for b in validation_batches(tokens, 3, 4)] == [[[0, 1, 2, 3]]]


@pytest.mark.parametrize("length", [0, 1, 4])
def test_a_text_shorter_than_the_context_is_refused(length):
    message = f"text has {length} tokens, but a context of 4 needs at least 5. Give a longer"
    with pytest.raises(InputError, match=message):
        sample_batch(np.arange(length), 1, 4, 0, 0)
    with pytest.raises(InputError, match=message):
        validation_batches(np.arange(length), 1, 4)


@given(length=st.integers(8, 100), **sizes)
def test_validation_predicts_each_token_once(length, batch, context):
    batches = list(validation_batches(np.arange(length), batch, context))
    assert all(len(b.inputs) == batch for b in batches[:-1])
    predicted = np.concatenate([b.targets.ravel() for b in batches])
    assert predicted.tolist() == list(range(1, len(predicted) + 1))
    assert length - 1 - len(predicted) < context


@given(length=st.integers(8, 300), limit=st.integers(1, 6), **sizes)
def test_limited_validation_is_spread_evenly(length, limit, batch, context):
    tokens = np.arange(length)
    batches = list(validation_batches(tokens, batch, context, limit))
    starts = np.concatenate([b.inputs[:, 0] for b in batches]) // context
    windows = (length - 1) // context
    assert len(batches) <= limit
    assert len(starts) == min(windows, limit * batch)
    assert starts[0] == 0
    gaps = np.diff([*starts, windows])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


def test_unigram_entropy():
    assert unigram_entropy(np.array([0, 5, 0, 5])) == pytest.approx(math.log(2))
    assert unigram_entropy(np.array([3, 3, 3], dtype=np.uint16)) == 0
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert unigram_entropy(np.array([1, 1, 2, 1], dtype=np.uint32)) == pytest.approx(expected)


# ---- parts of a batch ----


def pairs(rows):
    array = np.arange(rows * 3).reshape(rows, 3)
    return PairBatch(array, np.full(rows, 2), array + 1, np.where(array % 4, array, -100))


@given(rows=st.integers(1, 9), parts=st.integers(1, 12))
def test_the_parts_of_a_batch_are_the_batch(rows, parts):
    batch = pairs(rows)
    split = split_batch(batch, parts)
    assert len(split) == min(parts, rows)
    sizes = [len(part.inputs) for part in split]
    assert max(sizes) - min(sizes) <= 1
    for name in PairBatch._fields:
        together = np.concatenate([getattr(part, name) for part in split])
        np.testing.assert_array_equal(together, getattr(batch, name))
    assert sum(map(count_targets, split)) == count_targets(batch) == np.sum(batch.targets >= 0)


def test_what_a_batch_does_not_have_its_parts_do_not():
    ids = np.zeros((4, 2), dtype=np.int64)
    (part, _) = split_batch(EncoderBatch(ids, np.full(4, 2), np.arange(4.0)), 2)
    assert part.segments is None
    assert count_targets(part) == 2


def test_a_batch_cannot_be_cut_into_no_parts():
    with pytest.raises(ValueError, match="parts is 0, expected 1 or more"):
        split_batch(pairs(3), 0)
