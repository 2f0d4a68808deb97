"""Parameters, modules, and the gradients of every part of a model."""

import numpy as np
import pytest

from minitransformer import nn, ops
from minitransformer.errors import InputError
from minitransformer.nn.layers import draw_keep
from minitransformer.testing.differences import derivative

pytestmark = pytest.mark.usefixtures("checked_shapes")

B, T, S, C = 2, 5, 3, 12


def seeded() -> np.random.Generator:
    return np.random.default_rng(7)


def attention(**options):
    return nn.MultiHeadAttention(C, 6, seeded(), dtype=np.float64, **options)


def block(kind, **options):
    return kind(
        nn.LayerNorm(C, dtype=np.float64),
        attention(kv_heads=2),
        nn.RMSNorm(C, dtype=np.float64),
        nn.FeedForward(C, 7, seeded(), activation=nn.Gelu("none"), dtype=np.float64),
        **options,
    )


def prove(module, *inputs, **arguments):
    """The adjoint law for a module's inputs and all its parameters, at random parameters."""
    flat = nn.flatten_parameters(module.parameters()) if module.parameters() else None
    rng = np.random.default_rng(11)
    points = [*inputs, *([rng.standard_normal(flat.data.shape)] if flat else [])]

    def run(points):
        if flat:
            flat.data[:] = points[-1]
        fresh = {name: make() if callable(make) else make for name, make in arguments.items()}
        return module(*points[: len(inputs)], **fresh)

    y, cache = run(points)
    dy = rng.standard_normal(y.shape)
    module.zero_grad()
    gradients = module.backward(dy, cache)
    gradients = list(gradients) if isinstance(gradients, tuple) else [gradients]
    gradients += [flat.grad] if flat else []
    for i, (point, gradient) in enumerate(zip(points, gradients, strict=True)):
        v = rng.standard_normal(point.shape)

        def path(t, i=i, v=v):
            return run([p + t * v if j == i else p for j, p in enumerate(points)])[0].ravel()

        slope = derivative(path, step=1e-3, noise=1e-15)
        error = abs(dy.ravel() @ slope - (gradient * v).sum())
        assert error <= 1e-9 * np.linalg.norm(dy) * np.linalg.norm(slope), (type(module), i)


