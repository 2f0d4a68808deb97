"""Inputs for losses: cross-entropy, mean squared error."""

from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.testing.specs.base import Arguments, Cases, Dims, OpSpec


def _cross_entropy(rng: np.random.Generator, dims: Dims) -> Cases:
    B, T, H, V = (dims[letter] for letter in "BTHV")

    def case(*leading: int, ignored: int | None = None, **options: Any) -> Arguments:
        targets = rng.integers(V, size=leading)
        if ignored is not None:
            targets.reshape(-1)[1::3] = targets.reshape(-1)[-1] = ignored  # not as many in each row
        return {"logits": rng.standard_normal((*leading, V)), "targets": targets, **options}

    everything = case(B, T)
    far = rng.choice((-1000.0, 1000.0), (B, T, 1))
    surprise = 25.0 * (np.arange(V) == everything["targets"][..., None])
    return {
        "batch": case(B, T),
        "rows": case(T),
        "three axes": case(B, H, T),
        "ignored targets": case(B, T, ignored=-100),
        "another ignore_index": case(B, T, ignored=V + 3, ignore_index=V + 3),
        "ignore_index = -1": case(B, T, ignored=-1, ignore_index=-1),
        "an ignored class": case(B, T, ignored=V - 1, ignore_index=V - 1),
        "all ignored": everything | {"targets": np.full((B, T), -100)},
        "label smoothing": case(B, T, label_smoothing=0.2),
        "nothing but smoothing": case(B, T, label_smoothing=1.0),
        "smoothing and ignored": case(B, T, ignored=-100, label_smoothing=0.3),
        "unsigned targets": everything | {"targets": everything["targets"].astype(np.uint16)},
        "logits around +-1000": everything | {"logits": far + everything["logits"]},
        "unlikely targets": everything | {"logits": everything["logits"] - surprise},
        "a sure mistake": everything | {"logits": 1000.0 * everything["logits"]},
    }


def _mse(rng: np.random.Generator, dims: Dims) -> Cases:
    B, T, H, C = (dims[letter] for letter in "BTHC")
    shapes = {"batch": (B, T, C), "one vector": (C,), "four axes": (B, H, T, C)}
    return {
        label: {name: rng.standard_normal(shape) for name in ("prediction", "target")}
        for label, shape in shapes.items()
    }


LOSSES = (
    OpSpec(
        "cross_entropy",
        ops.cross_entropy_forward,
        ops.cross_entropy_backward,
        _cross_entropy,
        ("logits",),
        {"B": 2, "T": 3, "H": 4, "V": 5},
    ),
    OpSpec(
        "mse",
        ops.mse_forward,
        ops.mse_backward,
        _mse,
        ("prediction", "target"),
        {"B": 2, "T": 3, "H": 4, "C": 5},
    ),
)
