"""Llama against an independent forward pass, and what its shape may be."""

import math

import numpy as np
import pytest

from minitransformer.data import Batch, EncoderBatch
from minitransformer.errors import InputError
from minitransformer.models import GPT, GPTConfig, Llama, LlamaConfig
from minitransformer.testing import check_model

pytestmark = pytest.mark.systems

SHAPE = {"context": 9, "layers": 2, "heads": 4, "width": 16, "kv_heads": 2, "hidden": 10}
VARIANTS = {
    "halves, a head of its own": {},
    "neighbours, tied": {"interleaved": True, "tied": True},
    "one key head, another base": {"kv_heads": 1, "rotary_base": 300.0},
    "as many key heads, a large eps": {"kv_heads": None, "norm_eps": 0.2},
}


def random_llama(**options):
    """Parameters drawn at random, none at its initial value."""
    model = Llama(LlamaConfig(13, **SHAPE | options), dtype=np.float64)
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data[...] = rng.normal(0.0, 0.5, parameter.shape)
    return model


def some_ids(*shape, seed=2):
    return np.random.default_rng(seed).integers(13, size=shape)


def expected_logits(model, ids, eps, base, interleaved):
    """The forward pass once more, from the papers and one number at a time where it matters."""
    p = {name: array.astype(np.float64) for name, array in model.state_dict().items()}
    width = p["token_embedding.weight"].shape[1]
    heads, kv_heads = model.config.heads, model.config.kv_heads or model.config.heads
    d = width // heads

    def norm(x, gamma):
        return np.array([gamma * v / math.sqrt(sum(v * v) / len(v) + eps) for v in x])

    def turned(vector, t):
        out = vector.copy()
        for i in range(d // 2):
            a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + d // 2)
            turn = complex(vector[a], vector[b]) * np.exp(1j * t * base ** (-2 * i / d))
            out[a], out[b] = turn.real, turn.imag
        return out

    def attention(x, weight, projection):
        fused = x @ weight
        q, k, v = np.split(fused, [width, width + kv_heads * d], axis=1)
        y = np.zeros((len(x), width))
        for h in range(heads):
            g = h * kv_heads // heads
            for t in range(len(x)):
                query = turned(q[t, h * d : (h + 1) * d], t)
                scores = np.array(
                    [query @ turned(k[s, g * d : (g + 1) * d], s) for s in range(t + 1)]
                )
                weights = np.exp(scores / math.sqrt(d))
                values = v[: t + 1, g * d : (g + 1) * d]
                y[t, h * d : (h + 1) * d] = weights @ values / weights.sum()
        return y @ projection

    def feed_forward(x, gate, up, contract):
        opening = x @ gate
        return (opening / (1.0 + np.exp(-opening)) * (x @ up)) @ contract

    rows = []
    for row in ids:
        x = p["token_embedding.weight"][row]
        for i in range(model.config.layers):
            own = {k.removeprefix(f"blocks.{i}."): v for k, v in p.items()}
            normed = norm(x, own["attention_norm.gamma"])
            x = x + attention(
                normed, own["attention.query_key_value.weight"], own["attention.projection.weight"]
            )
            normed = norm(x, own["feed_forward_norm.gamma"])
            parts = (own[f"feed_forward.{name}.weight"] for name in ("gate", "up", "contract"))
            x = x + feed_forward(normed, *parts)
        x = norm(x, p["norm.gamma"])
        rows.append(x @ p.get("head.weight", p["token_embedding.weight"].T))
    return np.array(rows)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_logits_are_those_of_the_papers(name):
    model, ids = random_llama(**VARIANTS[name]), some_ids(2, 7)
    c = model.config
    logits, _ = model(ids)
    expected = expected_logits(model, ids, c.norm_eps, c.rotary_base, c.interleaved)
    np.testing.assert_allclose(logits, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "wrong", [{"eps": 1e-2}, {"base": 500.0}, {"interleaved": True}], ids=lambda w: next(iter(w))
)
def test_the_comparison_sees_another_eps_base_or_pairing(wrong):
    model, ids = random_llama(), some_ids(2, 7)
    right = {"eps": 1e-5, "base": 10_000.0, "interleaved": False}
    difference = np.abs(model(ids)[0] - expected_logits(model, ids, **right | wrong)).max()
    assert difference > 1e-4


def test_gradients_of_the_variant_that_is_not_in_the_table_of_models():
    model = random_llama(layers=1, tied=True, dropout=0.2)
    ids = some_ids(3, 6)
    targets = ids[:, 1:].copy()
    targets[1, :2] = -100
    row = check_model(model, Batch(ids[:, :-1], targets))
    assert row.verdict == ""
    assert row.error <= 1e-7


def test_nothing_has_a_bias_and_a_tied_head_no_matrix():
    untied, tied = random_llama(), random_llama(tied=True)
    assert not [name for name in untied.state_dict() if "bias" in name or "beta" in name]
    assert untied.parameter_count() - tied.parameter_count() == 13 * 16
    assert {*untied.state_dict()} - {*tied.state_dict()} == {"head.weight"}


def test_the_names_of_the_parameters():
    assert list(random_llama(layers=1).state_dict()) == [
        "token_embedding.weight",
        "blocks.0.attention_norm.gamma",
        "blocks.0.attention.query_key_value.weight",
        "blocks.0.attention.projection.weight",
        "blocks.0.feed_forward_norm.gamma",
        "blocks.0.feed_forward.gate.weight",
        "blocks.0.feed_forward.up.weight",
        "blocks.0.feed_forward.contract.weight",
        "norm.gamma",
        "head.weight",
    ]


def test_by_default_the_feed_forward_part_is_as_large_as_that_of_gpt():
    llama = Llama(LlamaConfig(13, layers=1, width=48)).state_dict()
    gpt = GPT(GPTConfig(13, layers=1, width=48)).state_dict()
    gated = sum(llama[f"blocks.0.feed_forward.{n}.weight"].size for n in ("gate", "up", "contract"))
    plain = sum(gpt[f"blocks.0.feed_forward.{n}.weight"].size for n in ("expand", "contract"))
    assert gated == plain


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("chunks", [[7], [1] * 7, [4, 1, 2]], ids=str)
def test_reading_in_parts_with_a_memory_is_reading_at_once(name, chunks):
    model, ids = random_llama(**VARIANTS[name]), some_ids(2, 7)
    expected, _ = model(ids)
    kv, parts, start = model.new_kv(2), [], 0
    for chunk in chunks:
        parts.append(model(ids[:, start : start + chunk], kv=kv)[0])
        start += chunk
    np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, rtol=1e-10, atol=1e-12)


