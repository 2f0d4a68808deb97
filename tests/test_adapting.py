"""Freezing and LoRA: what is frozen costs nothing and stays; what learns, learns as before."""

import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from minitransformer import nn, ops
from minitransformer.errors import InputError
from minitransformer.models import GPT, Bert, BertForMaskedLM, Classifier, ClassifierConfig
from minitransformer.models.adapters import load_adapter, save_adapter
from minitransformer.nn import (
    FlatParameters,
    Linear,
    LoraLinear,
    PreNormBlock,
    add_lora,
    freeze,
    lora_layers,
    merge_lora,
    unmerge_lora,
)
from minitransformer.optim import AdamW
from minitransformer.testing import MODELS, LawError
from minitransformer.testing.encoders import BERT
from minitransformer.testing.models import model_gradient
from minitransformer.testing.opaque import hide_parameters, opaque_backend, to_numpy

pytestmark = pytest.mark.systems

TARGETS = "*.query_key_value"


def classifier():
    model, batch = MODELS["Classifier"]()
    rng = np.random.default_rng(3)
    for parameter in model.parameters():
        parameter.data[...] = 0.5 * rng.standard_normal(parameter.shape)
    return model, batch


def adapted():
    """LoRA on the trunk, a head that learns, and a change that is no longer 0."""
    model, batch = classifier()
    add_lora(model.trunk, TARGETS, "*.contract", rank=2, alpha=3.0)
    rng = np.random.default_rng(4)
    for layer in lora_layers(model).values():
        layer.lora_b.data[...] = rng.standard_normal(layer.lora_b.shape)
    return model, batch


def gradients(model, batch):
    model.zero_grad()
    _, cache = model.loss(batch, np.random.default_rng(0))
    model.backward(cache)
    return {name: p.grad.copy() for name, p in model.named_parameters() if not p.frozen}


@pytest.mark.parametrize(
    "patterns",
    [
        ["trunk"],
        ["trunk.embeddings"],
        ["trunk.embeddings", "trunk.blocks.0.attention"],
        ["head", "trunk.blocks.0.feed_forward_norm"],
        ["*.weight", "*.gamma"],
        ["*.bias"],
        ["trunk.embeddings.norm.beta"],
    ],
)
def test_what_is_not_frozen_has_the_gradient_it_had(patterns):
    model, batch = classifier()
    expected = gradients(model, batch)
    frozen = freeze(model, *patterns)
    got = gradients(model, batch)
    assert set(got) == set(expected) - set(frozen)
    assert 0 < len(got) < len(expected)
    for name, gradient in got.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["GPT", "Llama", "TransformerLM", "BertForMaskedLM", "MultiTask"])
def test_every_second_parameter_of_any_model_may_be_frozen(name):
    model, batch = MODELS[name]()
    expected = gradients(model, batch)
    frozen = freeze(model, *list(expected)[::2])
    got = gradients(model, batch)
    assert set(got) == set(expected) - set(frozen)
    for key, gradient in got.items():
        np.testing.assert_allclose(gradient, expected[key], rtol=1e-12, atol=1e-15)


def test_no_work_for_what_is_frozen(monkeypatch):
    """The backward pass ends at the head, or at the second block; frozen maps make no dw."""
    calls = []
    right = ops.linear_backward

    def counted(dy, cache):
        calls.append(cache.w.shape)
        return right(dy, cache)

    monkeypatch.setattr(ops, "linear_backward", counted)
    model, batch = classifier()
    gradients(model, batch)
    assert len(calls) == 4 * BERT.layers + 2
    calls.clear()
    freeze(model, "trunk")
    gradients(model, batch)
    assert len(calls) == 2

    gpt, batch = MODELS["GPT"]()
    backward, seen = PreNormBlock.backward, []

    def followed(self, dy, cache):
        seen.append(self)
        return backward(self, dy, cache)

    monkeypatch.setattr(PreNormBlock, "backward", followed)
    freeze(gpt, "token_embedding", "positions", "blocks.0", "blocks.1.attention")
    calls.clear()
    gradients(gpt, batch)
    assert seen == [gpt.blocks[1]]
    assert len(calls) == 2  # expand and contract; neither attention's two nor the output layer


