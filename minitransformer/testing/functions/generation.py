"""Inputs of processors of logits and of beam search."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minitransformer.generation import (
    apply_temperature,
    beam_search,
    greedy,
    min_p,
    no_repeat_ngram,
    repetition_penalty,
    top_k,
    top_p,
)
from minitransformer.testing.functions.base import FunctionSpec
from minitransformer.testing.references import generation
from minitransformer.testing.specs import Arguments, Cases

_VOCAB = 12


def _logits(rng: np.random.Generator) -> dict[str, Any]:
    """Logits that people meet; within a row no two are equal, but for -inf."""
    some_forbidden = 3.0 * rng.standard_normal((2, _VOCAB))
    some_forbidden[:, 3::4] = -np.inf
    return {
        "one row": 3.0 * rng.standard_normal(_VOCAB),
        "batch": 2.0 * rng.standard_normal((3, _VOCAB)),
        "positions": 2.0 * rng.standard_normal((2, 3, _VOCAB)),
        "all negative": -50.0 - 3.0 * rng.random((2, _VOCAB)),
        "around +-1000": rng.choice((-1000.0, 1000.0), (4, 1)) + rng.standard_normal((4, _VOCAB)),
        "some forbidden": some_forbidden,
    }


def _with(name: str, *values: float) -> Callable[[np.random.Generator], Cases]:
    """Inputs of a processor with one more argument."""

    def inputs(rng: np.random.Generator) -> Cases:
        return {
            f"{label}, {name} = {value}": {"logits": logits, name: value}
            for label, logits in _logits(rng).items()
            for value in values
        }

    return inputs


def _top_k(rng: np.random.Generator) -> Cases:
    tied = {"logits": np.array([1.0, 3.0, 2.0, 2.0, 0.0, 2.0]), "k": 2}
    return {
        **_with("k", 0, 1, 3, _VOCAB - 1, _VOCAB, 100)(rng),
        "ties with the last one": tied,
    }


def _min_p(rng: np.random.Generator) -> Cases:
    tied = {"logits": np.array([1.0, 3.0, -2.0, 3.0]), "p": 1.0}
    return {**_with("p", 0.0, 0.1, 0.5, 1.0)(rng), "two are the best": tied}


def _no_repeat_ngram(rng: np.random.Generator) -> Cases:
    text = [7, 2, 7, 1, 3, 7, 2, 5, 3, 7, 2, 7, 2]
    logits = _logits(rng)
    rows = np.array([text, text[::-1], text[3:] + text[:3]])
    return {
        **{
            f"{label}, size = {size}": {"logits": x, "ids": text, "size": size}
            for label, x in logits.items()
            for size in (0, 1, 2, 3, 4)
        },
        **{
            f"ids row by row, size = {size}": {"logits": logits["batch"], "ids": rows, "size": size}
            for size in (1, 2, 3)
        },
        "fewer ids than a run": {"logits": logits["one row"], "ids": [3, 3], "size": 3},
        "as many ids as a run": {"logits": logits["one row"], "ids": [3, 3, 3], "size": 3},
        "nothing seen": {"logits": logits["one row"], "ids": [], "size": 1},
    }


def _repetition_penalty(rng: np.random.Generator) -> Cases:
    seen = [3, 1, 3, 3, 7]
    logits = _logits(rng)
    cases: Cases = {
        f"{label}, penalty = {penalty}": {"logits": x, "ids": seen, "penalty": penalty}
        for label, x in logits.items()
        for penalty in (1.7, 0.6, 1.0)
    }
    row_by_row = rng.integers(_VOCAB, size=(3, 4))
    return {
        **cases,
        "nothing seen": {"logits": logits["batch"], "ids": [], "penalty": 1.7},
        "ids row by row": {"logits": logits["batch"], "ids": row_by_row, "penalty": 1.7},
        "a logit of 0": {"logits": np.zeros(4), "ids": [1], "penalty": 2.0},
    }


def _greedy(rng: np.random.Generator) -> Cases:
    rows = {label: logits.reshape(-1, _VOCAB)[0] for label, logits in _logits(rng).items()}
    return {
        **{label: {"logits": logits} for label, logits in rows.items()},
        "the first of several": {"logits": np.array([-1.0, 2.0, 0.0, 2.0])},
        "a single one allowed": {"logits": np.array([-np.inf, -np.inf, -3.0])},
    }


def _language(seed: int, vocab: int, forbidden: float = 0.0) -> Callable[[list[int]], Any]:
    """A language in which every beginning has continuations of its own, some impossible."""

    def step(tokens: list[int]) -> Any:
        rng = np.random.default_rng([seed, *tokens])
        logits = 2.0 * rng.standard_normal(vocab)
        logits[1:][rng.random(vocab - 1) < forbidden] = -np.inf
        weights = np.exp(logits)
        with np.errstate(divide="ignore"):
            return np.log(weights / weights.sum())

    return step


def _tempting(tokens: list[int]) -> Any:
    """The most likely first token leads nowhere: greedy decoding is wrong."""
    likely = {(0,): [0.0, 0.6, 0.4], (0, 1): [0.3, 0.35, 0.35], (0, 2): [0.05, 0.05, 0.9]}
    with np.errstate(divide="ignore"):
        return np.log(likely.get(tuple(tokens), [0.8, 0.15, 0.05]))


def _beam_search(rng: np.random.Generator) -> Cases:
    def case(vocab: int = 4, forbidden: float = 0.0, **options: Any) -> Arguments:
        step = _language(int(rng.integers(2**31)), vocab, forbidden)
        return {"step": step, "start": 0, "end": 1, "width": 3, "max_length": 6, **options}

    return {
        **{f"language {i}": case() for i in range(6)},
        **{f"width {width}": case(width=width) for width in (1, 2, 40)},
        **{f"length penalty {a}": case(length_penalty=a) for a in (0.0, 0.5, 1.0, 2.0, -1.0)},
        **{f"short is better, {i}": case(length_penalty=0.0, max_length=9) for i in range(3)},
        **{f"long is better, {i}": case(length_penalty=1.5, max_length=9) for i in range(3)},
        "one step": case(max_length=1),
        "no end": case(end=None, max_length=4),
        "several tokens to start": case(start=[2, 3, 0]),
        "impossible tokens": case(vocab=6, forbidden=0.5),
        "few possible tokens": case(vocab=5, forbidden=0.9, width=4),
        "greedy is wrong": case(width=2, max_length=2, end=None) | {"step": _tempting},
        "exhaustive": case(vocab=3, width=3**4, max_length=4, length_penalty=math.pi / 4),
    }


GENERATION = (
    FunctionSpec(
        "repetition_penalty",
        repetition_penalty,
        generation.repetition_penalty,
        _repetition_penalty,
    ),
    FunctionSpec(
        "apply_temperature",
        apply_temperature,
        generation.apply_temperature,
        _with("temperature", 0.5, 1.0, 1.7),
    ),
    FunctionSpec("top_k", top_k, generation.top_k, _top_k),
    FunctionSpec("top_p", top_p, generation.top_p, _with("p", 0.0, 0.3, 0.9, 1.0)),
    FunctionSpec("min_p", min_p, generation.min_p, _min_p),
    FunctionSpec("no_repeat_ngram", no_repeat_ngram, generation.no_repeat_ngram, _no_repeat_ngram),
    FunctionSpec("greedy", greedy, generation.greedy, _greedy),
    FunctionSpec("beam_search", beam_search, generation.beam_search, _beam_search),
)
