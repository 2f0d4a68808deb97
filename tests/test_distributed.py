"""Ranks that share a batch take the step that one would take alone."""

import numpy as np
import pytest

from minitransformer.distributed import (
    LocalComm,
    OtherRankError,
    Replicated,
    Sharded,
    any_rank,
    first_rank,
    require_agreement,
    world,
)
from minitransformer.errors import InputError
from minitransformer.evaluation import mean_loss
from minitransformer.optim import SGD, AdamW
from minitransformer.testing import MODELS
from minitransformer.training import train
from tests.thread_ranks import on_ranks

pytestmark = pytest.mark.systems

STEPS = 20
EPS = 1e-6
"""The gradient of a key's bias is 0 but for rounding, which AdamW divides by eps."""
STRATEGIES = [Replicated, Sharded]


class WithoutDropout:
    """A model whose loss does not depend on how the batch is shared out."""

    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)

    def loss(self, batch, rng=None):
        return self.model.loss(batch)


def scattered(name):
    """A tiny model far from its initial parameters, and a ragged batch for it."""
    model, batch = MODELS[name]()
    rng = np.random.default_rng(5)
    for parameter in model.parameters():
        parameter.data[...] = 0.5 * rng.standard_normal(parameter.shape)
    return WithoutDropout(model), batch


def adamw(parameters):
    return AdamW(parameters, lr=1e-3, eps=EPS)


def trained(name, comm=None, strategy=Replicated, optimizer_type=adamw, clip=1.0):
    """Parameters after some steps, what the optimizer remembers, and the steps."""
    model, batch = scattered(name)
    optimizer = optimizer_type(model.parameters())
    ranks = strategy(comm or LocalComm(), optimizer.size)
    optimizer.own(ranks.owned)
    steps = list(
        train(model, optimizer, lambda i: batch, lambda i: 1e-3, STEPS, clip=clip, ranks=ranks)
    )
    return model.parameters()[0].flat.data.copy(), ranks.gather(optimizer.state_dict()), steps