def test_no_memory_for_what_is_frozen():
    model, _ = classifier()
    everything = model.trainable_count()
    freeze(model, "trunk")
    head = model.head.parameter_count()
    assert model.trainable_count() == head < everything == model.parameter_count()
    optimizer = AdamW(model.parameters(), 1e-3)
    assert {buffer.size for buffer in optimizer.buffers.values()} == {head}
    assert model.trunk.blocks[0].attention.projection.weight.grad.size == 0
    assert isinstance(model.head.output.weight.flat, FlatParameters)
    assert model.head.output.weight.flat.data.size == head


def test_training_moves_what_learns_and_nothing_else():
    model, batch = classifier()
    freeze(model, "trunk.embeddings", "*.attention")
    before = model.state_dict()
    optimizer = AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(10):
        model.zero_grad()
        loss, cache = model.loss(batch)
        model.backward(cache)
        optimizer.step()
        losses.append(loss)
    assert losses[-1] < losses[0]
    for name, parameter in model.named_parameters():
        assert np.array_equal(parameter.data, before[name]) == parameter.frozen


def test_freezing_after_the_optimizer_was_made_is_refused():
    model, _ = classifier()
    optimizer = AdamW(model.parameters(), 1e-3)
    freeze(model, "trunk")
    with pytest.raises(ValueError, match="then make the optimizer"):
        optimizer.step()


def test_with_all_frozen_there_is_nothing_to_train():
    model, _ = classifier()
    freeze(model, "*")
    assert not model.learns()
    with pytest.raises(ValueError, match="expected one or more that are not frozen"):
        AdamW(model.parameters(), 1e-3)


def test_unknown_patterns_come_with_close_names():
    model, _ = classifier()
    with pytest.raises(InputError) as caught:
        freeze(model, "trunk", "trunk.block.0")
    assert "'trunk.block.0' matches no parameter; close names are trunk.blocks" in str(caught.value)
    assert all(not parameter.frozen for parameter in model.parameters())
    with pytest.raises(InputError) as caught:
        add_lora(model, "query_key_values")
    assert "no linear layer" in str(caught.value)
    assert "trunk.blocks.0.attention.query_key_value" in str(caught.value)
    with pytest.raises(InputError, match="no pattern is given; expected the name of a parameter"):
        freeze(model)


def test_gradients_of_lora():
    model, batch = adapted()
    assert model_gradient(model, batch) <= 1e-7
    learning = [name for name, p in model.named_parameters() if not p.frozen]
    assert [n for n in learning if not n.startswith("head")] == [
        "trunk.blocks.0.attention.query_key_value.lora_a",
        "trunk.blocks.0.attention.query_key_value.lora_b",
        "trunk.blocks.0.feed_forward.contract.lora_a",
        "trunk.blocks.0.feed_forward.contract.lora_b",
    ]


def test_a_planted_fault_in_lora_is_found(monkeypatch):
    def without_the_scale(self, dy, cache):
        dx, da, db = nn.lora_backward(dy, cache.lora._replace(scale=1.0))
        self.lora_a.add_gradient(da)
        self.lora_b.add_gradient(db)
        return dx

    monkeypatch.setattr(LoraLinear, "backward", without_the_scale)
    with pytest.raises(LawError, match="gradient of"):
        model_gradient(*adapted())


def test_lora_changes_nothing_at_first():
    model, batch = classifier()
    expected, _ = model(batch)
    names = add_lora(model.trunk, TARGETS, rank=2)
    assert names == ["blocks.0.attention.query_key_value"]
    np.testing.assert_allclose(model(batch)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_merging_and_back(dtype):
    model = GPT(dataclasses.replace(MODELS["GPT"]()[0].config, dropout=0.0), dtype=dtype)
    ids = MODELS["GPT"]()[1].inputs
    add_lora(model, TARGETS, "*.expand", rank=2)
    rng = np.random.default_rng(0)
    for layer in lora_layers(model).values():
        layer.lora_b.data[...] = rng.standard_normal(layer.lora_b.shape)
    trunk = model.state_dict()
    expected, _ = model(ids)
    layers = merge_lora(model)
    assert not lora_layers(model)
    assert all(type(model.blocks[i].feed_forward.expand) is Linear for i in range(2))
    merged = model.state_dict()
    changed = [name for name in merged if not np.array_equal(merged[name], trunk[name])]
    assert changed == [f"{name}.weight" for name in layers]
    np.testing.assert_allclose(model(ids)[0], expected, rtol=0, atol=1e-6)
    unmerge_lora(model, layers)
    assert list(lora_layers(model)) == list(layers)
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, trunk[name], rtol=0, atol=1e-6)
    np.testing.assert_allclose(model(ids)[0], expected, rtol=0, atol=1e-6)


