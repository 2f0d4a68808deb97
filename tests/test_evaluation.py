import math

import numpy as np
import pytest

from minitransformer.data import Batch
from minitransformer.evaluation import Surprise, mean_loss, perplexity, surprise
from minitransformer.models import GPT, GPTConfig


class Oracle:
    """Its loss is the first input; it keeps what it was asked with."""

    def __init__(self):
        self.rngs = []

    def loss(self, batch, rng=None):
        self.rngs.append(rng)
        return np.float32(batch.inputs[0, 0]), None


def batch_of(loss, rows, columns=2):
    ids = np.full((rows, columns), loss)
    return Batch(ids, ids)


def test_each_batch_weighs_by_its_targets():
    assert mean_loss(Oracle(), [batch_of(1, rows=3), batch_of(5, rows=1)]) == 2.0
    assert mean_loss(Oracle(), iter([batch_of(1, 1, columns=4), batch_of(6, 1, columns=1)])) == 2.0


def test_the_mean_over_batches_is_the_mean_over_one_big_batch():
    rng = np.random.default_rng(0)
    ids = rng.integers(5, size=(7, 4))
    model = GPT(GPTConfig(5, context=4, layers=1, heads=1, width=4, dropout=0.5))
    parts = [Batch(ids[rows], ids[rows, ::-1]) for rows in (slice(0, 4), slice(4, 7))]
    whole = Batch(ids, ids[:, ::-1])
    assert mean_loss(model, parts) == pytest.approx(float(model.loss(whole)[0]), rel=1e-6)


def test_there_is_no_dropout():
    oracle = Oracle()
    mean_loss(oracle, [batch_of(1, 1)])
    assert oracle.rngs == [None]


def test_no_batch_is_an_error():
    unasked = batch_of(1, 1)._replace(targets=np.full((1, 2), -100))
    for batches in ([], [unasked]):
        with pytest.raises(ValueError, match="there is no batch, or nothing asked in any"):
            mean_loss(Oracle(), batches)


def test_a_broken_model_is_nan_without_warnings():  # which pytest turns into errors
    model = GPT(GPTConfig(5, context=4, layers=1, heads=1, width=4))
    for parameter in model.parameters():
        parameter.data[...] = 1e38
    assert math.isnan(mean_loss(model, [batch_of(1, 1)]))


def test_surprise_in_all_units():
    known = surprise(math.log(8.0), tokens=10, characters=40)
    assert known == Surprise(math.log(8.0), math.log(8.0) / 4)
    assert known.bits_per_token == pytest.approx(3.0)
    assert known.bits_per_character == pytest.approx(0.75)
    assert known.perplexity == pytest.approx(8.0)


def test_a_character_tokenizer_has_one_surprise():
    known = surprise(1.5, tokens=7, characters=7)
    assert known.nats_per_token == known.nats_per_character == 1.5


def test_perplexity_is_that_of_all_tokens_together():
    assert perplexity([math.log(8.0)], [3]) == pytest.approx(8.0)
    assert perplexity([0.0, math.log(16.0)], [3, 1]) == pytest.approx(2.0)
    assert perplexity([2000.0], [1]) == Surprise(2000.0, 1.0).perplexity == math.inf
    assert math.isnan(perplexity([math.nan, 1.0], [1, 1]))


@pytest.mark.parametrize(("losses", "counts"), [([], []), ([1.0], [0]), ([1.0], [1, 2])])
def test_perplexity_of_nothing_is_an_error(losses, counts):
    with pytest.raises(ValueError, match="perplexity: got"):
        perplexity(losses, counts)
