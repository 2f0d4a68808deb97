"""Every kind of model on the device, and the commands that use one."""

import io
import json

import numpy as np
import pytest

from minitransformer import cli, placement
from minitransformer.backend import use_backend
from minitransformer.generation import generate
from minitransformer.testing import MODELS
from tests.cuda_lane import DEVICE, SIMULATED, cuda
from tests.public_checkpoints import save_chat_model, save_sentence_model

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.usefixtures("cuda"),
    pytest.mark.skipif(SIMULATED, reason="takes the simulator minutes"),
]
__all__ = ["cuda"]


PROMPTS = [[2, 3, 4], [5, 1, 2]]


def filled(model):
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data[...] = 0.4 * rng.standard_normal(parameter.data.shape)
    return model


def in_single_precision(model):
    return filled(type(model)(model.config))


@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_the_textbooks(name):
    exact, batch = MODELS[name]()
    with use_backend("numpy"):
        filled(exact)
        loss, cache = exact.loss(batch, np.random.default_rng(1))
        exact.backward(cache)
    model = in_single_precision(exact).to("cuda")
    model.zero_grad()
    on_device, cache = model.loss(_single(batch), np.random.default_rng(1))
    model.backward(cache)
    assert float(on_device) == pytest.approx(float(loss), rel=1e-5)
    wanted = {name: p.grad for name, p in exact.named_parameters() if not p.frozen}
    largest = max(np.abs(gradient).max() for gradient in wanted.values())
    for name, parameter in model.named_parameters():
        if not parameter.frozen:
            error = np.abs(placement.to_host(parameter.grad) - wanted[name]).max()
            assert error <= 1e-4 * largest, name


def _single(batch):
    """The sound of a batch as a user would bring it."""
    if hasattr(batch, "features"):
        return batch._replace(features=batch.features.astype(np.float32))
    return batch


@pytest.mark.parametrize("name", ["Llama", "TransformerLM", "EncoderDecoder", "Whisper"])
def test_a_model_writes_what_it_writes_on_the_host(name):
    exact, batch = MODELS[name]()
    model = in_single_precision(exact)
    sources = _single(batch).features[:2] if name == "Whisper" else None
    options = {"max_new_tokens": 4, "do_sample": True, "seed": 3, "eos_id": ()}

    def write():
        return generate(model.given(sources) if name == "Whisper" else model, PROMPTS, **options)

    with use_backend("numpy"):
        expected = write()
    model.to("cuda")
    assert write() == expected


@pytest.fixture
def command(capsys):
    """Run a command on the device; returns what it printed."""

    def run(*arguments, backend=("--device", str(DEVICE))):
        assert cli.main([*map(str, arguments), *backend]) == 0
        return capsys.readouterr().out

    return run


def test_sentences_become_the_same_vectors(command, tmp_path):
    folder = save_sentence_model(tmp_path / "model")
    (tmp_path / "lines.txt").write_text("the cat\na\n\nno, the hat\n", encoding="utf-8")
    options = ("embed", "--model", folder, tmp_path / "lines.txt")
    got, want = (
        [json.loads(line)["vector"] for line in command(*options, **where).splitlines()]
        for where in ({}, {"backend": ("--backend", "numpy")})
    )
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_public_checkpoint_writes_and_answers(command, tmp_path, monkeypatch):
    folder = save_chat_model(tmp_path / "model")
    write = ("generate", "--model", folder, "--prompt", "the", "--max-new-tokens", 3, "--greedy")
    assert command(*write) == command(*write, backend=("--backend", "numpy"))
    pytest.importorskip("jinja2", reason="chat templates are written for it")
    answers = []
    for where in ({}, {"backend": ("--backend", "numpy")}):
        monkeypatch.setattr("sys.stdin", io.StringIO("hello\n"))
        answers.append(command("chat", "--model", folder, "--max-new-tokens", 3, **where))
    assert answers[0] == answers[1]


def test_runs_are_measured_and_compared(command, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question. " * 40, encoding="utf-8")
    small = ["--layers", 1, "--heads", 2, "--width", 8, "--context", 8, "--batch", 2, "--steps", 1]
    run = tmp_path / "run"
    command("train", "--data", text, *small, "--out", run, backend=("--backend", "numpy"))
    losses = []
    for where in ({}, {"backend": ("--backend", "numpy")}):
        command("eval", run, "--limit", 2, "--out", tmp_path / "measured.json", **where)
        measured = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
        losses.append(measured["measures"]["loss"]["value"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    compared = command("compare", run, "--limit", 1, "--out", tmp_path / "curves.png")
    assert "run" in compared
