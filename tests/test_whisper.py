"""Whisper: convolutions, what sees what, decoding with memory, and the public layout."""

import dataclasses
import math

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.errors import InputError
from minitransformer.generation import generate, stream
from minitransformer.models import SpeechBatch, Whisper, WhisperConfig
from minitransformer.nn import Conv1d
from minitransformer.pretrained import from_pretrained, save_pretrained
from minitransformer.pretrained.config_json import Settings
from minitransformer.pretrained.whisper import WhisperFamily
from minitransformer.testing import LawError
from minitransformer.testing.models import MODELS, model_gradient

pytestmark = pytest.mark.systems

V, START, END = 13, 11, 12
CONFIG = WhisperConfig(
    vocab_size=V,
    start_id=START,
    end_id=END,
    mel_bins=5,
    context=6,
    target_context=7,
    layers=2,
    decoder_layers=3,
    heads=2,
    width=8,
    hidden=12,
    suppressed=(1, 2),
    suppressed_first=(3,),
)
RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((2, 12, 5))
IDS = RNG.integers(0, V, (2, 6))
BATCH = SpeechBatch(FEATURES, IDS, IDS)


def whisper(dtype=np.float64, std=0.3, **changes):
    """None of its parameters is as it began: no gain is 1, no shift 0; the keys have no bias."""
    model = Whisper(dataclasses.replace(CONFIG, **changes), dtype=dtype)
    rng = np.random.default_rng(7)
    for name, parameter in model.named_parameters():
        parameter.data[...] = rng.normal(0.1, std, parameter.shape)
        if name.endswith("query_key_value.bias"):
            parameter.data[8:16] = 0
        if name.endswith("key_value.bias") and "cross" in name:
            parameter.data[:8] = 0
    return model


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 5, 6])
def test_a_convolution_by_the_definition(stride, length):
    rng = np.random.default_rng(0)
    conv = Conv1d(4, 2, rng, stride=stride, dtype=np.float64)
    conv.linear.bias.data[...] = [1, 2]
    x = rng.standard_normal((3, length, 4))
    y, _ = conv(x)
    w = conv.linear.weight.data.reshape(3, 4, 2)
    places = range(0, length, stride)
    expected = np.broadcast_to([1.0, 2.0], (3, len(places), 2)).copy()
    for t, place in enumerate(places):
        for k in range(3):
            if 0 <= place + k - 1 < length:
                expected[:, t] += x[:, place + k - 1] @ w[k]
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_backward_of_a_convolution(stride):
    """Overlapping windows add up: <dy, conv(x + v) - conv(x)> is <dx, v>, as it is linear in x."""
    rng = np.random.default_rng(0)
    conv = Conv1d(4, 2, rng, size=5, stride=stride, dtype=np.float64)
    x, v = rng.standard_normal((2, 3, 7, 4))
    y, cache = conv(x)
    dy = rng.standard_normal(y.shape)
    dx = conv.backward(dy, cache)
    assert np.vdot(dx, v) == pytest.approx(np.vdot(dy, conv(x + v)[0] - y), rel=1e-12)


def test_a_convolution_that_forgets_its_padding_is_found(monkeypatch):
    def keeps_all(x, keep, p):
        return dropout(x, np.ones_like(keep), p)

    dropout = ops.dropout_forward
    monkeypatch.setattr(ops, "dropout_forward", keeps_all)
    with pytest.raises(AssertionError):
        test_a_convolution_by_the_definition(1, 5)


def forgets_the_memory(self, dmemory, cache):
    pass


def test_a_planted_fault_is_found(monkeypatch):
    model, batch = MODELS["Whisper"]()
    monkeypatch.setattr(type(model.encoder), "backward", forgets_the_memory)
    with pytest.raises(LawError, match="gradient of"):
        model_gradient(model, batch)


def test_positions_of_sound_are_fixed():
    model = Whisper(CONFIG, dtype=np.float64)
    weight = model.encoder.positions.weight
    assert weight.frozen
    for t in (0, 1, 5):
        for i in range(4):
            angle = t * 10_000 ** (-i / 3)
            assert weight.data[t, i] == pytest.approx(math.sin(angle), abs=1e-12)
            assert weight.data[t, 4 + i] == pytest.approx(math.cos(angle), abs=1e-12)
    loss, cache = model.loss(BATCH)
    model.backward(cache)
    assert np.isfinite(loss)
    assert weight.grad.size == 0


