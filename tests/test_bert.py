"""BERT against its definition: padding, segments, both directions, and the tied output layer."""

import dataclasses

import numpy as np
import pytest

from minitransformer import ops
from minitransformer.errors import InputError
from minitransformer.models import Bert, BertForMaskedLM
from minitransformer.models.bert import BertEmbeddings
from minitransformer.nn import LayerNorm, PostNormBlock
from minitransformer.testing import MODELS, LawError
from minitransformer.testing.encoders import BERT, LENGTHS, sequences
from minitransformer.testing.models import model_gradient

pytestmark = pytest.mark.systems


def bert(**changes):
    model = Bert(dataclasses.replace(BERT, dropout=0.0, **changes), dtype=np.float64)
    rng = np.random.default_rng(5)
    for parameter in model.parameters():
        parameter.data[...] = 0.5 * rng.standard_normal(parameter.shape)
    return model


def batch():
    return sequences(np.zeros(4, int))


def test_it_is_what_the_paper_says():
    model, given = bert(), batch()
    x, _ = model.hidden(given)
    e, block = model.embeddings, model.blocks[0]

    def norm(x, layer):
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return centred / scale * layer.gamma.data + layer.beta.data

    def linear(x, layer):
        return x @ layer.weight.data + layer.bias.data

    row, n = 1, LENGTHS[1]  # without the padding at all
    h = e.tokens.weight.data[given.inputs[row, :n]] + e.positions.weight.data[:n]
    h = norm(h + e.segments.weight.data[given.segments[row, :n]], e.norm)
    q, k, v = np.split(linear(h, block.attention.query_key_value), 3, axis=-1)
    heads = []
    for head in np.split(np.arange(BERT.width), BERT.heads):
        scores = q[:, head] @ k[:, head].T / np.sqrt(len(head))
        heads.append(np.exp(scores) / np.exp(scores).sum(-1, keepdims=True) @ v[:, head])
    h = norm(h + linear(np.hstack(heads), block.attention.projection), block.attention_norm)
    inner = ops.gelu_forward(linear(h, block.feed_forward.expand), "none")[0]
    h = norm(h + linear(inner, block.feed_forward.contract), block.feed_forward_norm)
    np.testing.assert_allclose(x[row, :n], h, rtol=1e-10)


def test_padding_changes_nothing():
    model, given = bert(layers=2), batch()
    x, _ = model.hidden(given)
    other = given.inputs.copy()
    other[np.arange(6) >= LENGTHS[:, None]] = 3
    again, _ = model.hidden(given._replace(inputs=other))
    kept = np.arange(6) < LENGTHS[:, None]
    np.testing.assert_array_equal(x[kept], again[kept])


def test_tokens_see_both_sides():
    model, given = bert(), batch()
    x, _ = model.hidden(given)
    for place, seen_from in ((0, 5), (5, 0)):
        other = given.inputs.copy()
        other[0, place] = (other[0, place] + 1) % BERT.vocab_size
        again, _ = model.hidden(given._replace(inputs=other))
        assert np.abs(x[0, seen_from] - again[0, seen_from]).max() > 1e-3


def test_without_segments_all_is_the_first_text():
    model, given = bert(), batch()
    zeros = model.hidden(given._replace(segments=np.zeros_like(given.inputs)))[0]
    np.testing.assert_array_equal(model.hidden(given._replace(segments=None))[0], zeros)
    assert np.abs(model.hidden(given)[0] - zeros).max() > 1e-3


def test_only_what_is_asked_for_is_scored():
    model, given = MODELS["BertForMaskedLM"]()
    everything, _ = model(given)
    loss, cache = model.loss(given)
    asked = given.targets != -100
    assert cache.logits.x.shape == (asked.sum(), BERT.width)
    expected, _ = ops.cross_entropy_forward(everything, given.targets)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_nothing_asked_is_nothing_learnt():
    model, given = MODELS["BertForMaskedLM"]()
    loss, cache = model.loss(given._replace(targets=np.full((4, 6), -100)))
    model.backward(cache)
    assert loss == 0.0
    assert not any(parameter.grad.any() for parameter in model.parameters())


def test_the_output_layer_is_the_embedding():
    names = [name for name, _ in BertForMaskedLM(BERT).named_parameters()]
    assert [name for name in names if not name.startswith("trunk.")] == [
        "transform.weight",
        "transform.bias",
        "norm.gamma",
        "norm.beta",
        "bias",
    ]


def forgets_segments(self, dy, cache):
    dx = self.norm.backward(self.dropout.backward(dy, cache.dropout), cache.norm)
    self.tokens.backward(self.positions.backward(dx, cache.positions), cache.tokens)


def forgets_the_norm_of_a_block(block, dy, cache):
    return dy


@pytest.mark.parametrize(
    ("part", "backward"),
    [(BertEmbeddings, forgets_segments), (PostNormBlock, forgets_the_norm_of_a_block)],
)
def test_a_planted_fault_is_found(part, backward, monkeypatch):
    monkeypatch.setattr(part, "backward", backward)
    with pytest.raises(LawError, match="gradient of"):
        model_gradient(*MODELS["BertForMaskedLM"]())


def test_norms_have_the_eps_of_the_paper():
    norms = [part for _, part in BertForMaskedLM(BERT).named_modules() if type(part) is LayerNorm]
    assert {norm.eps for norm in norms} == {1e-12}
    assert len(norms) == 2 + 2 * BERT.layers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.zeros((0, 6), int), "lengths": np.zeros(0, int)}, "the batch is empty"),
        ({"inputs": np.zeros((4, 8), int)}, "the sequences have 8 tokens, but the model has 7"),
        ({"lengths": np.array([6, 0, 2, 5])}, "sequence 1 has length 0, expected 1 to 6"),
        ({"lengths": np.array([6, 4, 2, 7])}, "sequence 3 has length 7, expected 1 to 6"),
    ],
)
def test_bad_batches_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        bert().hidden(batch()._replace(**change))


def test_unknown_ids_are_refused():
    given = batch()
    with pytest.raises(IndexError, match="expected 0 <= value < 2"):
        bert().hidden(given._replace(segments=given.segments + 2))
    with pytest.raises(IndexError, match="expected 0 <= value < 11"):
        bert().hidden(given._replace(inputs=given.inputs + 11))


@pytest.mark.parametrize("change", [{"segments": 0}, {"heads": 4}, {"dropout": 1.0}])
def test_impossible_shapes_are_refused(change):
    with pytest.raises(InputError):
        dataclasses.replace(BERT, **change)
