"""Tokens are chosen on the device as on the host, and only they come home."""

import dataclasses

import numpy as np
import pytest

from minitransformer.backend import use_backend
from minitransformer.generation import Sampling, generate
from minitransformer.generation.sampling import choose_tokens
from minitransformer.models.gpt import GPT, GPTConfig
from minitransformer.nn import flatten_parameters
from tests.cuda_lane import SIMULATED, cuda, on_device

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("cuda")]
__all__ = ["cuda"]

V, TEXTS, ROUNDS = (7, 2, 1) if SIMULATED else (301, 32, 1)
DRAWN = {
    "plain": {},
    "cold": {"temperature": 0.3},
    "hot": {"temperature": 3.0},
    "top k": {"top_k": 5},
    "top 1": {"top_k": 1},
    "top p": {"top_p": 0.7},
    "top p of nothing": {"top_p": 0.0},
    "min p": {"min_p": 0.1},
    "certain": {"min_p": 1.0},
    "all": {"temperature": 1.3, "top_k": 6, "top_p": 0.9, "min_p": 0.02},
    "seen": {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2, "top_p": 0.95},
}
GREEDY = {
    "plain": {},
    "seen": {"repetition_penalty": 1.3, "no_repeat_ngram_size": 1},
}
SETTINGS = {
    **{f"drawn, {name}": Sampling(True, **options) for name, options in DRAWN.items()},
    **{f"greedy, {name}": Sampling(**options) for name, options in GREEDY.items()},
}


def chosen(logits, sampling, backend, seed=0):
    """The tokens of several texts, some of which share a row of logits."""
    rows = [n // 2 for n in range(TEXTS)]
    texts = np.random.default_rng(seed).integers(0, V, (TEXTS, 3)).tolist()
    rngs = [np.random.default_rng([seed, n]) for n in range(TEXTS)]
    logits = on_device(logits) if backend == "cuda" else logits
    return choose_tokens.impls[backend](logits, rows, sampling, texts, rngs)


def some_logits(seed, kind):
    logits = np.random.default_rng(seed).standard_normal((TEXTS // 2, V)) * 3
    if kind == "ties":
        logits = np.round(logits)
    if kind == "all alike":
        logits[:] = 0.5  # p V is no integer, so that no mass is p but for rounding
    if kind == "forbidden":
        logits[:, V // 2 + 2 :] = -np.inf
    return logits.astype(np.float32)


@pytest.mark.parametrize("kind", ["any", "ties", "all alike", "forbidden"])
@pytest.mark.parametrize("name", SETTINGS)
def test_tokens_are_the_hosts(name, kind):
    for seed in range(ROUNDS):
        logits = some_logits(seed, kind)
        want = chosen(logits, SETTINGS[name], "numpy", seed)
        assert chosen(logits, SETTINGS[name], "cuda", seed) == want


def test_random_numbers_are_used_alike():
    rngs = [[np.random.default_rng(7)] for _ in range(2)]
    logits = some_logits(0, "any")
    for backend, rng in zip(("numpy", "cuda"), rngs, strict=True):
        given = on_device(logits) if backend == "cuda" else logits
        choose_tokens.impls[backend](given, [0], Sampling(True), [[1]], rng)
    assert rngs[0][0].random() == rngs[1][0].random()


@pytest.mark.parametrize("do_sample", [False, True])
@pytest.mark.parametrize(
    ("value", "place", "what"), [(np.nan, 2, "nan"), (np.inf, 2, "inf"), (-np.inf, ..., "-inf")]
)
def test_logits_without_a_largest_are_refused(do_sample, value, place, what):
    logits = some_logits(0, "any")
    logits[:, place] = value
    for backend in ("numpy", "cuda"):
        with pytest.raises(ValueError, match=f"the largest logit is {what}, expected a finite one"):
            chosen(logits, Sampling(do_sample), backend)


def test_logits_of_the_host_are_taken_too():
    logits = some_logits(0, "any")
    assert choose_tokens(logits, [0], Sampling(), [[1]], [None]) == [logits[0].argmax()]


@pytest.mark.skipif(SIMULATED, reason="takes the simulator minutes")
def test_a_token_brings_home_its_id_and_reserves_no_memory():
    from minitransformer.backends.cuda.arrays import pool

    config = GPTConfig(vocab_size=40, context=32, layers=2, heads=2, width=16)
    model = GPT(config, 3)
    flat = flatten_parameters(model.parameters())
    flat.data[:] = 0.5 * np.random.default_rng(4).standard_normal(flat.data.size)
    prompts, options = [[1, 2, 3], [4, 5, 6]], {"do_sample": True, "top_p": 0.9, "seed": 5}
    with use_backend("numpy"):
        expected = generate(model, prompts, max_new_tokens=20, **options)
    model.to("cuda")
    before = dataclasses.asdict(pool().counters)
    assert generate(model, prompts, max_new_tokens=20, **options) == expected
    counted = {n: x - before[n] for n, x in dataclasses.asdict(pool().counters).items()}
    assert counted["downloads"] == 20
    assert counted["downloaded_bytes"] == 20 * 8 * len(prompts)
    kv = model.new_kv(1)
    seen = []
    for token in range(10):
        model.next_logits(np.array([[token]]), kv)
        seen.append(pool().counters.allocations)
    assert seen[1:] == seen[1:2] * 9
