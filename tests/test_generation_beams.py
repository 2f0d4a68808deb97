"""Beam search with a model: as good as trying everything, and as narrow as it is told to be."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer.generation import beam_search, generate
from minitransformer.models import EncoderDecoder, EncoderDecoderConfig
from tests.generation_models import FakeModel, shaken, small_gpt

END = 0
GPT = small_gpt(vocab_size=12, context=12)


def log_softmax(logits):
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def step(tokens, model=GPT):
    """Log-probabilities of the next token, from a model that reads everything again."""
    logits, _ = model(np.array([tokens[-model.config.context :]]))
    return log_softmax(logits[0, -1].astype(np.float64))


def beams(prompt, model=GPT, **options):
    defaults = {"max_new_tokens": 5, "num_beams": 3, "eos_id": END, "early_stopping": "never"}
    return generate(model, prompt, **{**defaults, **options})


def random_language(seed, vocab_size):
    def logits_of(ids):
        return 2.0 * np.random.default_rng([seed, *ids]).standard_normal(vocab_size)

    return FakeModel(logits_of, vocab_size)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    vocab_size=st.integers(2, 4),
    limit=st.integers(1, 3),
    length_penalty=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),
)
def test_enough_beams_search_exhaustively(seed, vocab_size, limit, length_penalty):
    model = random_language(seed, vocab_size)
    scored = []
    for length in range(1, limit + 1):
        for tokens in product(range(vocab_size), repeat=length):
            if END not in tokens[:-1] and (tokens[-1] == END or length == limit):
                total = sum(
                    log_softmax(np.float32(model.logits_of([1, *tokens[:i]])).astype(float))[token]
                    for i, token in enumerate(tokens)
                )
                text = list(tokens[:-1] if tokens[-1] == END else tokens)
                scored.append((total / length**length_penalty, text))
    scored.sort(reverse=True)
    count = min(3, len(scored))
    got = beams(
        [1],
        model,
        max_new_tokens=limit,
        num_beams=max(2, vocab_size**limit),
        length_penalty=length_penalty,
        num_return_sequences=min(2, count),
    )
    for text, (score, expected) in zip(got, scored, strict=False):
        assert text.score == pytest.approx(score, rel=1e-9)
        assert text == expected


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("prompt", [[3], [1, 4, 1, 5], list(range(1, 11))], ids=len)
def test_it_finds_what_the_textbook_finds(prompt, length_penalty):
    """Which reads everything again for each beam; the window slides with the longest prompt."""
    expected = beam_search(step, prompt, END, 3, 5, length_penalty)
    (got,) = beams(prompt, length_penalty=length_penalty)
    assert got == [token for token in expected.tokens if token != END]
    assert got.finished == (expected.tokens[-1] == END)
    assert got.score == pytest.approx(expected.score, rel=1e-9)


def test_several_prompts_and_several_sequences():
    prompts = [[3], [1, 4, 1, 5]]
    together = beams(prompts, num_return_sequences=3)
    assert together == [
        *beams(prompts[0], num_return_sequences=3),
        *beams(prompts[1], num_return_sequences=3),
    ]
    scores = [text.score for text in together]
    assert scores[:3] == sorted(scores[:3], reverse=True)
    assert len({tuple(text) for text in together[:3]}) == 3
    assert beams(prompts) == together[::3]


def table_model(table):
    """Probabilities by the new tokens so far; the prompt is one token."""

    def logits_of(ids):
        with np.errstate(divide="ignore"):
            return np.log(np.array(table[tuple(ids[1:])]))

    return FakeModel(logits_of, vocab_size=3)


def test_when_to_stop():
    """With a length penalty of 2 late hypotheses win: how long are they waited for?"""

    def logits_of(ids):
        return np.random.default_rng([0, *ids]).normal([1.2, 0.0, 0.0, 0.0])

    found, read = [], []
    for early_stopping in (True, False, "never"):
        model = FakeModel(logits_of, vocab_size=4)
        options = {"max_new_tokens": 8, "num_beams": 2, "early_stopping": early_stopping}
        found += beams([1], model, length_penalty=2.0, **options)
        read.append(len(model.calls))
    assert found == [[], [1, 2, 1, 1], [2, 2, 2, 3, 3, 2, 2, 3]]
    assert read == [3, 5, 8]
    assert found[0].score < found[1].score < found[2].score


def test_repetition_is_penalised_after_the_logarithm_and_nothing_is_normalised():
    model = table_model({(): [0.2, 0.5, 0.3], (1,): [0.9, 0.05, 0.05], (2,): [0.2, 0.5, 0.3]})
    (got,) = generate(
        model,
        [1],
        max_new_tokens=2,
        num_beams=2,
        eos_id=END,
        repetition_penalty=3.0,
        length_penalty=1.0,
    )
    assert got == [1]  # which was seen: 0.5 cubed, and then the end, rather than 2 and the end
    assert got.score == pytest.approx((3 * np.log(0.5) + np.log(0.9)) / 2, rel=1e-6)


def test_runs_of_tokens_are_banned_in_each_beam():
    for text in beams([3, 3], max_new_tokens=9, no_repeat_ngram_size=1, num_return_sequences=3):
        assert len({3, *text}) == 1 + len(text)


def test_a_stop_finishes_a_beam_and_counts_in_its_length():
    plain = beams([3], eos_id=(), length_penalty=0.0)[0]
    assert len(plain) == 5
    stopped = beams([3], eos_id=(), stop=[plain[1:3]], length_penalty=0.0)[0]
    assert stopped == plain[:1]
    assert stopped.finished
    assert stopped.score == pytest.approx(
        sum(step([3, *plain[:i]])[token] for i, token in enumerate(plain[:3])), rel=1e-9
    )


def test_beams_can_be_drawn():
    draw = {"do_sample": True, "temperature": 2.0}
    assert beams([3], seed=1, **draw) == beams([3], seed=1, **draw)
    assert len({tuple(beams([3], seed=seed, **draw)[0]) for seed in range(6)}) > 2


def test_beams_are_drawn_without_replacement_and_the_better_one_is_first():
    model = FakeModel(lambda ids: np.log([0.5, 0.3, 0.2]), vocab_size=3)
    request = {"do_sample": True, "max_new_tokens": 1, "num_beams": 2, "eos_id": ()}
    firsts = [beams([0], model, seed=seed, **request)[0][0] for seed in range(400)]
    not_0_of_two = 0.3 * 0.2 / 0.7 + 0.2 * 0.3 / 0.8
    assert set(firsts) == {0, 1}  # all three are drawn, and the first two compete
    assert firsts.count(1) / 400 == pytest.approx(not_0_of_two, abs=0.06)


def test_drawn_beams_keep_something_to_go_on_with():
    model = FakeModel(lambda ids: [3.0, 1.0, 2.0, 0.0], vocab_size=4)
    request = {"do_sample": True, "top_k": 1, "num_return_sequences": 3}
    texts = [text for seed in range(9) for text in beams([1], model, seed=seed, **request)]
    assert {token for text in texts for token in text} == {2}


def test_an_encoder_decoder_searches_too():
    shape = {"vocab_size": 11, "context": 12, "layers": 1, "heads": 2, "width": 8, "hidden": 12}
    target = {"target_vocab_size": 9, "target_context": 6, "start_id": 1, "end_id": 2}
    model = shaken(EncoderDecoder(EncoderDecoderConfig(**shape, dropout=0.0, **target)))
    for source in ([3, 1, 4], [7]):
        expected = beam_search(lambda ids, s=source: step(ids, model.given([s])), 1, 2, 3, 5)
        (got,) = generate(model, source, max_new_tokens=5, num_beams=3, early_stopping="never")
        assert got == [token for token in expected.tokens if token != 2]
        assert got.score == pytest.approx(expected.score, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams is 0, expected 1 or more"),
        ({"num_return_sequences": 4}, "num_return_sequences is 4 and num_beams 3"),
        ({"length_penalty": float("nan")}, "length_penalty is nan"),
        ({"early_stopping": "always"}, "early_stopping is 'always', expected True, False or"),
    ],
)
def test_bad_requests(options, message):
    with pytest.raises(ValueError, match=message):
        beams([3], **options)


def test_when_every_token_is_forbidden():
    with pytest.raises(ValueError, match="every token is forbidden"):
        beams([1, 2, 0], random_language(0, 3), no_repeat_ngram_size=1)
    assert beams([3], max_new_tokens=0) == [[]]
