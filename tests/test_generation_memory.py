"""Generation reads a token once, and scores nothing but what may come next."""

import numpy as np
import pytest

from minitransformer.generation import Memory, generate, stream
from minitransformer.models import (
    EncoderDecoder,
    EncoderDecoderConfig,
    Llama,
    LlamaConfig,
    TransformerLM,
    TransformerLMConfig,
)
from tests.generation_models import FakeModel, counting, shaken, small_gpt

SIZES = {"vocab_size": 11, "context": 9, "layers": 2, "heads": 2, "width": 8}


def language_models():
    llama = {"kv_heads": 1, "hidden": 12}
    target = {"target_vocab_size": 7, "target_context": 9, "start_id": 0, "end_id": 1}
    pairs = EncoderDecoderConfig(**SIZES, **target)
    return {
        "GPT": small_gpt(context=9),
        "Llama": shaken(Llama(LlamaConfig(**SIZES, **llama), dtype=np.float64)),
        "tied Llama": shaken(Llama(LlamaConfig(**SIZES, tied=True), dtype=np.float64)),
        "language model": shaken(TransformerLM(TransformerLMConfig(**SIZES), dtype=np.float64)),
        "conditioned": shaken(EncoderDecoder(pairs, dtype=np.float64)).given([[1, 2], [3]]),
    }


@pytest.mark.parametrize("name", ["GPT", "Llama", "tied Llama", "language model", "conditioned"])
def test_next_logits_are_those_of_the_last_position(name):
    model = language_models()[name]
    rng = np.random.default_rng(0)
    kv, whole = model.new_kv(2), model.new_kv(2)
    for count in (4, 1, 3):
        ids = rng.integers(0, 7, (2, count))
        logits, _ = model(ids, kv=whole)
        last = model.next_logits(ids, kv)
        np.testing.assert_allclose(last, logits[:, -1], rtol=0, atol=1e-12)
    ids = rng.integers(0, 7, (2, 3))
    np.testing.assert_allclose(model.next_logits(ids), model(ids)[0][:, -1], rtol=0, atol=1e-12)


def test_next_logits_do_not_look_at_padding():
    for name, model in language_models().items():
        if name != "conditioned":
            padding = np.array([0, 2])
            ids = np.array([[1, 2, 3, 4], [0, 0, 3, 4]])
            got = model.next_logits(ids, model.new_kv(2, padding=padding))
            logits, _ = model(np.array([[3, 4]]), kv=model.new_kv(1))
            np.testing.assert_allclose(got[1], logits[0, -1], rtol=0, atol=1e-12)


def test_generation_scores_the_last_position_alone(monkeypatch):
    model = small_gpt()
    expected = generate(model, [[1, 2, 3], [4]], max_new_tokens=9)  # the window slides
    monkeypatch.setattr(type(model), "__call__", None)
    assert generate(model, [[1, 2, 3], [4]], max_new_tokens=9) == expected


class CountingModel:
    """A language model that notes how many tokens it reads."""

    def __init__(self, model):
        self.model = model
        self.config = model.config
        self.counts = []

    def new_kv(self, batch):
        return self.model.new_kv(batch)

    def next_logits(self, ids, kv):
        self.counts.append(ids.shape[1])
        return self.model.next_logits(ids, kv)


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ([1, 2, 3, 4, 5], 2),
        ([1, 2, 3], 1),  # the same once more: the last token's logits are not kept
        ([1, 2], 1),
        ([2, 2, 3], 3),
        ([1, 5, 3, 4], 3),
        ([3] * 12, 9),  # more than a context
    ],
)
def test_a_memory_reads_what_is_new(prompt, read):
    model = CountingModel(language_models()["Llama"])
    memory = Memory(model)
    (first,) = stream(model, [1, 2, 3], max_new_tokens=1, memory=memory)
    assert first != 4
    model.counts.clear()
    got = list(stream(model, prompt, max_new_tokens=3, memory=memory))
    assert model.counts[0] == read
    assert got == list(stream(model.model, prompt, max_new_tokens=3))


def test_a_memory_holds_what_was_written():
    model = CountingModel(language_models()["GPT"])
    memory = Memory(model)
    written = list(stream(model, [1, 2], max_new_tokens=4, memory=memory))
    prompt = [1, 2, *written, 5]
    assert list(stream(model, prompt, max_new_tokens=2, memory=memory)) == list(
        stream(model.model, prompt, max_new_tokens=2)
    )
    assert model.counts == [2, 1, 1, 1, 2, 1]


def test_a_memory_after_the_window_has_slid():
    model = language_models()["Llama"]
    memory = Memory(model)
    list(stream(model, [1, 2, 3], max_new_tokens=15, memory=memory))
    for prompt in ([1, 2, 3, 4], [5, 6], list(range(11))):
        expected = list(stream(model, prompt, max_new_tokens=3))
        assert list(stream(model, prompt, max_new_tokens=3, memory=memory)) == expected


def test_models_without_next_logits_do_as_well():
    model = FakeModel(counting)
    assert not hasattr(model, "next_logits")
    assert list(stream(model, [0, 1], max_new_tokens=3)) == [2, 3, 4]


def test_key_values_forget():
    model = language_models()["GPT"]
    ids = np.array([[1, 2, 3, 4]])
    kv, expected = model.new_kv(1), model.new_kv(1)
    model(ids, kv=kv)
    model(ids[:, :2], kv=expected)
    kv.cut(2)
    assert kv.length == 2
    for cut in (kv, kv.select([0, 0])):
        rows = np.repeat(ids[:, 2:], len(cut.layers[0].keys), axis=0)
        got, _ = model(rows, kv=cut)
        whole, _ = model(ids)
        np.testing.assert_allclose(got[-1:], whole[:, 2:], rtol=0, atol=1e-12)