MASK = np.random.default_rng(3).random((B, 1, T, T)) < 0.6
ROTARY = nn.RotaryPositions(T, C // 6, dtype=np.float64)
MODULES = {
    "linear": (nn.Linear(C, 4, seeded(), dtype=np.float64), {}),
    "linear without bias": (nn.Linear(C, 4, seeded(), bias=False, dtype=np.float64), {}),
    "layer norm": (nn.LayerNorm(C, dtype=np.float64), {}),
    "rms norm": (nn.RMSNorm(C, dtype=np.float64), {}),
    "learned positions": (nn.LearnedPositions(T + 2, C, seeded(), dtype=np.float64), {"start": 2}),
    "sinusoidal positions": (nn.SinusoidalPositions(T, C, dtype=np.float64), {}),
    "gelu": (nn.Gelu(), {}),
    "relu": (nn.Relu(), {}),
    "dropout": (nn.Dropout(0.4), {"rng": seeded}),
    "dropout off": (nn.Dropout(0.4), {"rng": None}),
    "feed-forward": (nn.FeedForward(C, 7, seeded(), activation=nn.Relu(), dtype=np.float64), {}),
    "attention": (attention(), {}),
    "attention, causal": (attention(), {"causal": True}),
    "attention, masked": (attention(), {"mask": MASK}),
    "attention, grouped queries": (attention(kv_heads=2), {"causal": True}),
    "attention, rotary": (attention(kv_heads=3, rotary=ROTARY), {"causal": True}),
    "attention, dropout": (attention(dropout=0.3), {"rng": seeded}),
    "pre-norm block": (block(nn.PreNormBlock), {"causal": True}),
    "pre-norm block, dropout": (block(nn.PreNormBlock, dropout=0.3), {"rng": seeded}),
    "post-norm block": (block(nn.PostNormBlock), {"mask": MASK}),
    "post-norm block, dropout": (block(nn.PostNormBlock, dropout=0.3), {"rng": seeded}),
}


@pytest.mark.parametrize("name", MODULES)
def test_gradients(name):
    module, arguments = MODULES[name]
    prove(module, seeded().standard_normal((B, T, C)), **arguments)


@pytest.mark.parametrize("kv_heads", [6, 2])
def test_gradients_of_cross_attention(kv_heads):
    module = nn.CrossAttention(C, 6, seeded(), kv_heads=kv_heads, dtype=np.float64)
    rng = seeded()
    x, memory = rng.standard_normal((B, T, C)), rng.standard_normal((B, S, C))
    prove(module, x, memory, mask=rng.random((B, 1, 1, S)) < 0.7)


def test_a_forgotten_residual_is_seen(monkeypatch):
    monkeypatch.setattr(ops, "accumulate", lambda total, part: None)
    with pytest.raises(AssertionError):
        prove(block(nn.PreNormBlock), seeded().standard_normal((B, T, C)))


def test_rotary_gradient():
    positions = nn.RotaryPositions(T, 4, interleaved=True, dtype=np.float64)
    prove(positions, seeded().standard_normal((B, 3, T, 4)))


def test_parameters_become_views_of_one_buffer_matrices_first():
    layer = nn.Linear(3, 2, seeded())
    norm = nn.LayerNorm(2)
    flat = nn.flatten_parameters([*layer.parameters(), *norm.parameters()])
    assert flat.data.size == 3 * 2 + 2 + 2 + 2
    assert flat.decayed == 3 * 2
    assert np.shares_memory(layer.weight.data, flat.data[: flat.decayed])
    assert np.shares_memory(norm.gamma.grad, flat.grad[flat.decayed :])
    flat.data[:] = 5.0
    assert (layer.weight.data == 5.0).all()
    assert nn.flatten_parameters([*layer.parameters(), *norm.parameters()]) is flat
    assert nn.flatten_parameters(norm.parameters()) is not flat


def test_flattening_keeps_values_and_gradients():
    layer = nn.Linear(3, 2, seeded())
    weight = layer.weight.data.copy()
    layer.weight.grad[:] = 3.0
    nn.flatten_parameters(layer.parameters())
    assert np.array_equal(layer.weight.data, weight)
    assert (layer.weight.grad == 3.0).all()


def test_a_parameter_given_twice_counts_once():
    layer = nn.Linear(3, 2, seeded(), bias=False)
    assert nn.flatten_parameters([layer.weight, layer.weight]).data.size == 6


def test_flatten_refuses_mixed_precision_and_nothing():
    single, double = nn.LayerNorm(2), nn.LayerNorm(2, dtype=np.float64)
    with pytest.raises(ValueError, match="expected one dtype"):
        nn.flatten_parameters([*single.parameters(), *double.parameters()])
    with pytest.raises(ValueError, match="no parameters"):
        nn.flatten_parameters([])


def test_names_and_tied_parameters():
    class Tied(nn.Module):
        def __init__(self):
            self.blocks = [nn.LayerNorm(2), nn.LayerNorm(2)]
            self.head = nn.Linear(2, 2, seeded(), bias=False)
            self.head_again = self.head

    names = [name for name, _ in Tied().named_parameters()]
    expected = ["blocks.0.gamma", "blocks.0.beta", "blocks.1.gamma", "blocks.1.beta", "head.weight"]
    assert names == expected
    assert Tied().parameter_count() == 12


def test_gradients_are_made_when_they_are_asked_for():
    layer, norm = nn.Linear(3, 2, seeded()), nn.LayerNorm(2)
    flat = nn.flatten_parameters([*layer.parameters(), *norm.parameters()])
    layer.state_dict()
    assert not flat.has_grad
    layer.bias.grad[:] = 2.0
    assert flat.has_grad
    assert flat.grad.sum() == 4.0
    flat.grad[:] = 3.0
    alone = nn.flatten_parameters(norm.parameters())
    assert (alone.grad == 3.0).all()
    assert (norm.gamma.grad == 3.0).all()


def test_parameters_need_not_be_drawn():
    class Counting(nn.Undrawn):
        drawn = 0

        def standard_normal(self, *args, **kwargs):
            Counting.drawn += 1
            return super().standard_normal(*args, **kwargs)

    assert nn.Linear(3, 2, Counting()).weight.shape == (3, 2)
    assert nn.generator(undrawn := Counting(), 1) is undrawn
    assert nn.generator(5, 1).random() == np.random.default_rng([5, 1]).random()
    assert Counting.drawn == 0


def test_zero_grad_clears_flat_and_loose_gradients():
    for flatten in (False, True):
        layer = nn.Linear(2, 2, seeded())
        if flatten:
            nn.flatten_parameters(layer.parameters())
        layer.weight.grad[:] = np.nan
        layer.zero_grad()
        assert not layer.weight.grad.any()


def test_state_dict_round_trip_and_copies():
    layer, other = nn.Linear(3, 2, seeded()), nn.Linear(3, 2, np.random.default_rng(8))
    state = layer.state_dict()
    other.load_state_dict(state)
    state["weight"][:] = 0.0
    assert np.array_equal(layer.weight.data, other.weight.data)
    assert layer.weight.data.any()


def test_load_state_dict_lists_all_mismatches_and_changes_nothing():
    layer = nn.Linear(3, 2, seeded())
    before = layer.state_dict()
    wrong = {"weight": np.zeros((2, 3), np.float32), "scale": np.zeros(1, np.float32)}
    with pytest.raises(InputError) as raised:
        layer.load_state_dict(wrong)
    message = str(raised.value)
    assert "missing: bias (2,)" in message
    assert "unknown: scale (1,)" in message
    assert "weight is (2, 3), expected (3, 2)" in message
    assert all(np.array_equal(before[name], array) for name, array in layer.state_dict().items())


def test_sinusoidal_positions_by_hand():
    table = nn.sinusoidal_positions(3, 4)
    assert table.dtype == np.float64
    assert table[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    expected = [np.sin(2.0), np.cos(2.0), np.sin(0.02), np.cos(0.02)]
    assert np.allclose(table[2], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("table", [nn.sinusoidal_positions, nn.rotary_tables])
@pytest.mark.parametrize(("length", "width"), [(0, 4), (3, 5), (3, 0)])
def test_tables_refuse_odd_widths(table, length, width):
    with pytest.raises(ValueError, match=f"length is {length} and width {width}"):
        table(length, width)


def test_keys_and_values_of_earlier_tokens_count():
    """Reading token by token gives what reading all at once gives, rotary positions included."""
    module = attention(kv_heads=2, rotary=ROTARY)
    x = seeded().standard_normal((B, T, C))
    together, _ = module(x, causal=True)
    kv = nn.LayerKeyValues(B, 2, T, C // 6, np.empty(0))
    parts = [module(x[:, a:b], causal=True, kv=kv)[0] for a, b in ((0, 2), (2, 3), (3, 5))]
    assert np.allclose(np.concatenate(parts, axis=1), together, rtol=0, atol=1e-14)
    assert kv.length == T


def test_dropout_draws():
    assert draw_keep(None, (3,), 0.5) is None
    assert draw_keep(seeded(), (3,), 0.0) is None
    keep = draw_keep(seeded(), (100_000,), 0.3)
    assert keep.dtype == np.bool_
    assert abs(keep.mean() - 0.7) < 0.01


@pytest.mark.parametrize(
    ("heads", "kv_heads", "message"),
    [(5, None, "heads to divide width"), (6, 4, "divisor of heads"), (6, 0, "divisor of heads")],
)
@pytest.mark.parametrize("kind", [nn.MultiHeadAttention, nn.CrossAttention])
def test_heads_that_do_not_fit(kind, heads, kv_heads, message):
    with pytest.raises(ValueError, match=message):
        kind(C, heads, seeded(), kv_heads=kv_heads)
