from dataclasses import fields
from inspect import signature
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitransformer.errors import InputError
from minitransformer.generation import (
    Beams,
    Sampling,
    apply_temperature,
    generate,
    greedy,
    min_p,
    no_repeat_ngram,
    repetition_penalty,
    sample,
    stream,
    top_k,
    top_p,
)
from tests.generation_models import FakeModel, counting, small_gpt, uncached

logits_rows = st.integers(1, 8).flatmap(
    lambda size: arrays(np.float64, size, elements=st.sampled_from([-3.0, -0.5, 0.0, 1.0, 2.5]))
)
PROCESSORS = {
    "repetition_penalty": lambda logits: repetition_penalty(logits, [0, 2], 1.3),
    "no_repeat_ngram": lambda logits: no_repeat_ngram(logits, [0, 2, 1, 0], 2),
    "apply_temperature": lambda logits: apply_temperature(logits, 0.7),
    "top_k": lambda logits: top_k(logits, 2),
    "top_p": lambda logits: top_p(logits, 0.6),
    "min_p": lambda logits: min_p(logits, 0.4),
    "repetition_penalty without ids": lambda logits: repetition_penalty(logits, [], 1.3),
    "top_k off": lambda logits: top_k(logits, 0),
    "top_p off": lambda logits: top_p(logits, 1.0),
    "no_repeat_ngram off": lambda logits: no_repeat_ngram(logits, [0, 2, 1, 0], 0),
    "no_repeat_ngram of short texts": lambda logits: no_repeat_ngram(logits, [0, 0], 3),
    "min_p off": lambda logits: min_p(logits, 0.0),
}


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


# Processors


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_processors_are_pure_and_work_row_by_row(name, dtype):
    process = PROCESSORS[name]
    logits = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(dtype)
    before = logits.copy()
    got = process(logits)
    np.testing.assert_array_equal(logits, before)
    assert got.dtype == dtype
    assert not np.shares_memory(got, logits)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(got[place], process(logits[place]))
    np.testing.assert_array_equal(process(np.asfortranarray(logits)), got)


def test_repetition_penalty_by_hand():
    logits = np.array([2.0, -2.0, 0.0, 3.0, -np.inf])
    got = repetition_penalty(logits, [1, 0, 0, 0, 2, 4], 2.0)
    np.testing.assert_array_equal(got, [1.0, -4.0, 0.0, 3.0, -np.inf])
    np.testing.assert_array_equal(repetition_penalty(logits, [], 2.0), logits)
    rows = repetition_penalty(np.stack([logits, logits]), np.array([[0, 0], [3, 1]]), 2.0)
    np.testing.assert_array_equal(rows[0], [1.0, -2.0, 0.0, 3.0, -np.inf])
    np.testing.assert_array_equal(rows[1], [2.0, -4.0, 0.0, 1.5, -np.inf])


@given(ids=st.lists(st.integers(0, 3), max_size=12), size=st.integers(1, 4))
def test_no_run_of_tokens_is_completed_twice(ids, size):
    runs = [ids[i : i + size] for i in range(len(ids) - size + 1)]
    banned = {token for token in range(4) if [*ids, token][-size:] in runs}
    got = no_repeat_ngram(np.zeros(4), np.array(ids, int), size)
    assert set(np.flatnonzero(np.isneginf(got))) == (banned if len(ids) >= size - 1 else set())
    rows = no_repeat_ngram(np.zeros((2, 4)), np.array([ids, ids[::-1]], int), size)
    np.testing.assert_array_equal(rows[0], got)
    np.testing.assert_array_equal(
        rows[1], no_repeat_ngram(np.zeros(4), np.array(ids[::-1], int), size)
    )


@given(logits=logits_rows, p=st.floats(0.0, 1.0))
def test_min_p_keeps_what_is_nearly_as_likely_as_the_best(logits, p):
    ratio = np.exp(logits - logits.max())
    if (abs(ratio - p) < 1e-12).any() and p < 1:
        return  # rounding decides
    np.testing.assert_array_equal(min_p(logits, p), np.where(ratio < p, -np.inf, logits))


