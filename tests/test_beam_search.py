from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer.generation import beam_search

START, END = 7, 0


def random_step(seed, vocab_size, forbid=0.0):
    """Log-probabilities that depend on all tokens so far; some tokens are forbidden."""

    def step(tokens):
        rng = np.random.default_rng([seed, *tokens])
        logits = 2.0 * rng.standard_normal(vocab_size)
        logits[rng.random(vocab_size) < forbid] = -np.inf
        logits[-1] = max(logits[-1], -5.0)
        return logits - np.log(np.exp(logits).sum())

    return step


def score_of(step, tokens, length_penalty):
    total = sum(step([START, *tokens[:i]])[token] for i, token in enumerate(tokens))
    return total / len(tokens) ** length_penalty


def exhaustive(step, vocab_size, max_length, length_penalty):
    """Score of the best of all sequences that end once, at their end, or fill ``max_length``."""
    return max(
        score_of(step, tokens, length_penalty)
        for length in range(1, max_length + 1)
        for tokens in product(range(vocab_size), repeat=length)
        if END not in tokens[:-1] and (tokens[-1] == END or length == max_length)
    )


@given(
    seed=st.integers(0, 10**6),
    vocab_size=st.integers(2, 4),
    max_length=st.integers(1, 3),
    length_penalty=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),
    forbid=st.sampled_from([0.0, 0.4]),
)
def test_a_wide_beam_searches_exhaustively(seed, vocab_size, max_length, length_penalty, forbid):
    step = random_step(seed, vocab_size, forbid)
    width = vocab_size**max_length
    tokens, score = beam_search(step, START, END, width, max_length, length_penalty)
    best = exhaustive(step, vocab_size, max_length, length_penalty)
    assert score == pytest.approx(best, rel=1e-12)
    assert score == pytest.approx(score_of(step, tokens, length_penalty), rel=1e-12)
    assert len(tokens) <= max_length
    assert END not in tokens[:-1]


def table_step(table):
    """Look the probabilities of the next token up by the new tokens so far."""
    return lambda tokens: np.log(np.array(table[tuple(tokens[1:])]) + 1e-300)


GREEDY_FAILS = table_step(
    {
        (): [0.0, 0.6, 0.4],
        (1,): [0.4, 0.3, 0.3],
        (2,): [0.9, 0.1, 0.0],
        (1, 1): [1.0, 0.0, 0.0],
        (1, 2): [1.0, 0.0, 0.0],
        (2, 1): [1.0, 0.0, 0.0],
    }
)


def test_two_beams_find_what_one_misses():
    narrow = beam_search(GREEDY_FAILS, START, END, 1, 3, length_penalty=0.0)
    wide = beam_search(GREEDY_FAILS, START, END, 2, 3, length_penalty=0.0)
    assert narrow.tokens == [1, END]
    assert narrow.score == pytest.approx(np.log(0.24))
    assert wide.tokens == [2, END]
    assert wide.score == pytest.approx(np.log(0.36))


def test_the_length_penalty_prefers_long_hypotheses():
    step = table_step({(): [0.5, 0.5], (1,): [0.3, 0.7], (1, 1): [0.3, 0.7]})
    found = {x: beam_search(step, START, END, 2, 3, length_penalty=x) for x in (0.0, 1.0)}
    assert found[0.0].tokens == [END]
    assert found[1.0].tokens == [1, 1, 1]  # unfinished, it competes at the end
    assert found[1.0].score == pytest.approx(np.log(0.5 * 0.7 * 0.7) / 3)


def test_only_the_first_candidates_may_finish():
    step = table_step({(): [0.3, 0.4, 0.3 - 1e-9], (1,): [0.0, 0.5, 0.5]})
    assert beam_search(step, START, END, 1, 2, length_penalty=0.0).tokens == [1, 1]
    assert beam_search(step, START, END, 2, 1, length_penalty=0.0).tokens == [1]
    tight = table_step({(): [0.3, 0.4, 0.3 + 1e-9], (1,): [0.0, 0.5, 0.5], (2,): [0.0, 0.5, 0.5]})
    assert beam_search(tight, START, END, 2, 2, length_penalty=0.0).tokens == [1, 1]
    assert beam_search(tight, START, END, 3, 2, length_penalty=0.0).tokens == [END]


