"""Texts of unequal length, written side by side, are what each would be alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import nn
from minitransformer.generation import generate, stream
from minitransformer.models import (
    EncoderDecoder,
    EncoderDecoderConfig,
    Llama,
    LlamaConfig,
    TransformerLM,
    TransformerLMConfig,
)
from tests.generation_models import FakeModel, counting, shaken, small_gpt

pytestmark = pytest.mark.systems

SHAPE = {"vocab_size": 11, "context": 12, "layers": 2, "heads": 2, "width": 8}
MODELS = {
    "learned positions": small_gpt(context=12, dtype=np.float32),
    "rotary positions": shaken(Llama(LlamaConfig(**SHAPE, kv_heads=1, hidden=12))),
    "sinusoidal positions": shaken(TransformerLM(TransformerLMConfig(**SHAPE))),
}
PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 6, 5], [3, 5, 8, 9, 7, 9, 3]]


@pytest.fixture(scope="module")
def translator():
    shape = {"target_vocab_size": 9, "target_context": 6, "start_id": 1, "end_id": 2, "hidden": 12}
    return shaken(EncoderDecoder(EncoderDecoderConfig(**{**SHAPE, "dropout": 0.0}, **shape)))


def padded(prompts):
    longest = max(map(len, prompts))
    padding = np.array([longest - len(prompt) for prompt in prompts])
    return np.array([[7] * (longest - len(prompt)) + prompt for prompt in prompts]), padding


def last_logits(model, ids):
    return model(np.array([ids]))[0][0, -1]


@pytest.mark.parametrize("name", MODELS)
def test_padding_on_the_left_changes_nothing(name):
    model = MODELS[name]
    ids, padding = padded(PROMPTS)
    kv = model.new_kv(len(ids), padding)
    texts = PROMPTS
    for tokens in (None, [1, 2, 3, 4], [5, 6, 7, 8]):
        if tokens is not None:
            ids = np.array(tokens)[:, None]
            texts = [[*text, token] for text, token in zip(texts, tokens, strict=True)]
        logits, _ = model(ids, kv=kv)
        for row, text in zip(logits[:, -1], texts, strict=True):
            np.testing.assert_allclose(row, last_logits(model, text), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_selected_rows_go_on_as_themselves(name):
    model = MODELS[name]
    ids, padding = padded(PROMPTS)
    kv = model.new_kv(len(ids), padding)
    model(ids, kv=kv)
    rows = [3, 1, 1, 0, 3]
    selected = kv.select(rows)
    model(np.full((4, 1), 9), kv=kv)  # what the rows do afterwards is their affair
    assert (selected.length, kv.length) == (7, 8)
    np.testing.assert_array_equal(selected.padding, padding[rows])
    for token in range(3):
        logits, _ = model(np.full((5, 1), token), kv=selected)
        for row, got in zip(rows, logits[:, -1], strict=True):
            text = [*PROMPTS[row], *range(token + 1)]
            np.testing.assert_allclose(got, last_logits(model, text), rtol=0, atol=1e-5)


def test_nothing_read_yet_can_be_selected():
    kv = MODELS["learned positions"].new_kv(2).select([1, 0, 1])
    assert (kv.length, kv.padding, kv.mask(3)) == (0, None, None)
    assert kv.layers[1].keys.shape == (3, 2, 12, 4)


def test_positions_in_padding_are_those_of_the_first_token():
    np.testing.assert_array_equal(nn.positions.positions_from(3, 2), [3, 4])
    got = nn.positions.positions_from(np.array([-2, 1]), 4)
    np.testing.assert_array_equal(got, [[0, 0, 0, 1], [1, 2, 3, 4]])


@settings(max_examples=8)
@given(
    name=st.sampled_from(sorted(MODELS)),
    prompts=st.lists(st.lists(st.integers(0, 10), min_size=1, max_size=14), min_size=2, max_size=3),
    do_sample=st.booleans(),
    options=st.sampled_from([{}, {"repetition_penalty": 1.5}, {"no_repeat_ngram_size": 2}]),
)
def test_a_batch_writes_what_each_prompt_gives_alone(name, prompts, do_sample, options):
    """Also when some end before others, and when some outgrow the context and others do not."""
    common = {"max_new_tokens": 5, "do_sample": do_sample, "eos_id": 4, "seed": 5, **options}
    together = generate(MODELS[name], prompts, num_return_sequences=2, **common)
    for i, prompt in enumerate(prompts):
        alone = generate(MODELS[name], prompt, num_return_sequences=2, **common)
        assert together[2 * i : 2 * i + 2] == alone
        assert alone[0] == list(stream(MODELS[name], prompt, **common))


def test_prompts_are_read_once_and_finished_texts_no_more():
    model = FakeModel(counting)
    got = generate(model, [[0, 1], [3]], max_new_tokens=4, num_return_sequences=2, eos_id=4)
    assert got == [[2, 3], [2, 3], [], []]
    assert model.calls == [[[0, 1], [0, 3]], [[2], [2]], [[3], [3]]]


def test_the_result_says_how_it_came_about():
    model = FakeModel(counting, context=4, eos_id=4)
    ended, cut, none = (
        generate(model, prompt, max_new_tokens=count)[0]
        for prompt, count in (([0, 1], 9), ([0], 2), ([0], 0))
    )
    assert (ended, ended.finished, ended.slid, ended.score) == ([2, 3], True, False, None)
    assert (cut, cut.finished, cut.slid) == ([1, 2], False, False)
    assert (none, none.finished, none.slid) == ([], False, False)
    slid = generate(model, [0, 1, 2, 3], max_new_tokens=3, eos_id=())
    assert slid == [[4, 0, 1]]
    assert slid[0].slid
    assert not generate(model, [0, 1, 2, 3], max_new_tokens=1, eos_id=())[0].slid


@pytest.mark.parametrize("eos_id", [3, [3], (3, 7), np.int64(3)])
def test_there_may_be_several_end_tokens(eos_id):
    assert generate(FakeModel(counting, eos_id=1), [0], max_new_tokens=9, eos_id=eos_id) == [[1, 2]]


def test_the_end_token_is_the_models_unless_another_is_named():
    model = FakeModel(counting, eos_id=2)
    assert generate(model, [0], max_new_tokens=4) == [[1]]
    assert generate(model, [0], max_new_tokens=4, eos_id=()) == [[1, 2, 3, 4]]
    model.config.eos_id = 0
    assert generate(model, [1], max_new_tokens=9) == [[2, 3, 4]]


def decoded(model, source, count, context):
    """What an encoder-decoder writes greedily, everything computed again for each token."""
    ids = [model.config.start_id]
    for _ in range(count):
        logits, _ = model.given([source])(np.array([ids[-context:]]))
        ids.append(int(logits[0, -1].argmax()))
    return ids[1:]


def test_an_encoder_decoder_writes_about_its_sources(translator):
    sources = [[3, 1, 4], [1, 5, 9, 2, 6], [7]]
    got = generate(translator, sources, max_new_tokens=9, eos_id=())
    assert got == [decoded(translator, source, 9, context=6) for source in sources]
    assert all(text.slid for text in got)
    assert list(stream(translator, sources[1], max_new_tokens=9, eos_id=())) == got[1]
    ended = generate(translator, sources, max_new_tokens=30)
    assert ended == [text[: text.index(2)] if 2 in text else text for text in ended]


def test_an_encoder_decoder_counts_what_its_decoder_has_read(translator):
    banned = generate(translator, [3, 4], max_new_tokens=6, no_repeat_ngram_size=1, eos_id=())[0]
    assert len({translator.config.start_id, *banned}) == 7  # its start token is one of them
    drawn = generate(
        translator, [[3], [4, 5]], max_new_tokens=4, do_sample=True, num_return_sequences=3
    )
    assert drawn[3:] == generate(
        translator, [4, 5], max_new_tokens=4, do_sample=True, num_return_sequences=3
    )
