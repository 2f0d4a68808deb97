"""The encoder-decoder: gradients, what sees what, and decoding with remembered keys and values."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.data import pair_batch
from minitransformer.errors import InputError
from minitransformer.generation import beam_search, generate
from minitransformer.models import EncoderDecoder, EncoderDecoderConfig, TransformerDecoder
from minitransformer.nn import CrossAttention, MultiHeadAttention
from minitransformer.testing import LawError
from minitransformer.testing.models import model_gradient

pytestmark = pytest.mark.systems

V, START, END = 11, 0, 1
CONFIG = EncoderDecoderConfig(
    vocab_size=V,
    target_vocab_size=9,
    start_id=START,
    end_id=END,
    context=7,
    target_context=6,
    layers=2,
    heads=2,
    width=6,
    hidden=5,
)
SOURCES, TARGETS = [[3, 4, 5, 6], [7], [8, 2, 2]], [[8], [2, 7, 4, 3], [5, 5]]
BATCH = pair_batch(SOURCES, TARGETS, START, END)
SHARED = {"target_vocab_size": V, "shared_embeddings": True}


def model(dtype=np.float64, **changes):
    return EncoderDecoder(dataclasses.replace(CONFIG, **changes), seed=3, dtype=dtype)


def peaked():
    """A model with parameters so large that each source has a target of its own."""
    result = model(norm="pre")
    rng = np.random.default_rng(12)
    for parameter in result.parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape)
    return result


def test_gradients_with_norms_last_and_separate_embeddings():
    one = model(layers=1, norm="post", dropout=0.25, label_smoothing=0.1)
    assert model_gradient(one, BATCH) <= 1e-7


def without_the_memory(self, dy, cache):
    dx, dmemory = CROSS_ATTENTION_BACKWARD(self, dy, cache)
    ops.zero_(dmemory)
    return dx, dmemory


def of_one_block_alone(self, dy, cache):
    dx, dmemory = DECODER_BACKWARD(self, dy, cache)
    ops.scale_(dmemory, 0.5)
    return dx, dmemory


def without_the_output_layer(self, dlogits, cache):
    dx, _, _ = ops.linear_backward(dlogits, cache.logits)
    dx, dmemory = self.decoder.backward(dx, cache.decoder)
    self.target_embedding.backward(dx, cache.target_embedding)
    dx = self.encoder.backward(dmemory, cache.source.encoder)
    self.source_embedding.backward(dx, cache.source.embedding)


CROSS_ATTENTION_BACKWARD = CrossAttention.backward
DECODER_BACKWARD = TransformerDecoder.backward


@pytest.mark.parametrize(
    ("part", "method", "fault"),
    [
        (CrossAttention, "backward", without_the_memory),
        (TransformerDecoder, "backward", of_one_block_alone),
        (EncoderDecoder, "backward_logits", without_the_output_layer),
    ],
)
def test_a_planted_fault_is_found(part, method, fault, monkeypatch):
    monkeypatch.setattr(part, method, fault)
    with pytest.raises(LawError, match="gradient of"):
        model_gradient(model(layers=1, **SHARED), BATCH)


def changed(batch, name, row, place):
    """The same batch with one other token."""
    array = getattr(batch, name).copy()
    array[row, place] = (array[row, place] + 1) % 9
    return batch._replace(**{name: array})


def sees(one, batch, name, row, place):
    """Which positions of the row's target depend on this token."""
    before, after = one(batch)[0], one(changed(batch, name, row, place))[0]
    return (np.abs(before[row] - after[row]).max(axis=-1) > 1e-12).tolist()


def assert_target_is_causal(one):
    for place in range(5):
        expected = [t >= place for t in range(5)]
        assert sees(one, BATCH, "inputs", 1, place) == expected


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_the_target_sees_its_past_and_all_of_the_source(norm):
    one = model(norm=norm)
    assert_target_is_causal(one)
    for place in range(4):
        assert sees(one, BATCH, "sources", 0, place) == [True] * 5


def test_a_target_that_sees_its_future_is_found(monkeypatch):
    def not_causal(self, x, mask=None, causal=False, rng=None, kv=None):
        return forward(self, x, mask, False, rng, kv)

    forward = MultiHeadAttention.__call__
    monkeypatch.setattr(MultiHeadAttention, "__call__", not_causal)
    with pytest.raises(AssertionError):
        assert_target_is_causal(model())


def test_padding_of_sources_is_not_looked_at():
    one = model()
    for place in range(1, 4):
        assert sees(one, BATCH, "sources", 1, place) == [False] * 5
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        alone, _ = one(pair_batch([source], [target], START, END))
        together, _ = one(BATCH)
        np.testing.assert_allclose(together[row, : alone.shape[1]], alone[0], atol=1e-12)


def test_a_missing_source_mask_is_found(monkeypatch):
    monkeypatch.setattr(ops, "padding_mask", lambda lengths, S: np.ones((3, 1, 1, S), np.bool_))
    with pytest.raises(AssertionError):
        test_padding_of_sources_is_not_looked_at()


def test_ignored_targets_and_what_is_read_in_their_place_do_not_count():
    one = model()
    padding = BATCH.targets == -100
    other = BATCH._replace(inputs=np.where(padding, 4, BATCH.inputs))
    assert one.loss(other)[0] == one.loss(BATCH)[0]


def test_labels_are_smoothed_while_training_only():
    plain, smooth = model(), model(label_smoothing=0.3)
    logits, _ = plain(BATCH)
    expected, _ = ops.cross_entropy_forward(logits, BATCH.targets, label_smoothing=0.3)
    assert smooth.loss(BATCH, np.random.default_rng(0))[0] == expected
    assert smooth.loss(BATCH)[0] == plain.loss(BATCH)[0] != expected


