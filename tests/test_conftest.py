import hypothesis
import numpy as np
import pytest

from minitransformer import ops

pytestmark = pytest.mark.usefixtures("checked_shapes")


def test_a_wrong_shape_annotation_is_rejected() -> None:
    pytest.importorskip("beartype", reason="shapes are checked at run time by beartype")
    textbook = ops.layer_norm_forward.impls["numpy"]
    x, gamma, beta = np.ones((2, 3)), np.ones(3), np.ones(3)
    textbook(x, gamma, beta)
    with pytest.raises(TypeError, match="gamma"):
        textbook(x, np.ones((2, 3)), beta)
    with pytest.raises(TypeError, match="beta"):
        textbook(x, gamma, np.ones(4))


def test_examples_replay_and_may_take_their_time() -> None:
    assert hypothesis.settings.default.deadline is None
    assert hypothesis.settings.default.print_blob
