"""Inputs for attention and what stands around it: rotary positions, splitting into heads."""

from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.testing.specs.base import (
    Arguments,
    Cases,
    Dims,
    OpSpec,
    some_of_each_row,
    with_closed_rows,
)


def _attention(rng: np.random.Generator, dims: Dims) -> Cases:
    B, Hk, G, T, S, D, Dv = (dims[name] for name in ("B", "Hk", "G", "T", "S", "D", "Dv"))
    H = G * Hk

    def case(heads: int = Hk, T: int = T, S: int = S, **options: Any) -> Arguments:
        q = rng.standard_normal((B, heads, T, D))
        k = rng.standard_normal((B, Hk, S, D))
        v = rng.standard_normal((B, Hk, S, Dv))
        return {"q": q, "k": k, "v": v, **options}

    def mask(*shape: int) -> Any:
        return some_of_each_row(rng, shape)

    def keep(heads: int) -> Any:
        return rng.random((B, heads, T, S)) < 0.7

    every_row = with_closed_rows(rng, (B, Hk, T, S))
    return {
        "plain": case(),
        "causal, S > T": case(T=min(T, S), S=max(T, S), causal=True),
        "causal, T > S": case(T=max(T, S), S=min(T, S), causal=True),
        "causal, T = S": case(S=T, causal=True),
        "square": {name: rng.standard_normal((B, Hk, D, D)) for name in "qkv"},
        "mask": case(mask=mask(B, Hk, T, S)),
        "mask of keys": case(mask=mask(B, 1, 1, S)),
        "mask of fewer axes": case(mask=mask(T, S)),
        "masked rows": case(mask=every_row),
        "all masked": case(mask=np.zeros((1, 1), np.bool_)),
        "mask and causal": case(mask=mask(B, 1, T, S), causal=True),
        "grouped": case(H),
        "grouped, mask and causal": case(H, mask=mask(B, H, T, S), causal=True),
        "one key head": {
            **case(H),
            "k": rng.standard_normal((B, 1, S, D)),
            "v": rng.standard_normal((B, 1, S, Dv)),
        },
        "scale": case(scale=0.7),
        "scale = 0": case(scale=0.0),
        "dropout": case(keep=keep(Hk), p=0.3),
        "no keep": case(p=0.3),
        "grouped, dropout": case(H, keep=keep(H), p=0.3),
        "grouped, everything": case(
            H, mask=with_closed_rows(rng, (B, H, T, S)), causal=True, scale=0.4, keep=keep(H), p=0.2
        ),
        "scores around +-1000": _far(case(scale=0.5), rng),
    }


def _far(case: Arguments, rng: np.random.Generator) -> Arguments:
    """Add +-1000 to the scores of whole rows; multiples of 1/8 keep the sums exact in float32."""
    q, k = (np.round(8.0 * case[name]) / 8.0 for name in "qk")
    q[..., -1] = rng.choice((-40.0, 40.0), q.shape[:-1])
    k[..., -1] = 50.0
    return {**case, "q": q, "k": k}


def _rotary(rng: np.random.Generator, dims: Dims) -> Cases:
    B, H, T, pairs = dims["B"], dims["H"], dims["T"], dims["D/2"]

    def case(*leading: int, interleaved: bool = False) -> Arguments:
        angles = rng.uniform(-3.0, 3.0, (*leading, pairs))
        x = rng.standard_normal((B, H, T, 2 * pairs))
        return {"x": x, "cos": np.cos(angles), "sin": np.sin(angles), "interleaved": interleaved}

    return {
        "halves": case(T),
        "interleaved": case(T, interleaved=True),
        "angles of a batch": case(B, 1, T),
        "angles of everything": case(B, H, T, interleaved=True),
        "one angle for all": case(),
    }


def _split_heads(rng: np.random.Generator, dims: Dims) -> Cases:
    B, T, H, Hk, D = (dims[name] for name in ("B", "T", "H", "Hk", "D"))

    def case(*heads: int) -> Arguments:
        return {"x": rng.standard_normal((B, T, sum(heads) * D)), "heads": heads}

    return {
        "one part": case(H),
        "three parts": case(H, H, H),
        "grouped": case(H, Hk, Hk),
        "one key head": case(H, 1, 1),
    }


def _merge_heads(rng: np.random.Generator, dims: Dims) -> Cases:
    shape = tuple(dims[letter] for letter in "BHTD")
    return {"heads": {"x": rng.standard_normal(shape)}}


ATTENTION = (
    OpSpec(
        "attention",
        ops.attention_forward,
        ops.attention_backward,
        _attention,
        ("q", "k", "v"),
        {"B": 2, "Hk": 3, "G": 2, "T": 4, "S": 5, "D": 7, "Dv": 8},
    ),
    OpSpec(
        "rotary",
        ops.rotary_forward,
        ops.rotary_backward,
        _rotary,
        ("x",),
        {"B": 2, "H": 3, "T": 4, "D/2": 5},
    ),
    OpSpec(
        "split_heads",
        ops.split_heads_forward,
        ops.split_heads_backward,
        _split_heads,
        ("x",),
        {"B": 2, "T": 3, "H": 4, "Hk": 6, "D": 5},
    ),
    OpSpec(
        "merge_heads",
        ops.merge_heads_forward,
        ops.merge_heads_backward,
        _merge_heads,
        ("x",),
        {"B": 2, "H": 3, "T": 4, "D": 5},
    ),
)