def test_shared_embeddings_are_one_parameter():
    names = [name for name, _ in model(**SHARED).named_parameters() if "embedding" in name]
    assert names == ["source_embedding.weight"]
    assert model().parameter_count() - model(**SHARED).parameter_count() == (V + 9 - V) * 6


def test_the_alignment_is_in_the_cache():
    _, cache = model()(BATCH)
    probs = cache.decoder.blocks[1].cross_attention.probs
    assert probs.shape == (3, 2, 5, 4)
    np.testing.assert_allclose(probs.sum(axis=-1), 1.0)
    assert not probs[1, :, :, 1:].any()


@settings(max_examples=10)
@given(cuts=st.sets(st.integers(1, 4)), norm=st.sampled_from(["post", "pre"]))
def test_decoding_in_pieces_is_decoding_at_once(cuts, norm):
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
        one = model(dtype, norm=norm)
        decoder = one.given(SOURCES)
        kv = decoder.new_kv(3)
        pieces = np.split(BATCH.inputs, sorted(cuts), axis=1)
        logits = np.concatenate([decoder(piece, kv=kv)[0] for piece in pieces], axis=1)
        assert kv.length == 5
        np.testing.assert_allclose(logits, one(BATCH)[0], rtol=0, atol=tolerance)
        np.testing.assert_allclose(decoder(BATCH.inputs)[0], one(BATCH)[0], rtol=0, atol=tolerance)


def test_selected_rows_go_on_as_if_they_had_been_there():
    decoder = model().given(SOURCES)
    kv = decoder.new_kv(3)
    decoder(BATCH.inputs[:, :3], kv=kv)
    rows = [2, 0, 2]
    logits, _ = decoder(BATCH.inputs[rows, 3:], kv=kv.select(rows))
    np.testing.assert_allclose(logits, decoder(BATCH.inputs)[0][rows, 3:], rtol=0, atol=1e-12)
    assert kv.length == 3


def greedily(one, source):
    """Decode one source from the definition: no memory, one likeliest token after another."""
    tokens = []
    while len(tokens) < 5:
        batch = pair_batch([source], [[*tokens, END]], START, END)
        token = int(one(batch)[0][0, len(tokens)].argmax())
        if token == END:
            break
        tokens.append(token)
    return tokens


def test_generate_writes_the_likeliest_tokens():
    one = peaked()
    expected = [greedily(one, source) for source in SOURCES]
    assert sorted(map(len, expected)) == [1, 2, 5]
    written = generate(one, SOURCES, max_new_tokens=5)
    assert [list(tokens) for tokens in written] == expected


def log_probabilities(decoder):
    def step(tokens):
        logits, _ = decoder(np.array([tokens]))
        probs, _ = ops.softmax_forward(logits[0, -1])
        return np.log(probs)

    return step


@pytest.mark.parametrize("width", [1, 3])
def test_beams_are_those_of_beam_search(width):
    one = peaked()
    written = generate(one, SOURCES, max_new_tokens=5, num_beams=width, early_stopping="never")
    for source, tokens in zip(SOURCES, written, strict=True):
        step = log_probabilities(one.given([source]))
        expected = beam_search(step, START, END, width, max_length=5)
        assert list(tokens) == [token for token in expected.tokens if token != END]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "there is no source"),
        ([[3], []], "source 1 is empty"),
        ([[3] * 8], "the sequence has 8 tokens after 0, .* at most 7"),
    ],
)
def test_sources_that_cannot_be_read(sources, message):
    with pytest.raises(InputError, match=message):
        model().given(sources)


def test_batches_that_cannot_be_read():
    one = model()
    with pytest.raises(InputError, match="source 2 is empty"):
        one.loss(BATCH._replace(source_lengths=np.array([4, 1, 0])))
    with pytest.raises(InputError, match="the target has 7 tokens after 0, .* at most 6"):
        one.loss(pair_batch([[3]], [[4] * 6], START, END))
    with pytest.raises(InputError, match="the target has 0 tokens"):
        one.loss(BATCH._replace(inputs=BATCH.inputs[:, :0], targets=BATCH.targets[:, :0]))
    with pytest.raises(ValueError, match=r"source_lengths \(2,\), expected \(B, S\) and \(B,\)"):
        one.loss(BATCH._replace(source_lengths=np.array([4, 1])))
    with pytest.raises(IndexError, match="expected 0 <= value < 5"):
        one.loss(BATCH._replace(source_lengths=np.array([4, 1, 9])))
    with pytest.raises(IndexError, match="expected 0 <= value < 11"):
        one.given([[V]])


def test_decoders_refuse_what_they_cannot_read():
    decoder = model().given(SOURCES)
    with pytest.raises(ValueError, match="batch is 2, expected 3"):
        decoder.new_kv(2)
    with pytest.raises(ValueError, match=r"ids has shape \(3,\), expected \(B, T\)"):
        decoder(np.zeros(3, int))
    with pytest.raises(InputError, match="the target has 7 tokens"):
        decoder(np.zeros((3, 7), int))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shared_embeddings": True}, "vocab_size is 11 and target_vocab_size 9"),
        ({"start_id": 9}, r"start_id is 9, expected 0 <= id < target_vocab_size \(9\)"),
        ({"end_id": -1}, "end_id is -1"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"target_context": 0}, "target_context is 0"),
        ({"norm": "none"}, "norm is 'none'"),
    ],
)
def test_shapes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **changes)
