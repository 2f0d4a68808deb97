"""Looking into a model: the logit lens, heads one by one, tokens and their probabilities."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from minitransformer import CharTokenizer, ops, show
from minitransformer.backend import use_backend
from minitransformer.data import IGNORE, Batch, EncoderBatch, PairBatch
from minitransformer.errors import InputError
from minitransformer.models import (
    GPT,
    Bert,
    BertConfig,
    BertForMaskedLM,
    EncoderDecoder,
    EncoderDecoderConfig,
    GPTConfig,
    Llama,
    LlamaConfig,
)
from minitransformer.nn import add_lora
from minitransformer.testing.models import MODELS as EVERY_MODEL

V = 11
IDS = np.random.default_rng(0).integers(V, size=(2, 7))
BATCH = Batch(IDS[:, :-1], IDS[:, 1:])
ENCODED = EncoderBatch(IDS, np.array([7, 5]), np.where(IDS % 3 == 0, IDS, IGNORE))
LETTERS = CharTokenizer("abcdefg h\nk")


def far_from_initial(model: Any) -> Any:
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data[...] += 0.3 * rng.standard_normal(parameter.shape)
    return model


def gpt() -> Any:
    return far_from_initial(GPT(GPTConfig(V, 8, layers=2, heads=2, width=8), dtype=np.float64))


def llama(tied: bool = False) -> Any:
    config = LlamaConfig(V, 8, layers=2, heads=4, width=16, kv_heads=2, tied=tied)
    return far_from_initial(Llama(config, dtype=np.float64))


def masked_lm() -> Any:
    config = BertConfig(V, 8, layers=2, heads=2, width=8)
    return far_from_initial(BertForMaskedLM(config, dtype=np.float64))


DECODERS = {"GPT": gpt, "Llama": llama, "Llama, tied": lambda: llama(tied=True)}


def is_well_formed(picture: show.Picture) -> bool:
    ET.fromstring(f"<div>{picture.html}</div>")
    return "http" not in picture.html.replace("http://www.w3.org/2000/svg", "")


def without_blocks_from(model: Any, n: int) -> Any:
    shorter = type(model).__new__(type(model))
    vars(shorter).update(vars(model), blocks=model.blocks[:n])
    return shorter


@pytest.mark.parametrize("make", DECODERS.values(), ids=DECODERS)
def test_the_lens_sees_what_a_model_with_fewer_blocks_says(make):
    model = make()
    logits, cache = model(BATCH.inputs)
    depths = show.logits_along_depth(cache)
    np.testing.assert_allclose(depths[-1], logits, rtol=1e-12)
    for n in range(len(model.blocks)):
        expected, _ = without_blocks_from(model, n)(BATCH.inputs)
        np.testing.assert_allclose(depths[n], expected, rtol=1e-4, atol=1e-4)  # eps of the norms


def test_the_lens_reads_a_masked_language_model():
    model = masked_lm()
    logits, cache = model(ENCODED)
    depths = show.logits_along_depth(cache, model)
    np.testing.assert_allclose(depths[-1], logits, rtol=1e-12)
    blocks = model.trunk.blocks
    for n in range(len(blocks)):
        model.trunk.blocks = blocks[:n]
        np.testing.assert_allclose(depths[n], model(ENCODED)[0], rtol=1e-12)
    with pytest.raises(InputError, match="model is missing"):
        show.logit_lens(cache)


def test_the_lens_reads_what_is_written_of_sound():
    model, batch = EVERY_MODEL["Whisper"]()
    logits, cache = model(batch)
    depths = show.logits_along_depth(cache)
    np.testing.assert_allclose(depths[-1], logits, rtol=1e-9)
    blocks = model.decoder.blocks
    for n in range(len(blocks)):
        model.decoder.blocks = blocks[:n]
        np.testing.assert_allclose(depths[n], model(batch)[0], rtol=1e-3, atol=1e-4)  # eps
    assert is_well_formed(show.logit_lens(cache))


def test_the_picture_of_the_lens_names_the_best_guesses():
    model = gpt()
    logits, cache = model(BATCH.inputs)
    picture = show.logit_lens(cache, LETTERS, row=1)
    assert is_well_formed(picture)
    head, *lines = picture.text.splitlines()
    assert head.split()[1:] == ["⏎" if c == "\n" else "␣" if c == " " else c for c in read(1)]
    assert len(lines) == 3
    best, p = logits[1].argmax(axis=-1), ops.softmax_forward(logits[1])[0].max(axis=-1)
    said = re.findall(r"(\S) (\S+)", lines[-1].removeprefix("block 1"))
    assert [letter for letter, _ in said] == [show_letter(token) for token in best]
    assert [float(share) for _, share in said] == pytest.approx(p, abs=0.0051)
    assert is_well_formed(show.logit_lens(cache))


def show_letter(token: int) -> str:
    return LETTERS.decode([token]).replace(" ", "␣").replace("\n", "⏎")


def read(row: int) -> str:
    return LETTERS.decode(BATCH.inputs[row])


def test_a_long_text_is_cut_and_says_so():
    model = GPT(GPTConfig(V, 60, layers=1, heads=1, width=4))
    _, cache = model(np.zeros((1, 50), int))
    assert "the last 48 of 50 places" in show.logit_lens(cache).text


def test_the_lens_refuses_what_it_cannot_read():
    model = Bert(BertConfig(V, 8, layers=1, heads=1, width=4))
    with pytest.raises(InputError, match="cache is a BertCache, expected that of a GPT"):
        show.logit_lens(model.hidden(ENCODED)[1])


MODELS = {**DECODERS, "BERT": masked_lm}


@pytest.mark.parametrize("name", MODELS)
def test_an_ablated_head_is_one_whose_rows_of_the_projection_are_zero(name):
    model = MODELS[name]()
    batch = ENCODED if name == "BERT" else BATCH
    blocks = model.trunk.blocks if name == "BERT" else model.blocks
    before, _ = model.loss(batch)
    with show.ablated(model, [(0, 1), (1, 0)]):
        silenced, _ = model.loss(batch)
    assert model.loss(batch)[0] == before != silenced
    for layer, head in ((0, 1), (1, 0)):
        attention = blocks[layer].attention
        size = attention.projection.weight.shape[0] // attention.heads[0]
        attention.projection.weight.data[head * size : (head + 1) * size] = 0.0
    assert model.loss(batch)[0] == pytest.approx(silenced, rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_importance_by_gradient_is_the_slope_of_closing_a_gate(name):
    model = MODELS[name]()
    batch = ENCODED if name == "BERT" else BATCH
    model.parameters()[0].grad[...] = 3.0
    found = show.head_importance(model, batch).values
    assert (model.parameters()[0].grad == 3.0).all()
    with show.head_gates(model) as gates:
        for layer, gate in enumerate(gates.values()):
            losses = []
            for opening in (1 - 1e-5, 1 + 1e-5):
                gate.gates[layer] = opening  # head 0 of layer 0, head 1 of layer 1
                losses.append(model.loss(batch)[0])
            gate.gates[layer] = 1.0
            slope = (losses[0] - losses[1]) / 2e-5
            assert found[layer, layer] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_importance_by_ablation_is_what_ablation_does():
    model = gpt()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    importance = show.head_importance(model, BATCH, by="ablation")
    assert importance.values.shape == (2, 2)
    whole, _ = model.loss(BATCH)
    for layer, head in np.ndindex(2, 2):
        with show.ablated(model, [(layer, head)]):
            assert importance.values[layer, head] == model.loss(BATCH)[0] - whole
    best = importance.strongest(1)[0]
    assert importance.values[best] == importance.values.max()
    assert f"most important: {best[0]} head {best[1]}" in importance.text
    assert is_well_formed(importance)
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name])


def test_a_silent_head_is_silent_in_lora_too():
    model = llama()
    add_lora(model, "*.projection", rank=2)
    for block in model.blocks:
        block.attention.projection.lora_b.data[...] = 0.5
    everyone = [(layer, head) for layer in range(2) for head in range(4)]
    with show.ablated(model, everyone):
        _, cache = model(BATCH.inputs)
    x, _ = model.token_embedding(BATCH.inputs)  # to which attention has added nothing
    _, norm = model.blocks[0].feed_forward_norm(x)
    assert np.array_equal(cache.blocks[0].feed_forward_norm.xhat, norm.xhat)


def test_heads_of_an_encoder_decoder_have_their_names():
    shape = {"vocab_size": V, "target_vocab_size": V, "start_id": 0, "end_id": 1}
    shape |= {"layers": 1, "heads": 2, "width": 8, "hidden": 8}
    model = EncoderDecoder(EncoderDecoderConfig(**shape))
    batch = PairBatch(IDS, np.array([7, 5]), IDS[:, :-1], IDS[:, 1:])
    with show.head_gates(model) as gates:
        names = list(gates)
    assert names == [
        "encoder.blocks.0.attention",
        "decoder.blocks.0.attention",
        "decoder.blocks.0.cross_attention",
    ]
    text = show.head_importance(model, batch).text
    assert all(f"{name} head" in text for name in names)


def test_what_has_no_such_head_is_refused():
    model = gpt()
    refused = pytest.raises(InputError, match="no head 2 in layer 0: the model has 2 layers of 2 h")
    with refused, show.ablated(model, [(0, 2)]):
        pass
    with pytest.raises(InputError, match="by is 'guess'"):
        show.head_importance(model, BATCH, by="guess")
    with pytest.raises(InputError, match="Bert has no loss"):
        show.head_importance(masked_lm().trunk, ENCODED)
    linear = model.blocks[0].feed_forward.expand
    with pytest.raises(InputError, match="Linear has no attention"), show.head_gates(linear):
        pass
    assert "HeadGates" not in {type(part).__name__ for _, part in model.named_modules()}


def test_an_error_takes_the_gates_out_again():
    model = gpt()
    projection = model.blocks[0].attention.projection
    with pytest.raises(ZeroDivisionError), show.ablated(model, [(0, 0)]):
        1 / 0  # noqa: B018
    assert model.blocks[0].attention.projection is projection


def test_all_heads_of_a_model_at_a_glance():
    _, cache = gpt()(BATCH.inputs)
    picture = show.attention(cache)
    assert is_well_formed(picture)
    assert "attention of 2 layers with 2 heads, T 6, S 6" in picture.text
    probs = cache.blocks[1].attention.probs[0, 1]
    before = probs[np.arange(6), np.maximum(np.arange(6) - 1, 0)].mean()
    habits = picture.text.splitlines()[2].split(", ")[1].split("/")
    assert float(habits[1]) == pytest.approx(before, abs=0.0051)
    drawn = np.count_nonzero(np.stack([b.attention.probs[0] for b in cache.blocks]) >= 0.1)
    assert picture.html.count("M") == drawn
    _, cache = masked_lm()(ENCODED)
    assert "attention of 2 layers" in show.attention(cache).text


@pytest.mark.parametrize("name", ["Whisper", "EncoderDecoder", "TransformerLM"])
def test_all_heads_of_a_part_at_a_glance(name):
    model, batch = EVERY_MODEL[name]()
    picture = show.attention(model.loss(batch)[1])
    stack = model.encoder if name == "TransformerLM" else model.decoder
    assert f"attention of {len(stack.blocks)} layers" in picture.text


def test_attention_of_what_has_none_is_refused():
    with pytest.raises(InputError, match="cache is a LinearCache, expected that of an attention"):
        show.attention(gpt()(BATCH.inputs)[1].logits)


def test_tokens_and_their_ids():
    picture = show.tokens(LETTERS, "bad\n")
    assert picture.text == "b|a|d|\n"
    assert 'title="1"' in picture.html
    assert is_well_formed(picture)


def test_probabilities_of_tokens():
    logits = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1]]))
    picture = show.token_probabilities(logits, np.array([1, IGNORE, 1]), CharTokenizer("a b"))
    assert is_well_formed(picture)
    summary, _, first, second = picture.text.splitlines()
    assert first.split() == ["␣", "0.30", "a", "0.50,", "␣", "0.30,", "b", "0.20"]
    assert second.split()[:2] == ["␣", "0.70"]
    assert f"{-np.log(0.3 * 0.7) / 2:.2f} nats" in summary
    opacities = [float(o) for o in re.findall(r"rgba\(0,114,178,([\d.]+)\)", picture.html)]
    assert opacities[:2] == pytest.approx([0.85 * 0.3, 0.85 * 0.7], abs=1e-3)
    assert "0      0.50" in show.token_probabilities(logits[:1], np.array([0])).text


def test_probabilities_of_the_wrong_shape_are_refused():
    with pytest.raises(InputError, match=r"logits has shape \(2, 6, 11\) and targets \(2, 6\)"):
        show.token_probabilities(np.zeros((2, 6, V)), BATCH.targets)
    with pytest.raises(InputError, match="nothing is asked for"):
        show.token_probabilities(np.zeros((1, V)), np.array([IGNORE]))


def test_curves_have_named_points():
    picture = show.curves({"line": ("forward", [(1, 1), (10, 2)])}, "x", "y", marks={"us": (9, 5)})
    assert is_well_formed(picture)
    assert "; us: 5 at 9" in picture.text
    assert ">us</text>" in picture.html


def test_source_is_of_the_library():
    text = show.source(ops.relu_forward.impls["numpy"])
    assert text.startswith("def relu_forward(")
    assert '"""' not in text


@pytest.mark.kernels
@pytest.mark.parametrize("make", [gpt, llama])
def test_what_kernels_remember_is_enough_to_look_inside(make):
    model = make()
    _, expected = model(BATCH.inputs)
    with use_backend("numba"):
        _, cache = model(BATCH.inputs)
    depths = show.logits_along_depth(expected)
    np.testing.assert_allclose(show.logits_along_depth(cache), depths, rtol=1e-9, atol=1e-9)
    for mine, theirs in zip(cache.blocks, expected.blocks, strict=True):
        probs = show.attention_probs(mine.attention)
        np.testing.assert_allclose(probs, theirs.attention.probs, rtol=1e-9, atol=1e-12)
    assert show.attention(cache).text == show.attention(expected).text