@pytest.mark.parametrize(
    ("name", "size", "strategy"),
    [
        *(("GPT", size, strategy) for size in (2, 3, 4) for strategy in STRATEGIES),
        *(("BertForMaskedLM", size, Sharded) for size in (2, 3, 4)),
        *(("EncoderDecoder", size, Replicated) for size in (2, 3, 4)),
    ],
)
def test_ranks_that_share_a_batch_are_one_rank(name, size, strategy):
    alone, memory, steps = trained(name)
    for data, state, told in on_ranks(size, lambda comm: trained(name, comm, strategy)):
        np.testing.assert_allclose(data, alone, rtol=0, atol=1e-12)
        for key in ("m", "v", "t"):
            np.testing.assert_allclose(state[key], memory[key], rtol=1e-9, atol=1e-15)
        for step, expected in zip(told, steps, strict=True):
            assert step.loss == pytest.approx(expected.loss, rel=1e-12)
            assert step.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-10)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_momentum_and_a_gradient_that_is_not_clipped(strategy):
    options = {"optimizer_type": lambda p: SGD(p, 1e-3, momentum=0.9), "clip": np.inf}
    alone, memory, _ = trained("GPT", **options)
    for data, state, _ in on_ranks(3, lambda comm: trained("GPT", comm, strategy, **options)):
        np.testing.assert_allclose(data, alone, rtol=0, atol=1e-12)
        np.testing.assert_allclose(state["velocity"], memory["velocity"], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_ranks_give_the_same_bits(strategy):
    (first, *_), (second, *_) = (
        on_ranks(3, lambda comm: trained("GPT", comm, strategy)) for _ in range(2)
    )
    np.testing.assert_array_equal(first[0], second[0])


def test_a_sharded_optimizer_remembers_its_part_only():
    def buffers(comm):
        model, _ = scattered("GPT")
        optimizer = adamw(model.parameters())
        ranks = Sharded(comm, optimizer.size)
        optimizer.own(ranks.owned)
        return optimizer.size, optimizer.buffers["m"].size

    sizes = on_ranks(3, buffers)
    assert sum(own for _, own in sizes) == sizes[0][0]
    assert max(own for _, own in sizes) <= sizes[0][0] // 3 + 1


@pytest.mark.parametrize("size", [2, 3])
def test_a_checkpoint_goes_on_with_any_number_of_ranks(size):
    data, memory, _ = trained("GPT")

    def resumed(comm):
        model, batch = scattered("GPT")
        optimizer = adamw(model.parameters())
        ranks = Sharded(comm, optimizer.size)
        optimizer.own(ranks.owned)
        optimizer.load_state_dict(memory)
        flat = model.parameters()[0].flat
        flat.data[...] = data
        options = {"start": STEPS, "clip": 1.0, "ranks": ranks}
        list(train(model, optimizer, lambda i: batch, lambda i: 1e-3, STEPS + 5, **options))
        return flat.data.copy()

    (alone,) = on_ranks(1, resumed)
    for values in on_ranks(size, resumed):
        np.testing.assert_allclose(values, alone, rtol=0, atol=1e-12)


def test_ranks_that_forget_to_sum_are_found(monkeypatch):  # or the tests above prove nothing
    monkeypatch.setattr(Replicated, "reduce", lambda self, flat: None)
    alone, *_ = trained("GPT")
    (data, *_), _ = on_ranks(2, lambda comm: trained("GPT", comm))
    assert np.abs(data - alone).max() > 1e-5


def test_the_validation_loss_is_the_mean_over_all_ranks():
    model, batch = scattered("EncoderDecoder")
    batches = [batch, batch._replace(targets=np.full_like(batch.targets, 3)), batch]
    alone = mean_loss(model, batches)
    for loss in on_ranks(2, lambda comm: mean_loss(model, batches[comm.rank :: 2], comm)):
        assert loss == pytest.approx(alone, rel=1e-14)


# ---- agreement ----


def test_ranks_that_differ_do_not_begin():
    def meet(comm):
        with pytest.raises(InputError) as caught:
            require_agreement(comm, {"steps": 5, "width": 64 if comm.rank else 32})
        return str(caught.value)

    messages = on_ranks(3, meet)
    assert set(messages) == {
        "the ranks do not agree on width: rank 0 has 32; rank 1 has 64; rank 2 has 64. "
        "Start all of them alike"
    }


def test_ranks_that_agree_go_on():
    on_ranks(3, lambda comm: require_agreement(comm, {"steps": 5}))


def test_only_one_rank_does_what_one_must_do():
    done = []

    def work():
        done.append(1)
        return ["what", "it", "found"]

    assert on_ranks(3, lambda comm: first_rank(comm, work)) == [["what", "it", "found"]] * 3
    assert len(done) == 1


def test_all_hear_that_the_first_rank_failed():
    def fail():
        raise InputError("no space left")

    def meet(comm):
        with pytest.raises(InputError, match="no space left") as caught:
            first_rank(comm, fail)
        return type(caught.value)

    assert on_ranks(3, meet) == [InputError, OtherRankError, OtherRankError]


def test_one_rank_that_is_interrupted_interrupts_all():
    assert on_ranks(3, lambda comm: any_rank(comm, comm.rank == 1)) == [True] * 3
    assert on_ranks(3, lambda comm: any_rank(comm, False)) == [False] * 3


# ---- without MPI ----


def test_without_mpiexec_there_is_one_rank(monkeypatch):
    for name in ("PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(world(), LocalComm)
    with pytest.raises(SystemExit) as caught:
        world().abort(3)
    assert caught.value.code == 3


def test_mpiexec_without_mpi4py_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(__import__("sys").modules, "mpi4py", None)
    with pytest.raises(InputError, match=r'mpi4py cannot be imported.*"minitransformer\[mpi\]"'):
        world()