def test_lora_twice_is_refused_and_so_is_a_bad_rank():
    model, _ = adapted()
    with pytest.raises(InputError, match="the model has LoRA already"):
        add_lora(model, TARGETS)
    for rank in (0, 7):
        with pytest.raises(InputError, match=f"rank is {rank}, expected 1 to 6, the shorter"):
            add_lora(classifier()[0], TARGETS, rank=rank)


def test_lora_runs_where_only_ops_do():
    plain, batch = adapted()
    hidden, _ = adapted()
    hide_parameters(hidden)
    loss, cache = plain.loss(batch)
    plain.backward(cache)
    with opaque_backend():
        got, cache = hidden.loss(batch)
        hidden.backward(cache)
        layers = merge_lora(hidden)
        unmerge_lora(hidden, layers)
    assert got == loss
    for p, q in zip(plain.parameters(), hidden.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad, to_numpy(q.grad))


def test_what_was_learnt_is_saved_apart_and_put_back(tmp_path):
    model, batch = adapted()
    path = tmp_path / "adapter.safetensors"
    save_adapter(path, model)
    saved = safetensors.numpy.load_file(path)
    assert set(saved) == {n for n, p in model.named_parameters() if not p.frozen}
    assert sum(array.size for array in saved.values()) < model.parameter_count() / 2

    fresh, _ = classifier()
    fresh.head.output.weight.data[...] = 0.0
    load_adapter(path, fresh)
    np.testing.assert_array_equal(fresh(batch)[0], model(batch)[0])
    assert fresh.trainable_count() == model.trainable_count()
    assert [p.name for p in tmp_path.iterdir()] == ["adapter.safetensors"]


def test_the_wrong_trunk_is_refused_with_all_that_differs(tmp_path):
    model, _ = adapted()
    path = tmp_path / "adapter.safetensors"
    save_adapter(path, model)
    other, _ = classifier()
    other.trunk.blocks[0].attention.projection.bias.data[0] += 1e-3
    other.trunk.embeddings.norm.beta.data[0] += 1e-3
    before = other.state_dict()
    with pytest.raises(InputError) as caught:
        load_adapter(path, other)
    assert str(caught.value).splitlines()[1:] == [
        "  values: trunk.embeddings.norm.beta has other values",
        "  values: trunk.blocks.0.attention.projection.bias has other values",
    ]
    assert not lora_layers(other)
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, before[name])

    config = ClassifierConfig(dataclasses.replace(BERT, context=9), outputs=4)
    with pytest.raises(InputError) as caught:
        load_adapter(path, Classifier(config, dtype=np.float64))
    message = str(caught.value)
    assert "shape: trunk.embeddings.positions.weight is [9, 6], expected [7, 6]" in message
    assert "shape: head.output.weight is (6, 4), expected (6, 5)" in message

    with pytest.raises(InputError, match="missing: trunk"):
        load_adapter(path, Bert(BERT, dtype=np.float64))
    with pytest.raises(InputError, match=r"unknown: bias \(11,\)"):
        load_adapter(path, BertForMaskedLM(BERT, dtype=np.float64))
    with pytest.raises(InputError, match="layer: .*query_key_value is no plain linear layer"):
        load_adapter(path, adapted()[0])


def test_files_of_another_kind_are_refused(tmp_path):
    model, _ = classifier()
    with pytest.raises(InputError, match="does not exist"):
        load_adapter(tmp_path / "none", model)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match="truncated or not a safetensors file"):
        load_adapter(tmp_path / "text", model)
    (tmp_path / "other").write_bytes(safetensors.numpy.save({"x": np.ones(1)}))
    with pytest.raises(InputError, match="not of this kind"):
        load_adapter(tmp_path / "other", model)
    with pytest.raises(InputError, match="no parameter is frozen"):
        save_adapter(tmp_path / "all", model)
