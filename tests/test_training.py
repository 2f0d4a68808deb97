import math
import time

import numpy as np
import pytest

from minitransformer.data import Batch, sample_batch
from minitransformer.errors import NonFiniteError
from minitransformer.models import GPT, GPTConfig
from minitransformer.nn import Module, Parameter
from minitransformer.optim import SGD, AdamW
from minitransformer.training import train

TOKENS = np.random.default_rng(0).integers(7, size=200)
BATCH = Batch(np.zeros((2, 3), dtype=np.int64), np.zeros((2, 3), dtype=np.int64))


class Bowl(Module):
    """Half the squared length of its only parameter, which is also its gradient."""

    def __init__(self, *start):
        self.place = Parameter(np.array(start))
        self.rngs = []

    def loss(self, batch, rng=None):
        self.rngs.append(rng)
        return (self.place.data**2).sum() / 2, None

    def backward(self, cache, dloss=1.0):
        self.place.grad += dloss * self.place.data


def descend(model, steps, schedule=lambda i: 0.1, batches=lambda i: BATCH, **options):
    return train(model, SGD(model.parameters(), lr=123.0), batches, schedule, steps, **options)


def tiny_gpt(seed=0):
    return GPT(GPTConfig(7, context=5, layers=2, heads=2, width=8, dropout=0.3), seed=seed)


def test_a_step_tells_what_happened(monkeypatch):
    ticks = iter([10.0, 10.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    (step,) = descend(Bowl(3.0, 4.0), 1, schedule=lambda i: 0.25)
    assert step.index == 1
    assert step.loss == 12.5  # before the update
    assert step.gradient_norm == 5.0
    assert step.learning_rate == 0.25
    assert step.tokens_per_second == BATCH.inputs.size / 0.5


def test_each_step_uses_its_own_batch_and_learning_rate():
    model = Bowl(1.0)
    asked = []
    steps = list(descend(model, 3, lambda i: i / 10, lambda i: asked.append(i) or BATCH))
    assert asked == [0, 1, 2]
    assert [step.index for step in steps] == [1, 2, 3]
    assert [step.learning_rate for step in steps] == [0.1, 0.2, 0.3]
    assert model.place.data[0] == pytest.approx(0.9 * 0.8 * 0.7)


def test_a_later_start_counts_on():
    asked = []
    steps = list(
        descend(Bowl(1.0), 5, lambda i: i / 10, lambda i: asked.append(i) or BATCH, start=3)
    )
    assert asked == [3, 4]
    assert [(step.index, step.learning_rate) for step in steps] == [(4, 0.4), (5, 0.5)]


def test_nothing_is_left_to_do_at_the_end():
    assert list(descend(Bowl(1.0), 5, start=5)) == []


def test_no_step_is_taken_before_it_is_asked_for():
    model = Bowl(1.0)
    steps = descend(model, 2)
    assert model.place.data[0] == 1.0
    next(steps)
    assert model.place.data[0] == pytest.approx(0.9)


def test_a_long_gradient_is_clipped_but_reported_whole():
    model = Bowl(3.0, 4.0)
    (step,) = descend(model, 1, clip=1.0)
    assert step.gradient_norm == 5.0
    np.testing.assert_allclose(model.place.data, [3.0 - 0.06, 4.0 - 0.08], rtol=1e-6)


def test_a_short_gradient_is_left_alone():
    model = Bowl(3.0, 4.0)
    list(descend(model, 1, clip=5.0))
    np.testing.assert_allclose(model.place.data, [2.7, 3.6])


def test_gradients_of_earlier_steps_are_forgotten():
    model = Bowl(1.0)
    model.place.grad += 100.0
    (first, second) = descend(model, 2)
    assert (first.gradient_norm, second.gradient_norm) == pytest.approx((1.0, 0.9))


def dropout_numbers(steps, start=0, seed=0):
    model = Bowl(1.0)
    list(descend(model, steps, start=start, seed=seed))
    return [rng.random() for rng in model.rngs]


def test_dropout_depends_on_seed_and_step_alone():
    numbers = dropout_numbers(4)
    assert len(set(numbers)) == 4
    assert dropout_numbers(4, start=2) == numbers[2:]
    assert not set(dropout_numbers(4, seed=1)) & set(numbers)


def test_dropout_and_batches_draw_from_different_streams():
    drawn = sample_batch(np.arange(1000), 1, 1, seed=5, step=0).inputs
    model = Bowl(1.0)
    list(descend(model, 1, seed=5))
    assert model.rngs[0].integers(999) != drawn[0, 0]


def run_steps(model, optimizer, start, stop):
    return [
        step.loss
        for step in train(
            model,
            optimizer,
            lambda i: sample_batch(TOKENS, 2, 5, 0, i),
            lambda i: 0.01 * i,
            stop,
            start=start,
            clip=0.5,
            seed=3,
        )
    ]


@pytest.mark.parametrize("middle", [1, 4, 6])
def test_going_on_gives_the_bits_of_never_stopping(middle):
    whole = tiny_gpt()
    optimizer = AdamW(whole.parameters(), 0.0)
    losses = run_steps(whole, optimizer, 0, 7)

    first = tiny_gpt()
    first_optimizer = AdamW(first.parameters(), 0.0)
    beginning = run_steps(first, first_optimizer, 0, middle)
    second = tiny_gpt(seed=99)
    second_optimizer = AdamW(second.parameters(), 0.0)
    second.load_state_dict(first.state_dict())
    second_optimizer.load_state_dict(first_optimizer.state_dict())
    end = run_steps(second, second_optimizer, middle, 7)

    assert beginning + end == losses
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], array)
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(second_optimizer.state_dict()[name], array)


