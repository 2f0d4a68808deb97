"""Stops end a text and are left out, whether they are tokens or characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer.generation import generate, stream, until_stop
from minitransformer.generation.stopping import held_back
from tests.generation_models import FakeModel, counting

letters = st.text("ab", max_size=8)
stops = st.lists(st.text("ab", min_size=1, max_size=3), max_size=3)


def test_a_stop_ends_the_text_and_is_left_out():
    for stop in ([[3, 4]], [[9], [4], [3, 4]], [(3, 4)]):
        got = generate(FakeModel(counting), [0], max_new_tokens=9, stop=stop)
        assert got == [[1, 2]]
        assert got[0].finished
        assert list(stream(FakeModel(counting), [0], max_new_tokens=9, stop=stop)) == [1, 2]


def test_a_stop_is_made_of_new_tokens():
    assert generate(FakeModel(counting), [0], max_new_tokens=6, stop=[[0, 1]]) == [[1, 2, 3, 4]]


def test_a_stream_holds_back_what_may_become_a_stop():
    model = FakeModel(counting)
    tokens = stream(model, [0], max_new_tokens=7, stop=[[2, 3, 0], [3, 4, 0, 2]])
    assert next(tokens) == 1
    assert next(tokens) == 2
    assert len(model.calls) == 4  # 2, 3, 4: not the first stop, but 3 and 4 may be the second
    assert list(tokens) == [3, 4, 0, 1, 2]


@given(text=st.lists(st.integers(0, 1), max_size=8), stop=stops)
def test_a_stream_gives_what_generate_gives(text, stop):
    model = FakeModel(lambda ids: [5.0 * (token == text[len(ids) - 1]) for token in range(5)])
    request = {
        "max_new_tokens": len(text),
        "stop": [["ab".index(letter) for letter in one] for one in stop],
    }
    got = list(stream(model, [0], **request))
    assert got == generate(model, [0], **request)[0]
    joined = "".join("ab"[token] for token in text)
    ends = [
        (end, end - max(len(one) for one in stop if joined[:end].endswith(one)))
        for end in range(1, len(text) + 1)
        if any(joined[:end].endswith(one) for one in stop)
    ]
    assert got == text[: min(ends)[1] if ends else None]


@given(text=letters, stop=stops)
def test_what_is_held_back_may_become_a_stop(text, stop):
    beginnings = [one[:length] for one in stop for length in range(1, len(one))]
    expected = max((len(part) for part in beginnings if text.endswith(part)), default=0)
    assert held_back(text, stop) == expected


@given(pieces=st.lists(letters, max_size=5), stop=stops)
def test_text_ends_at_the_first_stop(pieces, stop):
    text = "".join(pieces)
    got = "".join(until_stop(iter(pieces), stop))
    assert text.startswith(got)
    assert not any(one in got for one in stop)
    if any(one in text for one in stop):
        assert any(text[len(got) :].startswith(one) for one in stop)
    else:
        assert got == text


def test_text_is_passed_on_as_soon_as_it_is_certain():
    passed_on = []

    def pieces():
        for piece in ("one", " \n", "two", "\n", "\nUs", "er:", "never read"):
            yield piece
            assert piece != "never read"

    for piece in until_stop(pieces(), ["\n\nUser:"]):
        passed_on.append(piece)
    assert passed_on == ["one", " ", "\ntwo", "", "", ""]


@pytest.mark.parametrize("stop", [["ab"], []])
def test_nothing_is_added(stop):
    assert "".join(until_stop([], stop)) == ""
