import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer.schedules import constant, warmup_cosine, warmup_inverse_sqrt


def test_constant():
    assert constant(0, 0.3) == constant(10_000, 0.3) == 0.3


def test_warmup_cosine_landmarks():
    def rate(step):
        return warmup_cosine(step, peak=1.0, warmup=10, total=110, floor=0.2)

    assert rate(0) == 0.0
    assert rate(5) == pytest.approx(0.5)
    assert rate(10) == 1.0
    assert rate(35) == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert rate(60) == pytest.approx(0.6)
    assert rate(110) == rate(111) == rate(10**9) == 0.2


def test_without_warmup_the_peak_comes_first():
    assert warmup_cosine(0, 1e-3, warmup=0, total=1) == 1e-3
    assert warmup_cosine(1, 1e-3, warmup=0, total=1) == 0.0


@given(
    peak=st.floats(1e-6, 1.0),
    share=st.floats(0.0, 1.0),
    warmup=st.integers(0, 50),
    rest=st.integers(1, 50),
)
def test_warmup_cosine_climbs_then_falls(peak, share, warmup, rest):
    total, floor = warmup + rest, share * peak
    rates = [warmup_cosine(step, peak, warmup, total, floor) for step in range(total + 3)]
    assert rates[warmup] == peak
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert set(rates[total:]) == {floor}
    rounding = 1e-12 * peak
    assert all(after <= before + rounding for before, after in pairwise(rates[warmup:]))
    assert all(floor - rounding <= rate <= peak + rounding for rate in rates[warmup:])


@given(
    step=st.integers(1, 10**6),
    width=st.integers(1, 4096),
    warmup=st.integers(1, 10_000),
    factor=st.floats(0.1, 10.0),
)
def test_warmup_inverse_sqrt_is_the_papers(step, width, warmup, factor):
    paper = factor * width ** (-0.5) * min(step ** (-0.5), step * warmup ** (-1.5))
    assert warmup_inverse_sqrt(step, width, warmup, factor) == pytest.approx(paper, rel=1e-12)


def test_warmup_inverse_sqrt_landmarks():
    assert warmup_inverse_sqrt(0, 512, 4000) == 0.0
    assert warmup_inverse_sqrt(4000, 512, 4000) == pytest.approx(6.987712e-4, rel=1e-6)
    rates = [warmup_inverse_sqrt(step, 512, 4000) for step in range(8000)]
    assert max(rates) == rates[4000]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: constant(-1, 0.1), "step is -1"),
        (lambda: constant(0, math.nan), "peak is nan"),
        (lambda: warmup_cosine(-1, 1.0, 1, 2), "step is -1"),
        (lambda: warmup_cosine(math.nan, 1.0, 1, 2), "step is nan"),
        (lambda: warmup_cosine(0, -1.0, 1, 2), "peak is -1.0"),
        (lambda: warmup_cosine(0, math.inf, 1, 2), "peak is inf"),
        (lambda: warmup_cosine(0, 1.0, 2, 2), "warmup is 2 and total is 2, expected"),
        (lambda: warmup_cosine(0, 1.0, -1, 2), "warmup is -1"),
        (lambda: warmup_cosine(0, 1.0, 1, 2, floor=1.5), "floor is 1.5 and peak is 1.0"),
        (lambda: warmup_cosine(0, 1.0, 1, 2, floor=-0.1), "floor is -0.1"),
        (lambda: warmup_inverse_sqrt(-1, 512, 4000), "step is -1"),
        (lambda: warmup_inverse_sqrt(0, 0, 4000), "width is 0"),
        (lambda: warmup_inverse_sqrt(0, 512, 0), "warmup is 0, expected more than 0"),
        (lambda: warmup_inverse_sqrt(0, 512, 4000, factor=-1.0), "factor is -1.0"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