def test_padding_on_the_left_changes_nothing():
    model, short, long = random_llama(), some_ids(1, 4), some_ids(1, 6, seed=3)
    kv = model.new_kv(2, padding=np.array([2, 0]))
    padded = np.concatenate([np.concatenate([[[7, 11]], short], axis=1), long])
    prompt, _ = model(padded, kv=kv)
    following, _ = model(np.array([[5], [6]]), kv=kv)
    for row, ids, padding, token in ((0, short, 2, 5), (1, long, 0, 6)):
        alone, _ = model(np.append(ids, [[token]], axis=1))
        np.testing.assert_allclose(prompt[row, padding:], alone[0, :-1], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(following[row, 0], alone[0, -1], rtol=1e-10, atol=1e-12)


def test_a_mask_of_the_batch_takes_the_place_of_the_causal_one():
    model, ids = random_llama(), some_ids(2, 5)
    causal = np.tril(np.ones((5, 5), np.bool_))
    everything = np.ones_like(causal)
    masks = {
        name: np.broadcast_to(m, (2, 1, 5, 5)) for name, m in (("c", causal), ("e", everything))
    }
    loss = float(model.loss(Batch(ids, ids))[0])
    assert float(model.loss(Batch(ids, ids, masks["c"]))[0]) == pytest.approx(loss, rel=1e-12)
    assert abs(float(model.loss(Batch(ids, ids, masks["e"]))[0]) - loss) > 1e-3


def test_hidden_is_what_the_head_reads_and_padding_behind_is_not_seen():
    model, ids = random_llama(), some_ids(2, 6)
    batch = EncoderBatch(ids, np.array([6, 4]), np.zeros(2, np.int64))
    x, cache = model.hidden(batch)
    logits, _ = model(ids)
    np.testing.assert_allclose(x @ model.head.weight.data, logits, rtol=1e-12)
    padded = ids.copy()
    padded[1, 4:] = 0
    other, _ = model.hidden(batch._replace(inputs=padded))
    np.testing.assert_array_equal(other[1, :4], x[1, :4])
    model.zero_grad()
    model.backward_hidden(np.ones_like(x), cache)
    assert model.token_embedding.weight.grad.any()
    assert not model.head.weight.grad.any()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"kv_heads": 3}, "kv_heads is 3 and heads 4, expected a divisor of heads"),
        ({"kv_heads": 0}, "kv_heads is 0, expected 1 or more"),
        ({"kv_heads": 8}, "kv_heads is 8 and heads 4, expected a divisor of heads"),
        ({"hidden": 0}, "hidden is 0, expected 1 or more"),
        ({"width": 12}, "which makes 3 features a head; expected an even number"),
        ({"heads": 3, "kv_heads": 3}, "expected heads to divide width; try width 15"),
        ({"rotary_base": 1.0}, "rotary_base is 1.0, expected more than 1"),
        ({"rotary_base": math.inf}, "rotary_base is inf, expected more than 1"),
        ({"norm_eps": 0.0}, "norm_eps is 0.0, expected 0 < norm_eps < 1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"context": 0}, "context is 0"),
    ],
    ids=str,
)
def test_shapes_that_cannot_be(options, complaint):
    with pytest.raises(InputError, match=complaint):
        LlamaConfig(13, **SHAPE | options)


def test_more_tokens_than_the_context_holds():
    model = random_llama()
    with pytest.raises(ValueError, match=r"llama: ids has shape \(1, 10\) after 0 tokens"):
        model(some_ids(1, 10))
    kv = model.new_kv(1)
    model(some_ids(1, 8), kv=kv)
    with pytest.raises(ValueError, match="after 8 tokens"):
        model(some_ids(1, 2), kv=kv)
    with pytest.raises(IndexError, match=r"ids\[0, 0\] is 13"):
        model(np.array([[13]]))
