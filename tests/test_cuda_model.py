"""A model that lives on the device: it trains there, and only what was asked for comes home."""

import dataclasses

import numpy as np
import pytest

from minitransformer import cli, placement
from minitransformer.backend import use_backend
from minitransformer.checkpoints import load_checkpoint, save_checkpoint
from minitransformer.configuration import load_config
from minitransformer.data import Batch
from minitransformer.generation import generate
from minitransformer.models.gpt import GPT, GPTConfig
from minitransformer.nn import flatten_parameters
from minitransformer.optim import SGD, AdamW, clip_grad_norm
from minitransformer.records import read_records
from minitransformer.training import train
from tests.cuda_lane import DEVICE, SIMULATED, cuda

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("cuda")]
__all__ = ["cuda"]

CONFIG = GPTConfig(vocab_size=11, context=8, layers=2, heads=2, width=16, dropout=0.1)
if SIMULATED:
    CONFIG = dataclasses.replace(CONFIG, vocab_size=5, context=2, layers=1, width=4)
B, T = (1, 2) if SIMULATED else (3, 8)

too_slow = pytest.mark.skipif(SIMULATED, reason="takes the simulator minutes")


def batch(index):
    tokens = np.random.default_rng(index).integers(0, CONFIG.vocab_size // 2, (B, T + 1))
    return Batch(tokens[:, :-1], tokens[:, 1:])


def counters():
    from minitransformer.backends.cuda.arrays import pool

    return dataclasses.replace(pool().counters)


def since(before):
    """What was counted since then."""
    now = dataclasses.asdict(counters())
    return {name: now[name] - count for name, count in dataclasses.asdict(before).items()}


def one_step(backend, dtype, place):
    """Loss, gradient and updated parameters of a GPT, all on the host."""
    with use_backend(backend):
        model = GPT(CONFIG, 0, dtype).to(place)
        flat = flatten_parameters(model.parameters())
        values = 0.3 * np.random.default_rng(1).standard_normal(flat.data.size)
        placement.overwrite(flat.data, values.astype(dtype))
        optimizer = AdamW(model.parameters(), 0.01, weight_decay=0.1)
        model.zero_grad()
        loss, cache = model.loss(batch(0), np.random.default_rng(2))
        model.backward(cache)
        gradient = placement.host_copy(flat.grad)
        norm = clip_grad_norm([flat.grad], 0.5)
        optimizer.step()
        return float(loss), gradient, norm, placement.host_copy(flat.data)


def test_a_step_is_the_textbooks():
    loss, gradient, norm, parameters = one_step("cuda", np.float32, "cuda")
    exact = one_step("numpy", np.float64, "cpu")
    assert loss == pytest.approx(exact[0], rel=1e-4)
    assert np.abs(gradient - exact[1]).max() <= 1e-4 * np.abs(exact[1]).max()
    assert norm == pytest.approx(exact[2], rel=1e-4)
    # where a gradient is lost in rounding, Adam's step of 0.01 may have any sign
    sure = np.abs(exact[1]) > 1e-5 * np.abs(exact[1]).max()
    assert sure.mean() > 0.5
    assert np.abs(parameters - exact[3])[sure].max() <= 1e-4


def curve(backend, steps, place):
    with use_backend(backend):
        model = GPT(CONFIG, 0).to(place)
        run = train(
            model, AdamW(model.parameters(), 0.0), batch, lambda step: 0.01, steps, clip=1.0
        )
        return [step.loss for step in run]


@too_slow
def test_training_goes_as_on_the_host():
    device, host = curve("cuda", 12, "cuda"), curve("numpy", 12, "cpu")
    np.testing.assert_allclose(device, host, rtol=1e-4)
    assert min(device[-3:]) < device[0] - 0.2


def test_a_step_brings_home_two_numbers_and_reserves_no_memory():
    model = GPT(CONFIG, 0).to("cuda")
    steps = train(
        model, AdamW(model.parameters(), 0.0), batch, lambda step: 0.01, 4, clip=1.0, accumulate=1
    )
    next(steps)
    before = counters()
    next(steps)
    counted = since(before)
    assert counted["allocations"] == 0
    assert counted["downloads"] == 2  # the loss and the gradient's norm
    assert counted["downloaded_bytes"] == 4 + 8
    hosts = B * T * 8 * 2 + T * 8  # ids, targets, positions
    dropped = B * T * CONFIG.width * (1 + 2 * CONFIG.layers)
    attention = B * CONFIG.heads * T * T * CONFIG.layers
    assert counted["uploaded_bytes"] <= hosts + dropped + attention


def test_a_model_moves_in_one_copy_of_each_buffer_and_back():
    model = GPT(CONFIG, 0)
    expected = model.state_dict()
    model.parameters()[0].grad[...] = 3.0
    before = counters()
    assert model.to("cuda") is model
    counted = since(before)
    assert (counted["uploads"], counted["downloads"]) == (2, 0)
    model.to("cuda")
    assert since(before)["uploads"] == 2  # it is there already
    flat = flatten_parameters(model.parameters())
    assert not any(placement.is_on_host(p.data) for p in model.parameters())
    assert {p.data.block for p in model.parameters()} == {flat.data.block}
    assert {p.grad.block for p in model.parameters()} == {flat.grad.block}
    np.testing.assert_array_equal(model.parameters()[0].grad.to_host(), 3.0)
    for name, values in model.to("cpu").state_dict().items():
        np.testing.assert_array_equal(values, expected[name])
    assert all(isinstance(p.grad, np.ndarray) for p in model.parameters())


def test_values_are_loaded_into_a_model_on_the_device():
    model, other = GPT(CONFIG, 0).to("cuda"), GPT(CONFIG, 1)
    model.load_state_dict(other.state_dict())
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, other.state_dict()[name])