@given(logits=logits_rows, k=st.integers(0, 10))
def test_top_k_keeps_whatever_fewer_than_k_tokens_beat(logits, k):
    expected = [x if k == 0 or (logits > x).sum() < k else -np.inf for x in logits]
    np.testing.assert_array_equal(top_k(logits, k), expected)


def test_top_k_keeps_ties():
    np.testing.assert_array_equal(top_k(np.array([1.0, 3.0, 1.0, 0.0]), 2), [1, 3, 1, -np.inf])


@given(logits=logits_rows, p=st.floats(0.0, 1.0))
def test_top_p_keeps_a_token_while_the_mass_before_it_is_below_p(logits, p):
    probabilities, before, expected = softmax(logits), 0.0, np.full(logits.shape, -np.inf)
    for token in sorted(range(logits.size), key=lambda token: -logits[token]):
        if abs(before - p) < 1e-12:
            return  # rounding decides
        if before < p or before == 0.0:
            expected[token] = logits[token]
        before += probabilities[token]
    np.testing.assert_array_equal(top_p(logits, p), expected)


def test_top_p_by_hand():
    logits = np.log(np.array([0.1, 0.5, 0.15, 0.25]))
    kept = {p: np.isfinite(top_p(logits, p)).tolist() for p in (0.0, 0.4, 0.6, 0.8, 0.95, 1.0)}
    assert kept[0.0] == kept[0.4] == [False, True, False, False]
    assert kept[0.6] == [False, True, False, True]
    assert kept[0.8] == [False, True, True, True]
    assert kept[0.95] == kept[1.0] == [True] * 4


def test_top_p_of_one_keeps_the_faintest_token():
    logits = np.array([0.0, -200.0, -np.inf], np.float32)
    np.testing.assert_array_equal(top_p(logits, 1.0), logits)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: top_k(x, -1), ValueError, "top_k: k is -1"),
        (lambda x: top_p(x, -0.1), ValueError, "top_p: p is -0.1"),
        (lambda x: top_p(x, 1.1), ValueError, "top_p: p is 1.1"),
        (lambda x: min_p(x, -0.1), ValueError, "min_p: p is -0.1"),
        (lambda x: min_p(x, 1.1), ValueError, "min_p: p is 1.1"),
        (lambda x: no_repeat_ngram(x, [0], -1), ValueError, "size is -1"),
        (lambda x: no_repeat_ngram(x, [0, 4], 2), IndexError, r"ids\[1\] is 4"),
        (lambda x: apply_temperature(x, 0.0), ValueError, "do_sample=False"),
        (lambda x: apply_temperature(x, float("nan")), ValueError, "temperature is nan"),
        (lambda x: repetition_penalty(x, [0], 0.0), ValueError, "penalty is 0.0"),
        (lambda x: repetition_penalty(x, [0, 9], 1.1), IndexError, r"ids\[1\] is 9"),
        (lambda x: repetition_penalty(x, [-1], 1.1), IndexError, r"ids\[0\] is -1"),
        (lambda x: repetition_penalty(x, [0.5], 1.1), TypeError, "ids is float64"),
        (lambda x: top_k(x.astype(int), 1), TypeError, "logits is int64"),
        (lambda x: top_p(x[0], 0.5), ValueError, "expected 1 axes or more"),
    ],
)
def test_processors_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call(np.zeros(4))


# The choice of one token


def chi_square(counts, probabilities):
    """Pearson's statistic in standard deviations above its mean."""
    expected = probabilities * counts.sum()
    possible = expected > 0
    assert not counts[~possible].any()
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = possible.sum() - 1
    return (statistic - freedom) / np.sqrt(2 * freedom)


def test_samples_follow_the_distribution():
    rng = np.random.default_rng(0)
    logits = np.array([0.3, -np.inf, 2.0, -1.0, 0.3, -4.0, -np.inf], np.float32)
    draws = np.array([sample(logits, rng) for _ in range(20_000)])
    counts = np.bincount(draws, minlength=logits.size)
    assert chi_square(counts, softmax(logits)) < 4
    assert chi_square(counts, softmax(1.1 * logits)) > 8  # the test is sharp


