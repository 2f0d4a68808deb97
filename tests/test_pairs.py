"""Lists of unequal length become arrays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer.data import IGNORE, count_targets, pad, pair_batch
from minitransformer.errors import InputError

ROWS = st.lists(st.lists(st.integers(2, 99), min_size=1, max_size=6), min_size=1, max_size=5)


@given(sources=ROWS, data=st.data())
def test_a_batch_says_what_the_lists_said(sources, data):
    same = {"min_size": len(sources), "max_size": len(sources)}
    rows = st.lists(st.integers(2, 99), min_size=1, max_size=6)
    targets = data.draw(st.lists(rows, **same))
    batch = pair_batch(sources, targets, start_id=0, end_id=1)
    assert batch.inputs.shape == batch.targets.shape
    assert count_targets(batch) == sum(len(target) + 1 for target in targets)
    for i, (source, target) in enumerate(zip(sources, targets, strict=True)):
        assert batch.sources[i, : batch.source_lengths[i]].tolist() == source
        assert batch.inputs[i, : len(target) + 1].tolist() == [0, *target]
        assert batch.targets[i, : len(target) + 1].tolist() == [*target, 1]
        assert (batch.targets[i, len(target) + 1 :] == IGNORE).all()


def test_padding():
    assert pad("row", [[5, 6], [7]], fill=9).tolist() == [[5, 6], [7, 9]]


@pytest.mark.parametrize(
    ("sources", "targets", "message"),
    [
        ([], [], "there is no source"),
        ([[3], []], [[3], [3]], "source 1 is empty"),
        ([[3], [3]], [[], [3]], "target 0 is empty"),
        ([[3]], [[3], [3]], "1 sources and 2 targets"),
    ],
)
def test_lists_that_are_refused(sources, targets, message):
    with pytest.raises(InputError, match=message):
        pair_batch(sources, targets, 0, 1)