def test_tokens_see_their_past_and_all_of_the_sound():
    model = whisper()
    before, _ = model(BATCH)
    for place in range(6):
        ids = IDS.copy()
        ids[:, place] = (ids[:, place] + 1) % V
        changed = np.abs(model(BATCH._replace(inputs=ids))[0] - before).max(axis=(0, 2)) > 1e-12
        assert changed.tolist() == [t >= place for t in range(6)]
    for frame in range(12):
        features = FEATURES.copy()
        features[0, frame] += 1
        changed = np.abs(model(BATCH._replace(features=features))[0] - before) > 1e-12
        assert changed.any(axis=2).tolist() == [[True] * 6, [False] * 6]


@settings(max_examples=10)
@given(cuts=st.sets(st.integers(1, 5)))
def test_decoding_in_pieces_is_decoding_at_once(cuts):
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
        model = whisper(dtype)
        features = FEATURES.astype(dtype)
        decoder = model.given(features)
        kv = decoder.new_kv(2)
        pieces = [decoder(piece, kv=kv)[0] for piece in np.split(IDS, sorted(cuts), axis=1)]
        expected, _ = model(SpeechBatch(features, IDS, IDS))
        found = np.concatenate(pieces, axis=1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def greedily(model, features, prompt, count):
    ids = list(prompt)
    for _ in range(count):
        inputs = np.array([ids])
        token = int(model(SpeechBatch(features[None], inputs, inputs))[0][0, -1].argmax())
        if token == END:
            break
        ids.append(token)
    return ids[len(prompt) :]


def test_generate_and_stream_write_about_sound():
    model = whisper(std=1.0)
    prompt = [START, 4]
    expected = [greedily(model, features, prompt, 5) for features in FEATURES]
    assert expected[0] != expected[1]
    texts = generate(model.given(FEATURES), [prompt, prompt], max_new_tokens=5)
    assert [list(text) for text in texts] == expected
    for features, text in zip(FEATURES, expected, strict=True):
        decoder = model.given(features[None])
        assert list(stream(decoder, prompt, max_new_tokens=5)) == text
        beams = generate(decoder, prompt, max_new_tokens=5, num_beams=3, num_return_sequences=3)
        assert len({tuple(beam) for beam in beams}) == 3


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (FEATURES[:, :, :4], ValueError, r"shape \(2, 12, 4\), expected .*\(B, F, 5\)"),
        (FEATURES[0], ValueError, "features have shape"),
        ([[3, 4]], ValueError, r"features have shape \(1, 2\), expected mel spectrograms"),
        (FEATURES[:, :0], InputError, "the sound has 0 frames, expected 1 to 12"),
        (np.ones((1, 13, 5)), InputError, "the sound has 13 frames"),
        (FEATURES.astype(np.float32), TypeError, "float32"),
    ],
)
def test_what_cannot_be_heard(features, error, message):
    with pytest.raises(error, match=message):
        whisper().given(features)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 9, "heads": 3}, "width is 9, expected an even number"),
        ({"start_id": V}, "start_id has 13"),
        ({"suppressed": (1, -1)}, "suppressed has -1"),
        ({"decoder_layers": 0}, "decoder_layers is 0"),
    ],
)
def test_shapes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_what_was_saved_is_loaded(tmp_path):
    model = whisper(np.float32)
    save_pretrained(model, tmp_path)
    loaded, tokenizer = from_pretrained(tmp_path)
    assert tokenizer is None
    assert loaded.config == model.config
    expected, found = model.state_dict(), loaded.state_dict()
    assert list(found) == list(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])
    assert loaded.encoder.positions.weight.frozen


def test_what_keys_add_to_all_scores_alike_is_left_out(tmp_path):
    """A bias of keys, which the public layout has no place for, changes nothing."""
    model = whisper(np.float32)
    batch = SpeechBatch(FEATURES.astype(np.float32), IDS, IDS)
    before, _ = model(batch)
    for block in model.decoder.blocks:
        block.attention.query_key_value.bias.data[8:16] = 0.5
        block.cross_attention.key_value.bias.data[:8] = -0.5
    save_pretrained(model, tmp_path)
    for other in (model, from_pretrained(tmp_path)[0]):
        np.testing.assert_allclose(other(batch)[0], before, rtol=0, atol=1e-5)