def test_frozen_parameters_move_too():
    model = GPT(CONFIG, 0)
    for parameter in model.parameters()[1:]:
        parameter.freeze()
    model.to("cuda")
    assert not any(placement.is_on_host(p.data) for p in model.parameters())
    model.parameters()[0].freeze()
    assert not placement.is_on_host(model.parameters()[0].data)
    assert model.to("cpu").trainable_count() == 0


def test_double_precision_stays_on_the_host():
    with pytest.raises(TypeError, match="float64, but the device computes in float32"):
        GPT(CONFIG, 0, np.float64).to("cuda")


def test_there_are_two_places():
    with pytest.raises(ValueError, match="place is 'mars', expected one of cpu, cuda"):
        GPT(CONFIG, 0).to("mars")


def test_arrays_of_the_device_are_opaque():
    weight = GPT(CONFIG, 0).to("cuda").parameters()[0].data
    for peek in (lambda x: x + x, lambda x: x == x, bool, len, lambda x: x[0], float, np.asarray):
        with pytest.raises(TypeError):
            peek(weight)
    with pytest.raises(TypeError, match=r"outside of a kernel.*set_backend\(.cuda.\)"):
        np.maximum(weight, 0.0)  # as the textbook would


def test_what_an_optimizer_remembers_follows_the_model():
    model = GPT(CONFIG, 0)
    optimizer = AdamW(model.parameters(), 0.01)
    model.to("cuda")
    optimizer.step()
    assert not placement.is_on_host(optimizer.buffers["m"])
    SGD(model.parameters(), 0.01, momentum=0.9).step()


@too_slow
def test_a_checkpoint_holds_what_is_on_the_device(tmp_path):
    model = GPT(CONFIG, 0).to("cuda")
    optimizer = AdamW(model.parameters(), 0.01)
    for _ in train(model, optimizer, batch, lambda step: 0.01, 1):
        pass
    save_checkpoint(tmp_path / "checkpoint", 1, model, optimizer)
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    other = GPT(CONFIG, 5).to("cuda")
    other.load_state_dict(checkpoint.parameters)
    again = AdamW(other.parameters(), 0.01)
    again.load_state_dict(checkpoint.optimizer)
    for one, two in ((model, other), (optimizer, again)):
        for name, values in one.state_dict().items():
            np.testing.assert_array_equal(values, two.state_dict()[name])


@too_slow
def test_text_is_generated_with_keys_and_values_on_the_device():
    model = GPT(CONFIG, 3)
    flat = flatten_parameters(model.parameters())
    flat.data[:] = 0.5 * np.random.default_rng(4).standard_normal(flat.data.size)
    prompts = [[1, 2, 3], [4]]
    with use_backend("numpy"):
        expected = generate(model, prompts, max_new_tokens=8)
    model.to("cuda")
    assert generate(model, prompts, max_new_tokens=8) == expected
    kv = model.new_kv(1)
    model.next_logits(np.array([[1, 2, 3]]), kv)
    before = counters()
    model.next_logits(np.array([[4]]), kv)
    assert since(before)["downloads"] == 0
    assert not placement.is_on_host(kv.layers[0].keys)


SMALL = ["--layers", "1", "--heads", "2", "--width", "8", "--context", "8", "--batch", "2"]


@too_slow
def test_the_command_line_trains_and_writes_on_the_device(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question. " * 40, encoding="utf-8")
    run = ["--data", str(text), *SMALL, "--steps", "3", "--evaluate-batches", "1"]
    losses = {}
    for backend in (["numpy"], ["cuda", "--device", str(DEVICE)]):
        folder = tmp_path / backend[0]
        assert cli.main(["train", "--backend", *backend, *run, "--out", str(folder)]) == 0
        losses[backend[0]] = [r["loss"] for r in read_records(folder / "metrics.jsonl")[:3]]
    np.testing.assert_allclose(losses["cuda"], losses["numpy"], rtol=1e-4)
    assert load_config(tmp_path / "cuda" / "config.toml").backend == "cuda"
    write = ["--prompt", "to", "--max-new-tokens", "3", "--greedy", "--device", str(DEVICE)]
    capsys.readouterr()
    assert cli.main(["generate", str(tmp_path / "cuda"), *write]) == 0
    assert capsys.readouterr().out.startswith("to")
