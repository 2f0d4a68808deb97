"""The transformer encoder and the language model on it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.data import Batch, EncoderBatch
from minitransformer.errors import InputError
from minitransformer.models import TransformerEncoder, TransformerLM, TransformerLMConfig
from minitransformer.models.encoder import ScaledEmbedding
from minitransformer.nn import PostNormBlock
from minitransformer.testing import LawError
from minitransformer.testing.models import model_gradient

pytestmark = pytest.mark.systems

V, T, C = 11, 6, 6
CONFIG = TransformerLMConfig(V, context=T, layers=2, heads=2, width=C, hidden=5, dropout=0.25)
IDS = np.random.default_rng(5).integers(V, size=(3, T))


def model(dtype=np.float64, **changes):
    return TransformerLM(dataclasses.replace(CONFIG, **changes), seed=3, dtype=dtype)


def next_tokens(mask=None):
    return Batch(IDS[:, :-1], IDS[:, 1:], mask)


def random_mask(seed=4):
    return np.random.default_rng(seed).random((3, 1, T - 1, T - 1)) < 0.5


def test_gradients_with_norms_first_and_a_causal_mask():
    assert model_gradient(model(layers=1, norm="pre"), next_tokens()) <= 1e-7


def forgets_the_scale(self, dy, cache):
    (dw,) = ops.embedding_backward(dy, cache)
    self.weight.add_gradient(dw)


def forgets_a_residual(self, dy, cache):
    dtotal = self.feed_forward_norm.backward(dy, cache.feed_forward_norm)
    dupdate = self.dropout.backward(dtotal, cache.feed_forward_dropout)
    return self.feed_forward.backward(dupdate, cache.feed_forward)


@pytest.mark.parametrize(
    ("part", "backward"),
    [(ScaledEmbedding, forgets_the_scale), (PostNormBlock, forgets_a_residual)],
)
def test_a_planted_fault_is_found(part, backward, monkeypatch):
    monkeypatch.setattr(part, "backward", backward)
    with pytest.raises(LawError, match="gradient of"):
        model_gradient(model(layers=1), next_tokens())


def test_the_embedding_is_as_long_as_a_position():
    embedding = ScaledEmbedding(V, C, np.random.default_rng(0), np.float64)
    y, _ = embedding(IDS)
    np.testing.assert_array_equal(y, np.sqrt(C) * embedding.weight.data[IDS])
    wide = ScaledEmbedding(100, 64, np.random.default_rng(0))
    assert np.mean(wide(np.arange(100))[0] ** 2) == pytest.approx(1.0, rel=0.1)


def test_the_last_norm_comes_last():
    encoder = TransformerEncoder(T, 1, 2, C, 5, np.random.default_rng(0), norm="pre")
    y, _ = encoder(np.random.default_rng(1).standard_normal((2, T, C)).astype(np.float32))
    np.testing.assert_allclose(y.mean(axis=-1), 0.0, atol=1e-6)
    np.testing.assert_allclose(y.std(axis=-1), 1.0, atol=1e-3)


def test_without_a_mask_the_past_does_not_see_the_future():
    lm, changed = model(), IDS.copy()
    changed[:, 3] = (changed[:, 3] + 1) % V
    before, after = lm(IDS)[0], lm(changed)[0]
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(axis=-1).all()


def test_a_mask_takes_the_place_of_the_causal_one():
    lm, changed = model(), IDS.copy()
    changed[:, -1] = (changed[:, -1] + 1) % V
    everything = np.ones((1, 1, T, T), np.bool_)
    before, after = (lm(ids, mask=everything)[0] for ids in (IDS, changed))
    assert (before != after).any(axis=-1).all()
    np.testing.assert_allclose(lm(IDS, mask=ops.causal_mask(T, T))[0], lm(IDS)[0], atol=1e-14)


def test_padding_is_not_looked_at():
    lm, lengths = model(), np.array([4, 6, 2])
    other = np.where(np.arange(T) < lengths[:, None], IDS, 0)
    for ids in (IDS, other):
        x, _ = lm.hidden(EncoderBatch(ids, lengths, ids))
        for row, length in enumerate(lengths):
            alone, _ = lm.hidden(EncoderBatch(IDS[[row], :length], np.array([length]), IDS))
            np.testing.assert_allclose(x[row, :length], alone[0], atol=1e-12)


@settings(max_examples=10)
@given(cuts=st.sets(st.integers(1, T - 1)), norm=st.sampled_from(["post", "pre"]))
def test_reading_in_pieces_is_reading_at_once(cuts, norm):
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
        lm = model(dtype, norm=norm)
        kv = lm.new_kv(3)
        pieces = [lm(piece, kv=kv)[0] for piece in np.split(IDS, sorted(cuts), axis=1)]
        assert kv.length == T
        np.testing.assert_allclose(
            np.concatenate(pieces, axis=1), lm(IDS)[0], rtol=0, atol=tolerance
        )


def test_rows_that_begin_later_are_read_as_if_alone():
    lm, padding = model(), np.array([2, 0, 3])
    kv = lm.new_kv(3, padding)
    logits = np.concatenate([lm(IDS[:, :4], kv=kv)[0], lm(IDS[:, 4:], kv=kv)[0]], axis=1)
    for row, padded in enumerate(padding):
        alone, _ = lm(IDS[[row], padded:])
        np.testing.assert_allclose(logits[row, padded:], alone[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.zeros((2, 0), int), "has 0 tokens after 0, expected at least 1"),
        (np.zeros((2, T + 1), int), f"has {T + 1} tokens after 0, .* at most {T}"),
    ],
)
def test_sequences_for_which_there_are_no_positions(ids, message):
    with pytest.raises(InputError, match=message):
        model()(ids)


def test_memory_that_is_full():
    lm = model()
    kv = lm.new_kv(3)
    lm(IDS, kv=kv)
    with pytest.raises(InputError, match=f"has 1 tokens after {T}"):
        lm(IDS[:, :1], kv=kv)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"ids has shape \(6,\), expected \(B, T\)"):
        model()(IDS[0])
    with pytest.raises(ValueError, match=r"mask has shape \(3, 1, 4, 4\)"):
        model().loss(next_tokens(random_mask()[:, :, 1:, 1:]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "both"}, "norm is 'both', expected 'post' or 'pre'"),
        ({"width": 5, "heads": 5}, "width is 5, expected an even number"),
        ({"hidden": 0}, "hidden is 0, expected 1 or more"),
        ({"heads": 4}, "expected heads to divide width"),
    ],
)
def test_shapes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **changes)