PUBLIC_TINY_EN = {  # of the hub's openai/whisper-tiny.en, one layer standing for all four
    "model.encoder.conv1.weight": (384, 80, 3),
    "model.encoder.conv1.bias": (384,),
    "model.encoder.conv2.weight": (384, 384, 3),
    "model.encoder.conv2.bias": (384,),
    "model.encoder.embed_positions.weight": (1500, 384),
    "model.encoder.layer_norm.weight": (384,),
    "model.encoder.layer_norm.bias": (384,),
    "model.decoder.embed_tokens.weight": (51864, 384),
    "model.decoder.embed_positions.weight": (448, 384),
    "model.decoder.layer_norm.weight": (384,),
    "model.decoder.layer_norm.bias": (384,),
}
NORM = {"weight": (384,), "bias": (384,)}
LINEAR = {"weight": (384, 384), "bias": (384,)}
ATTENTION = {"q_proj": LINEAR, "k_proj": {"weight": (384, 384)}, "v_proj": LINEAR}
ATTENTION |= {"out_proj": LINEAR}
PUBLIC_LAYER = {f"self_attn.{name}": shapes for name, shapes in ATTENTION.items()} | {
    "self_attn_layer_norm": NORM,
    "fc1": {"weight": (1536, 384), "bias": (1536,)},
    "fc2": {"weight": (384, 1536), "bias": (384,)},
    "final_layer_norm": NORM,
}
PUBLIC_CROSS = {f"encoder_attn.{name}": shapes for name, shapes in ATTENTION.items()}
PUBLIC_CROSS |= {"encoder_attn_layer_norm": NORM}


def test_names_and_shapes_are_those_of_the_public_tiny_en():
    family = WhisperFamily()
    document = {"model_type": "whisper", "vocab_size": 51864}
    config = family.read_config(Settings(document, "config.json"), [""] * 200)
    assert config == WhisperConfig(vocab_size=51864, start_id=50257, end_id=50256)
    sizes = family.sizes(config)
    found = {k: v for row in family.rows(config) for k, v in row.shapes(sizes).items()}
    layers = {
        f"model.{half}.layers.{i}.{part}.{name}": shape
        for half, parts in {"encoder": {}, "decoder": PUBLIC_CROSS}.items()
        for i in range(4)
        for part, shapes in (PUBLIC_LAYER | parts).items()
        for name, shape in shapes.items()
    }
    assert found == PUBLIC_TINY_EN | layers
    assert len(found) == 167
    assert sum(math.prod(shape) for shape in found.values()) == 37_760_256


def norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    x /= np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def convolution(x, w, name, stride):
    padded = np.pad(x, ((1, 1), (0, 0)))
    kernel = w[f"{name}.weight"]  # (out, in, 3)
    rows = [padded[t : t + 3].T for t in range(0, len(x), stride)]
    return gelu(np.array([np.tensordot(kernel, row, 2) for row in rows]) + w[f"{name}.bias"])


def attention(x, memory, w, name, causal):
    q, k, v = (
        np.split(linear(source, w, f"{name}.{part}_proj"), CONFIG.heads, -1)
        for source, part in ((x, "q"), (memory, "k"), (memory, "v"))
    )
    outs = []
    for query, key, value in zip(q, k, v, strict=True):
        scores = query @ key.T / math.sqrt(key.shape[1])
        if causal:
            scores[np.triu_indices(len(x), 1)] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        outs.append(p / p.sum(-1, keepdims=True) @ value)
    return linear(np.concatenate(outs, -1), w, f"{name}.out_proj")


def layer(x, memory, w, at):
    h = norm(x, w, f"{at}.self_attn_layer_norm")
    x = x + attention(h, h, w, f"{at}.self_attn", causal=memory is not None)
    if memory is not None:
        h = norm(x, w, f"{at}.encoder_attn_layer_norm")
        x = x + attention(h, memory, w, f"{at}.encoder_attn", causal=False)
    h = gelu(linear(norm(x, w, f"{at}.final_layer_norm"), w, f"{at}.fc1"))
    return x + linear(h, w, f"{at}.fc2")


def whisper_logits(w, features, ids):
    """Whisper of one sound and one transcript, from its tensors and its paper alone."""
    x = convolution(features, w, "model.encoder.conv1", 1)
    x = convolution(x, w, "model.encoder.conv2", 2) + w["model.encoder.embed_positions.weight"]
    for i in range(CONFIG.layers):
        x = layer(x, None, w, f"model.encoder.layers.{i}")
    memory = norm(x, w, "model.encoder.layer_norm")
    x = w["model.decoder.embed_tokens.weight"][ids]
    x = x + w["model.decoder.embed_positions.weight"][: len(ids)]
    for i in range(CONFIG.decoder_layers):
        x = layer(x, memory, w, f"model.decoder.layers.{i}")
    return norm(x, w, "model.decoder.layer_norm") @ w["model.decoder.embed_tokens.weight"].T


def test_whisper_computes_what_its_paper_says(tmp_path):
    save_pretrained(whisper(np.float32), tmp_path)
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    model, _ = from_pretrained(tmp_path)
    logits, _ = model(SpeechBatch(FEATURES.astype(np.float32), IDS, IDS))
    double = {name: array.astype(np.float64) for name, array in tensors.items()}
    for features, ids, found in zip(FEATURES, IDS, logits, strict=True):
        expected = whisper_logits(double, features, ids)
        assert np.abs(expected).max() > 0.5
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
