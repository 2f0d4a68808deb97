import numpy as np
import pytest

from minitransformer.data import Batch
from minitransformer.distributed import average_gradients
from minitransformer.models import GPT, GPTConfig
from minitransformer.nn import flatten_parameters


def flat_gradient(model, batch):
    model.zero_grad()
    _, cache = model.loss(batch)
    model.backward(cache)
    return flatten_parameters(model.parameters()).grad.copy()


def test_ragged_parts_make_up_the_large_batch():
    rng = np.random.default_rng(0)
    model = GPT(GPTConfig(7, context=6, layers=1, heads=2, width=8), dtype=np.float64)
    inputs, targets = rng.integers(7, size=(2, 5, 6))
    targets[:, 4:] = -100
    targets[0] = -100
    parts = [slice(0, 1), slice(1, 2), slice(2, 5)]
    gradients = [flat_gradient(model, Batch(inputs[part], targets[part])) for part in parts]
    counts = [int((targets[part] != -100).sum()) for part in parts]
    assert len(set(counts)) == 3
    whole = flat_gradient(model, Batch(inputs, targets))
    np.testing.assert_allclose(average_gradients(gradients, counts), whole, atol=1e-14)
    assert np.abs(np.mean(gradients, axis=0) - whole).max() > 1e-3


@pytest.mark.parametrize(
    ("gradients", "counts", "error", "message"),
    [
        ([], [], ValueError, "got 0 gradients and 0 counts"),
        ([np.ones(2)], [1, 2], ValueError, "got 1 gradients and 2 counts"),
        (
            [np.ones(2), np.ones(3)],
            [1, 1],
            ValueError,
            "gradients[1] has shape (3,), expected (2,)",
        ),
        ([np.ones(2)], [-1], ValueError, "counts is [-1], expected 0 or more"),
        ([np.ones(2), np.ones(2, "f4")], [1, 1], TypeError, "gradients[1] is float32"),
    ],
)
def test_bad_arguments_are_named(gradients, counts, error, message):
    with pytest.raises(error) as caught:
        average_gradients(gradients, counts)
    assert message in str(caught.value)