def test_a_hypothesis_that_ends_leaves_its_beam_to_the_next_candidate():
    step = table_step({(): [0.51, 0.49], (1,): [0.1, 0.9], (1, 1): [0.1, 0.9]})
    assert beam_search(step, START, END, 1, 3, length_penalty=2.0).tokens == [1, 1, 1]


def test_a_beam_that_is_cut_short_does_not_compete():
    step = counted(table_step({(): [0.4, 0.6]}))
    assert beam_search(step, START, END, 2, 3, length_penalty=-1.0).tokens == [END]
    assert len(step.calls) == 1


def test_the_search_goes_on_while_a_late_hypothesis_may_win():
    first, later = np.log([0.8, 0.2]), np.log([0.001, 0.999])
    found = beam_search(lambda tokens: later if tokens[1:] else first, START, END, 1, 20)
    assert found.tokens == [1] * 20


def test_the_search_goes_on_while_an_early_hypothesis_may_win():
    step = table_step({(): [0.3, 0.7], (1,): [0.99, 0.01]})
    assert beam_search(step, START, END, 2, 20, length_penalty=-1.0).tokens == [1, END]


def counted(step):
    def wrapped(tokens):
        wrapped.calls.append(list(tokens))
        return step(tokens)

    wrapped.calls = []
    return wrapped


def test_the_search_stops_when_no_beam_can_win():
    step = counted(lambda tokens: np.log(np.array([0.9, 0.05, 0.05])))
    assert beam_search(step, START, END, 2, 1000, length_penalty=0.0).tokens == [END]
    assert step.calls == [[START]]


def test_step_sees_the_start_and_the_new_tokens():
    step = counted(lambda tokens: np.log(np.array([0.1, 0.9])))
    beam_search(step, [5, 6], None, 1, 3)
    assert step.calls == [[5, 6], [5, 6, 1], [5, 6, 1, 1]]
    step.calls.clear()
    beam_search(step, np.int64(4), END, 1, 1)
    assert step.calls == [[4]]


def test_without_an_end_token_all_hypotheses_are_full():
    tokens, score = beam_search(random_step(1, 3), START, None, 27, 3)
    assert len(tokens) == 3
    assert score == pytest.approx(score_of(random_step(1, 3), tokens, 1.0))


def test_a_dead_end_is_left_for_another_beam():
    minus = -np.inf
    table = {(): [minus, -0.1, -3.0], (1,): [minus] * 3, (2,): [-0.5, minus, minus]}
    found = beam_search(lambda tokens: np.array(table[tuple(tokens[1:])]), START, END, 2, 3)
    assert found.tokens == [2, END]
    assert found.score == pytest.approx(-1.75)


def test_results_are_plain_numbers():
    tokens, score = beam_search(random_step(0, 3), START, END, 2, 3)
    assert {type(token) for token in tokens} == {int}
    assert type(score) is float


@pytest.mark.parametrize(
    ("step", "settings", "message"),
    [
        (random_step(0, 3), {"width": 0}, "width is 0, expected 1 or more"),
        (random_step(0, 3), {"max_length": 0}, "max_length is 0, expected 1 or more"),
        (lambda tokens: np.array([0.5, -1.0]), {}, "returned 0.5, expected log-prob.*log-softmax"),
        (lambda tokens: np.array([np.nan, -1.0]), {}, "returned nan, expected log-prob"),
        (lambda tokens: np.zeros((1, 3)), {}, r"returned shape \(1, 3\), expected \(V,\)"),
        (lambda tokens: np.full(3, -np.inf), {}, "forbids every token"),
    ],
)
def test_bad_arguments_are_refused(step, settings, message):
    arguments = {"start": START, "end": END, "width": 2, "max_length": 3, **settings}
    with pytest.raises(ValueError, match=f"beam_search: .*{message}"):
        beam_search(step, **arguments)