def break_down(model, poison):
    """Poison the model after two steps; the third must change nothing. Return its error."""
    optimizer = AdamW(model.parameters(), 0.0)
    steps = train(model, optimizer, lambda i: sample_batch(TOKENS, 2, 5, 0, i), lambda i: 1e-3, 7)
    next(steps)
    next(steps)
    poison(model)
    before = {**model.state_dict(), **optimizer.state_dict()}
    with pytest.raises(NonFiniteError) as caught:
        list(steps)
    after = {**model.state_dict(), **optimizer.state_dict()}
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
    return str(caught.value)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_step_and_the_first_parameter_are_named(bad):
    name = list(dict(tiny_gpt().named_parameters()))[5]

    def poison(model):
        dict(model.named_parameters())[name].data.flat[:2] = bad

    size = dict(tiny_gpt().named_parameters())[name].size
    message = break_down(tiny_gpt(), poison)
    assert message.startswith("step 3: the loss is ")
    assert f"first parameter hit: {name}, 2 of {size} values." in message
    assert "smaller learning rate" in message


def test_a_broken_gradient_is_found_though_the_loss_is_fine():
    class Cliff(Bowl):
        def backward(self, cache, dloss=1.0):
            self.place.grad[1] += math.inf

    model = Cliff(1.0, 2.0)
    with pytest.raises(NonFiniteError, match=r"loss is 2.5 .*hit: place, 1 of 2 gradients"):
        list(descend(model, 1, clip=1.0))
    assert list(model.place.data) == [1.0, 2.0]


def test_a_broken_loss_is_found_though_all_else_is_fine():
    class Fog(Bowl):
        def loss(self, batch, rng=None):
            return np.float64(math.nan), None

    with pytest.raises(NonFiniteError, match="all parameters and their gradients are finite"):
        list(descend(Fog(1.0), 1))


def test_overflow_ends_in_one_error_without_warnings():  # which pytest turns into errors
    model = tiny_gpt()
    optimizer = AdamW(model.parameters(), 0.0)
    steps = train(model, optimizer, lambda i: sample_batch(TOKENS, 2, 5, 0, i), lambda i: 1e38, 7)
    with pytest.raises(NonFiniteError, match="^step 2: the loss is nan"):
        list(steps)


def test_the_caller_keeps_its_own_floating_point_errors():
    with np.errstate(all="raise"):
        for _ in descend(Bowl(1.0), 2):
            assert set(np.geterr().values()) == {"raise"}


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(parts):
    rng = np.random.default_rng(0)
    targets = rng.integers(7, size=(5, 5))
    targets[0, :4] = targets[3] = -100  # so that parts weigh unequally, and one may not at all
    batch = Batch(rng.integers(7, size=(5, 5)), targets)

    def after(accumulate):
        config = GPTConfig(7, context=5, layers=2, heads=2, width=8)
        model = GPT(config, dtype=np.float64)
        optimizer = SGD(model.parameters(), lr=0.0)
        steps = train(model, optimizer, lambda i: batch, lambda i: 0.1, 3, accumulate=accumulate)
        return [step.loss for step in steps], model.parameters()[0].flat

    (whole_losses, whole), (losses, flat) = after(1), after(parts)
    np.testing.assert_allclose(losses, whole_losses, rtol=1e-12)
    np.testing.assert_allclose(flat.grad, whole.grad, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(flat.data, whole.data, rtol=1e-12, atol=1e-12)