def test_sampling_a_model_follows_the_processed_distribution():
    model = FakeModel(lambda ids: np.array([1.0, -0.5, 0.8, 0.0, 0.4]))
    drawn = generate(
        model,
        [3],
        max_new_tokens=1,
        do_sample=True,
        temperature=0.5,
        top_k=4,
        top_p=0.9,
        repetition_penalty=2.0,
        num_return_sequences=4000,
    )
    expected = softmax(np.array([2.0, -np.inf, 1.6, -np.inf, 0.8]))  # top-p takes token 3
    assert chi_square(np.bincount(np.ravel(drawn), minlength=5), expected) < 4


def test_a_sample_uses_one_random_number():
    rng, other = np.random.default_rng(5), np.random.default_rng(5)
    sample(np.zeros(9), rng)
    other.random()
    assert rng.random() == other.random()


def test_a_forbidden_token_is_never_hit():
    class Zero:
        def random(self):
            return 0.0

    assert sample(np.array([-np.inf, 0.0, 0.0]), Zero()) == 1


@given(position=st.integers(0, 4), seed=st.integers(0, 1000))
def test_the_only_possible_token_is_chosen(position, seed):
    logits = np.full(5, -np.inf)
    logits[position] = -1e4
    assert sample(logits, np.random.default_rng(seed)) == greedy(logits) == position


@pytest.mark.parametrize("choose", [greedy, lambda x: sample(x, np.random.default_rng(0))])
@pytest.mark.parametrize("logits", [[0.0, np.nan], [0.0, np.inf], [-np.inf, -np.inf]])
def test_broken_logits_are_refused(choose, logits):
    with pytest.raises(ValueError, match="the largest logit is"):
        choose(np.array(logits))


def test_greedy_takes_the_first_of_equals():
    assert greedy(np.array([0.0, 2.0, 2.0])) == 1


# Whole continuations


@pytest.fixture(scope="module")
def gpt():
    return small_gpt()


@pytest.mark.parametrize("length", [1, 3, 5, 6, 7, 20])
def test_cached_equals_uncached_also_when_the_window_slides(gpt, length):
    prompt = np.random.default_rng(1).integers(0, 11, length)
    got = list(stream(gpt, prompt, max_new_tokens=12))
    assert got == uncached(gpt, prompt, 12, lambda logits: int(logits.argmax()))
    rng = np.random.default_rng([7, 0])
    drawn = list(stream(gpt, prompt, max_new_tokens=12, do_sample=True, seed=7))
    assert drawn == uncached(gpt, prompt, 12, lambda logits: sample(logits, rng))
    assert len(set(drawn)) > 4


def test_each_token_is_read_once_until_the_context_is_full():
    model = FakeModel(counting, context=4)
    assert list(stream(model, [0, 1], max_new_tokens=5)) == [2, 3, 4, 0, 1]
    assert [row for (row,) in model.calls] == [[0, 1], [2], [3], [1, 2, 3, 4], [2, 3, 4, 0]]


def test_a_stream_computes_a_token_when_it_is_asked_for():
    model = FakeModel(counting)
    tokens = stream(model, [0], max_new_tokens=100)
    assert model.calls == []
    assert list(islice(tokens, 2)) == [1, 2]
    assert len(model.calls) == 2


def test_the_end_token_ends_and_is_left_out():
    assert list(stream(FakeModel(counting), [0], max_new_tokens=9, eos_id=3)) == [1, 2]
    assert generate(FakeModel(counting), [2], max_new_tokens=9, eos_id=3) == [[]]
    assert list(stream(FakeModel(counting), [0], max_new_tokens=0)) == []


def test_the_repetition_penalty_sees_prompt_and_new_tokens_also_outside_the_window():
    model = FakeModel(lambda ids: np.array([5.0, 4.0, 3.0, 2.0, 1.0]), context=2)
    got = list(stream(model, [1], max_new_tokens=5, repetition_penalty=10.0))
    assert got == [0, 2, 3, 4, 0]


