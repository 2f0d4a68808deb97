"""What is merged from windows is what the whole document says, if that fits."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer.data import EncoderBatch
from minitransformer.data.windows import (
    Span,
    Window,
    merge_classes,
    merge_labels,
    merge_spans,
    sliding_windows,
    truncate,
)
from minitransformer.errors import InputError
from minitransformer.models import long_texts
from minitransformer.models.bert import BertConfig
from minitransformer.models.heads import (
    Classifier,
    ClassifierConfig,
    SpanAnswerer,
    SpanAnswererConfig,
    TokenLabeller,
    TokenLabellerConfig,
    best_spans,
)
from minitransformer.models.long_texts import (
    answer_from_long_text,
    classify_long_text,
    label_long_text,
)

sizes = st.integers(1, 12).flatmap(lambda s: st.tuples(st.just(s), st.integers(0, s - 1)))


def test_truncation():
    assert truncate([1, 2, 3, 4], 3) == [1, 2, 3]
    assert truncate([1, 2, 3, 4], 3, keep="end") == [2, 3, 4]
    assert truncate([1, 2], 3) == truncate([1, 2], 3, keep="end") == [1, 2]
    for size, keep in ((0, "start"), (2, "middle")):
        with pytest.raises(InputError, match=f"size is {size} and keep '{keep}'"):
            truncate([1], size, keep)


def test_windows_of_a_document():
    assert sliding_windows(10, 4, 1) == [(0, 4), (3, 7), (6, 10)]
    assert sliding_windows(9, 4, 1) == [(0, 4), (3, 7), (5, 9)]
    assert sliding_windows(9, 4, 0) == [(0, 4), (4, 8), (5, 9)]
    assert sliding_windows(4, 4, 3) == [(0, 4)]
    assert sliding_windows(2, 4, 3) == [(0, 2)]


@given(st.integers(1, 60), sizes)
def test_windows_cover_the_document_and_overlap(length, size_and_overlap):
    size, overlap = size_and_overlap
    windows = sliding_windows(length, size, overlap)
    assert {t for window in windows for t in range(*window)} == set(range(length))
    assert {stop - start for start, stop in windows} == {min(size, length)}
    for one, other in pairwise(windows):
        assert one.start < other.start <= one.stop - overlap


@pytest.mark.parametrize(
    ("length", "size", "overlap"), [(0, 4, 1), (9, 4, 4), (9, 0, 0), (9, 4, -1)]
)
def test_windows_that_cannot_be(length, size, overlap):
    with pytest.raises(InputError, match=f"length is {length}, size {size} and overlap {overlap}"):
        sliding_windows(length, size, overlap)


def test_a_token_is_labelled_where_it_is_most_central():
    windows = [Window(0, 5), Window(3, 8), Window(6, 11)]
    scores = [np.full((5, 1), float(number)) for number in range(3)]
    labels = merge_labels(scores, windows)[:, 0]
    assert labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2]  # 3 and 7: as central in both


def neighbours(document, reach):
    """What a model says that sees ``reach`` tokens to either side: their sums."""
    padded = np.pad(document, reach)
    return np.stack([np.convolve(padded, np.arange(1, 2 * reach + 2), "valid"), document], axis=1)


@given(st.integers(1, 60), st.integers(0, 3), st.integers(0, 3), st.integers(0, 99))
def test_with_enough_overlap_the_merged_labels_are_those_of_the_whole(length, reach, more, seed):
    document = np.random.default_rng(seed).integers(9, size=length).astype(float)
    windows = sliding_windows(length, size=4 * reach + 2 * more + 3, overlap=2 * reach + more)
    scores = [neighbours(document[slice(*window)], reach) for window in windows]
    np.testing.assert_array_equal(merge_labels(scores, windows), neighbours(document, reach))


def test_with_too_little_overlap_they_are_not():
    document = np.arange(20.0)
    windows = sliding_windows(20, 8, 1)
    scores = [neighbours(document[slice(*window)], 2) for window in windows]
    assert (merge_labels(scores, windows) != neighbours(document, 2)).any()


def test_the_best_answer_stands_where_its_window_does():
    windows = [Window(0, 5), Window(3, 8)]
    spans, scores = np.array([[0, 1], [2, 4]]), np.array([1.0, 2.0])
    assert merge_spans(spans, scores, windows) == Span(5, 7, 2.0)
    assert merge_spans(spans, -scores, windows) == Span(0, 1, -1.0)


def test_the_surest_window_tells_the_class():
    assert merge_classes(np.array([[0.0, 2.0, -1.0], [3.0, 1.0, -4.0]])).tolist() == [
        3.0,
        2.0,
        -1.0,
    ]


def test_what_cannot_be_merged():
    with pytest.raises(ValueError, match=r"scores are of \[4\] tokens, but the windows have \[5\]"):
        merge_labels([np.zeros((4, 1))], [Window(0, 5)])
    with pytest.raises(ValueError, match="merge_labels: token 2 is in no window"):
        merge_labels([np.zeros((2, 1)), np.zeros((1, 1))], [Window(0, 2), Window(3, 4)])
    with pytest.raises(ValueError, match=r"spans has shape \(1, 2\)"):
        merge_spans(np.zeros((1, 2), int), np.zeros(2), [Window(0, 2), Window(1, 3)])


def headed(model, config, context, outputs):
    trunk = BertConfig(vocab_size=11, context=context, layers=1, heads=2, width=8)
    made = model(config(trunk, outputs), dtype=np.float64)
    rng = np.random.default_rng(0)
    for parameter in made.parameters():
        parameter.data[...] = rng.normal(0.0, 0.7, parameter.shape)
    return made


def document(length=9):
    return np.random.default_rng(1).integers(11, size=length).tolist()


def whole(model, ids):
    batch = EncoderBatch(np.array([ids]), np.array([len(ids)]), np.zeros(1, int))
    return model(batch)[0][0]


def test_a_document_that_fits_is_read_as_it_is():
    ids = document()
    labeller = headed(TokenLabeller, TokenLabellerConfig, 12, 3)
    np.testing.assert_array_equal(label_long_text(labeller, ids, 4), whole(labeller, ids))
    classifier = headed(Classifier, ClassifierConfig, 12, 3)
    np.testing.assert_array_equal(classify_long_text(classifier, ids, 4), whole(classifier, ids))
    answerer = headed(SpanAnswerer, SpanAnswererConfig, 12, 2)
    scores = whole(answerer, ids)
    (expected,) = best_spans(scores[None], 3).tolist()
    span = answer_from_long_text(answerer, ids, 4, longest=3, question=())
    assert [span.first, span.last] == expected
    assert span.score == pytest.approx(scores[0, span.first] + scores[1, span.last])


def test_a_longer_document_is_read_in_windows(monkeypatch):
    ids = document(20)
    labeller = headed(TokenLabeller, TokenLabellerConfig, 8, 3)
    labels = label_long_text(labeller, ids, 4)
    assert labels.shape == (20, 3)
    monkeypatch.setattr(long_texts, "AT_ONCE", 2)
    np.testing.assert_allclose(label_long_text(labeller, ids, 4), labels, rtol=1e-10)
    np.testing.assert_allclose(labels[:5], whole(labeller, ids[:8])[:5], rtol=1e-10)
    np.testing.assert_allclose(labels[-4:], whole(labeller, ids[-8:])[-4:], rtol=1e-10)
    classifier = headed(Classifier, ClassifierConfig, 8, 3)
    every = [whole(classifier, ids[start : start + 8]) for start in (0, 4, 8, 12)]
    np.testing.assert_allclose(classify_long_text(classifier, ids, 4), np.max(every, axis=0))


def test_the_question_stands_before_every_window_and_never_answers():
    ids, question = document(20), [1, 2, 3]
    answerer = headed(SpanAnswerer, SpanAnswererConfig, 9, 2)
    found = answer_from_long_text(answerer, ids, 2, longest=2, question=question)
    best = -np.inf
    for start in (0, 4, 8, 12, 14):
        scores = whole(answerer, question + ids[start : start + 6])[:, 3:]
        for first in range(6):
            for last in range(first, min(first + 2, 6)):
                if scores[0, first] + scores[1, last] > best:
                    best = scores[0, first] + scores[1, last]
                    expected = (start + first, start + last)
    assert (found.first, found.last) == expected
    assert found.score == pytest.approx(best)
    with pytest.raises(InputError, match="size 0 and overlap 2"):
        answer_from_long_text(answerer, ids, 2, longest=2, question=[1] * 9)
