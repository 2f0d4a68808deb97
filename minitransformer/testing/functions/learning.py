"""Inputs of what surrounds learning: corrupted text, averages, numerical gradients, LoRA."""

from typing import Any

import numpy as np

from minitransformer.data import mask_tokens
from minitransformer.distributed import average_gradients
from minitransformer.evaluation import perplexity
from minitransformer.nn import lora_merge
from minitransformer.testing.differences import central_difference
from minitransformer.testing.functions.base import FunctionSpec
from minitransformer.testing.references import learning
from minitransformer.testing.specs import Arguments, Cases

_VOCAB = 50


def _mask_tokens(rng: np.random.Generator) -> Cases:
    def case(*shape: int, dtype: Any = np.int64) -> Arguments:
        return {
            "ids": rng.integers(_VOCAB, size=shape).astype(dtype),
            "chosen": rng.random(shape) < 0.6,
            "action": rng.integers(10, size=shape),
            "random_ids": rng.integers(_VOCAB, size=shape).astype(dtype),
            "mask_id": _VOCAB,
        }

    every_action = case(2, 10) | {"action": np.arange(20).reshape(2, 10) % 10}
    return {
        "batch": case(4, 30),
        "one sequence": case(40),
        "every action": every_action | {"chosen": np.ones((2, 10), np.bool_)},
        "nothing chosen": every_action | {"chosen": np.zeros((2, 10), np.bool_)},
        "unsigned ids": case(3, 20, dtype=np.uint16),
        "a large mask_id": case(3, 20, dtype=np.uint8) | {"mask_id": 70_000},
    }


def _perplexity(rng: np.random.Generator) -> Cases:
    losses = (5.0 * rng.random(4)).tolist()
    return {
        "batches of one size": {"losses": losses, "counts": [8, 8, 8, 8]},
        "ragged batches": {"losses": losses, "counts": [1, 30, 2, 7]},
        "an empty batch": {"losses": losses, "counts": [3, 0, 5, 1]},
        "one batch": {"losses": losses[:1], "counts": [6]},
        "no surprise": {"losses": [0.0, 0.0], "counts": [3, 4]},
        "hopeless": {"losses": [2000.0, 10.0], "counts": [5, 1]},
    }


def _average_gradients(rng: np.random.Generator) -> Cases:
    def case(*counts: int) -> Arguments:
        gradients = [rng.standard_normal(7) for _ in counts]
        return {"gradients": gradients, "counts": list(counts)}

    return {
        "even parts": case(4, 4, 4),
        "ragged parts": case(1, 10, 3),
        "a part without targets": case(5, 0),
        "no targets at all": case(0, 0, 0),
        "one worker": case(3),
    }


def _central_difference(rng: np.random.Generator) -> Cases:
    weights = rng.standard_normal((3, 4))

    def cubes(x: Any) -> float:
        return float((weights * x**3).sum())

    def product(x: Any) -> float:
        return float(np.prod(x))

    def case(function: Any, *shape: int, **options: float) -> Arguments:
        return {"function": function, "x": rng.standard_normal(shape), **options}

    return {
        "a matrix": case(cubes, 3, 4),
        "a large step": case(cubes, 3, 4, h=0.3),
        "entries that act together": case(product, 5, h=0.1),
        "three axes": case(product, 2, 1, 2, h=0.01),
        "a single number": case(product, h=0.2),
        "at a minimum": {"function": lambda x: float((x * x).sum()), "x": np.zeros(3), "h": 0.1},
    }


def _lora_merge(rng: np.random.Generator) -> Cases:
    def case(inputs: int, rank: int, outputs: int, scale: float) -> Arguments:
        shapes = {"w": (inputs, outputs), "a": (inputs, rank), "b": (rank, outputs)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()} | {
            "scale": scale
        }

    return {
        "low rank": case(6, 2, 5, 0.5),
        "rank one": case(4, 1, 3, 2.0),
        "unmerge": case(3, 2, 4, -0.7),
        "square": case(3, 3, 3, 1.5),
        "off": case(3, 2, 4, 0.0),
    }


LEARNING = (
    FunctionSpec("mask_tokens", mask_tokens, learning.mask_tokens, _mask_tokens),
    FunctionSpec("perplexity", perplexity, learning.perplexity, _perplexity),
    FunctionSpec(
        "average_gradients", average_gradients, learning.average_gradients, _average_gradients
    ),
    FunctionSpec(
        "central_difference", central_difference, learning.central_difference, _central_difference
    ),
    FunctionSpec("lora_merge", lora_merge, learning.lora_merge, _lora_merge),
)