def test_generate_takes_one_prompt_or_several(gpt):
    first, second = [1, 2, 3], [4]
    one = generate(gpt, first, max_new_tokens=4)
    assert one == [list(stream(gpt, first, max_new_tokens=4))]
    assert generate(gpt, np.array(first), max_new_tokens=4) == one
    assert generate(gpt, [first], max_new_tokens=4) == one
    assert generate(gpt, np.array([first, second * 3]), max_new_tokens=4)[:1] == one
    assert generate(gpt, (first, second), max_new_tokens=4) == [
        *one,
        *generate(gpt, second, max_new_tokens=4),
    ]


def test_sequences_have_random_streams_of_their_own(gpt):
    settings = {"max_new_tokens": 8, "do_sample": True, "seed": 3}
    three = generate(gpt, [1, 2], num_return_sequences=3, **settings)
    assert len({tuple(ids) for ids in three}) == 3
    assert three[0] == list(stream(gpt, [1, 2], **settings))
    assert generate(gpt, [1, 2], num_return_sequences=2, **settings) == three[:2]
    both = generate(gpt, [[5], [1, 2]], num_return_sequences=3, **settings)
    assert both[3:] == three
    assert generate(gpt, [1, 2], num_return_sequences=3, **{**settings, "seed": 4}) != three


def test_greedy_ignores_what_shapes_a_distribution(gpt):
    plain = generate(gpt, [1], max_new_tokens=5)
    shaped = generate(gpt, [1], max_new_tokens=5, temperature=3.0, top_k=3, top_p=0.5, seed=9)
    assert shaped == plain


def test_the_options_are_those_of_sampling():
    for function, settings in ((stream, [Sampling]), (generate, [Sampling, Beams])):
        parameters = signature(function).parameters
        for field in (field for setting in settings for field in fields(setting)):
            assert parameters[field.name].default == field.default


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"prompt": []}, InputError, "the prompt is empty"),
        ({"prompt": np.array([], int)}, InputError, "the prompt is empty"),
        ({"prompt": [1, 5]}, IndexError, "id 5 at position 1 is not in the vocabulary"),
        ({"prompt": [-1]}, IndexError, "id -1 at position 0"),
        ({"prompt": [0.5]}, InputError, "expected a list of token ids"),
        ({"prompt": "text"}, InputError, "expected a list of token ids"),
        ({"max_new_tokens": -1}, ValueError, "max_new_tokens is -1"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"temperature": 0.0}, ValueError, "temperature is 0.0.*do_sample=False"),
        ({"temperature": -1.0, "do_sample": True}, ValueError, "temperature is -1.0"),
        ({"top_k": -1}, ValueError, "k is -1"),
        ({"top_p": 1.5}, ValueError, "p is 1.5"),
        ({"min_p": 1.5}, ValueError, "p is 1.5"),
        ({"no_repeat_ngram_size": -1}, ValueError, "size is -1"),
        ({"repetition_penalty": 0.0}, ValueError, "penalty is 0.0"),
        ({"stop": ["."]}, InputError, r"stop has '\.', expected lists of token ids.*until_stop"),
        ({"stop": "."}, InputError, r"stop has '\.'"),
        ({"stop": [[]]}, InputError, r"stop has \[\]"),
        ({"stop": [1]}, InputError, "stop has 1"),
    ],
)
def test_bad_requests_fail_before_the_model_runs(settings, error, message):
    model = FakeModel(counting)
    request = {"prompt": [0], "max_new_tokens": 2, **settings}
    with pytest.raises(error, match=message):
        stream(model, **request)
    prompt = request.pop("prompt")
    with pytest.raises(error, match=message):
        generate(model, prompt, **request)
    assert model.calls == []


@pytest.mark.parametrize("prompts", [[[]], [[0], []]])
def test_an_empty_prompt_among_several_is_refused(prompts):
    model = FakeModel(counting)
    with pytest.raises(InputError, match="the prompt is empty"):
        generate(model, prompts, max_new_tokens=2)
    assert model.calls == []


def test_no_sequences_are_refused():
    with pytest.raises(ValueError, match="num_return_sequences is 0"):
        generate(FakeModel(counting), [0], max_new_tokens=2, num_return_sequences=0)


def test_a_model_with_damaged_weights_is_named_so():
    model = FakeModel(lambda ids: np.full(5, np.nan))
    with pytest.raises(ValueError, match="weights are damaged"):
        generate(model, [0], max_new_tokens=1)
