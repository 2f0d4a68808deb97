"""What is hidden, and what is asked: every objective against its definition, row by row."""

import numpy as np
import pytest

from minitransformer.data import (
    Batch,
    draw_masked_tokens,
    masked_lm_batch,
    objective_rng,
    prefix_lm_batch,
    span_corruption_batch,
    span_count,
)
from minitransformer.errors import InputError

MASK, SENTINEL, START, END = 99, 100, 200, 201


def rng(seed=0):
    return np.random.default_rng(seed)


def masked(ids, **options):
    return draw_masked_tokens(ids, rng(), MASK, 50, **options)


def test_the_same_step_hides_the_same_tokens():
    assert objective_rng(3, 4).random() == objective_rng(3, 4).random()
    assert objective_rng(3, 4).random() != objective_rng(3, 5).random()
    assert objective_rng(3, 4).random() != objective_rng(4, 4).random()


def test_masked_lm_hides_and_asks():
    windows = rng().integers(50, size=(8, 100))
    batch = masked_lm_batch(windows, rng(), MASK, 50)
    asked = batch.targets != -100
    np.testing.assert_array_equal(batch.targets[asked], windows[asked])
    np.testing.assert_array_equal(batch.inputs[~asked], windows[~asked])
    assert asked.mean() == pytest.approx(0.15, abs=0.04)
    assert batch.lengths.tolist() == [100] * 8


def test_words_are_hidden_as_a_whole():
    ids = np.arange(4000).reshape(4, 1000)
    words = np.cumsum(rng(1).random(ids.shape) < 0.4, axis=1)
    chosen = masked(ids, words=words).targets != -100
    for row in range(4):
        for word in np.unique(words[row]):
            assert len(set(chosen[row, words[row] == word])) == 1
    assert chosen.mean() == pytest.approx(0.15, abs=0.03)


def test_tokens_alone_are_not_words():
    ids = np.arange(1000)
    words = np.arange(1000) // 4
    chosen = masked(ids).targets != -100
    assert any(len(set(chosen[words == word])) > 1 for word in range(250))


def test_special_tokens_stay_inside_of_words():
    ids = np.arange(40) % 5
    targets = masked(ids, probability=1.0, special_ids=[2], words=np.arange(40) // 5).targets
    np.testing.assert_array_equal(targets == -100, ids == 2)


def test_spans_have_the_length_and_the_share_that_were_asked_for():
    ids = np.arange(100_000)
    chosen = masked(ids, span_length=4.0).targets != -100
    runs = np.diff(np.flatnonzero(np.diff(np.r_[False, chosen, False])))[::2]
    assert chosen.mean() == pytest.approx(0.15, abs=0.01)
    # two spans that touch look like one, as happens after 15% of them
    assert runs.mean() == pytest.approx(4.0 / 0.85, rel=0.05)


@pytest.mark.parametrize("options", [{"span_length": 0.5}, {"span_length": 2.0, "words": "all"}])
def test_bad_spans_are_refused(options):
    ids = np.arange(10)
    options = options | ({"words": ids} if "words" in options else {})
    with pytest.raises(InputError, match="span_length is"):
        masked(ids, **options)


def test_words_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"words has shape \(3,\), expected \(10,\)"):
        masked(np.arange(10), words=np.arange(3))


def test_a_prefix_is_seen_from_everywhere_and_not_asked_for():
    windows = rng().integers(50, size=(40, 9))
    batch = prefix_lm_batch(Batch(windows[:, :-1], windows[:, 1:]), rng())
    lengths = set()
    for mask, targets, row in zip(batch.mask[:, 0], batch.targets, windows, strict=True):
        prefix = int(mask[0].sum())
        lengths.add(prefix)
        expected = [[k <= q or k < prefix for k in range(8)] for q in range(8)]
        np.testing.assert_array_equal(mask, expected)
        for q, target in enumerate(targets):
            seen = {*range(q + 1), *range(prefix)}
            assert target == (-100 if q + 1 in seen else row[q + 1])
    assert lengths == set(range(1, 8))


def spans_put_back(source, target):
    """Undo the corruption: read each span where its sentinel stands."""
    assert target[-1] == END
    spans, current = {}, None
    for token in target[:-1]:
        if SENTINEL <= token < START:
            current = spans.setdefault(int(token), [])
        else:
            current.append(token)
    assert list(spans) == [SENTINEL + i for i in range(len(spans))]
    return [t for token in source for t in spans.get(int(token), [token])]


@pytest.mark.parametrize("T", [2, 3, 7, 64])
def test_spans_and_the_rest_make_up_the_text(T):
    windows = rng().integers(50, size=(20, T), dtype=np.uint16)
    batch = span_corruption_batch(windows, rng(), SENTINEL, START, END)
    spans = span_count(T)
    hidden = batch.targets.shape[1] - 1 - spans
    assert hidden == max(1, round(0.15 * T))
    assert batch.sources.shape == (20, T - hidden + spans)
    assert batch.source_lengths.tolist() == [T - hidden + spans] * 20
    for source, target, window in zip(batch.sources, batch.targets, windows, strict=True):
        assert spans_put_back(source, target) == window.tolist()
        assert ((target >= SENTINEL) & (target < START)).sum() == spans
    np.testing.assert_array_equal(batch.inputs[:, 0], START)
    np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])


def test_spans_lie_anywhere():
    windows = np.tile(np.arange(20), (300, 1))
    batch = span_corruption_batch(windows, rng(), SENTINEL, START, END)
    hidden = batch.targets[batch.targets < 20]
    assert set(hidden) == set(range(1, 20))  # before the first span there is something to read


def test_text_put_back_wrongly_is_seen():
    batch = span_corruption_batch(np.arange(20)[None], rng(), SENTINEL, START, END, 0.3, 2.0)
    target = batch.targets[0].copy()
    target[[1, 2]] = target[[2, 1]]
    assert spans_put_back(batch.sources[0], batch.targets[0]) == list(range(20))
    with pytest.raises(AssertionError):
        assert spans_put_back(batch.sources[0], target) == list(range(20))


@pytest.mark.parametrize(
    ("T", "probability", "span_length", "message"),
    [
        (1, 0.15, 3.0, "the windows have 1 tokens, expected 2 or more"),
        (9, 0.0, 3.0, "probability is 0.0 and"),
        (9, 1.0, 3.0, "probability is 1.0 and"),
        (9, 0.15, 0.5, "span_length 0.5, expected"),
    ],
)
def test_bad_numbers_are_refused(T, probability, span_length, message):
    with pytest.raises(InputError, match=message):
        span_corruption_batch(
            np.zeros((2, T), int), rng(), SENTINEL, START, END, probability, span_length
        )


def test_one_token_has_no_prefix():
    one = np.zeros((2, 1), int)
    with pytest.raises(InputError, match="the windows have 1 tokens, expected 2"):
        prefix_lm_batch(Batch(one, one), rng())
