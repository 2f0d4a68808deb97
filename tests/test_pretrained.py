"""Public checkpoints become models here, and models here public checkpoints."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from minitransformer.data import EncoderBatch
from minitransformer.errors import InputError
from minitransformer.models import (
    GPT,
    Bert,
    BertConfig,
    BertForMaskedLM,
    GPTConfig,
    Llama,
    LlamaConfig,
    TransformerLM,
    TransformerLMConfig,
)
from minitransformer.nn import add_lora
from minitransformer.pretrained import embed, from_pretrained, hub, save_pretrained
from minitransformer.pretrained.config_json import Settings
from minitransformer.pretrained.gpt2 import GPT2Family
from minitransformer.pretrained.safetensors_file import read_safetensors
from minitransformer.tokenizers import bert_document, from_document

pytestmark = pytest.mark.systems

SIZES = {"vocab_size": 19, "context": 10, "layers": 2, "heads": 4, "width": 16}
MODELS = {
    "gpt2": lambda: GPT(GPTConfig(**SIZES, hidden=24, dropout=0.1, eos_id=3), seed=1),
    "bert": lambda: Bert(BertConfig(**SIZES, hidden=24, segments=3, pooler=True), seed=1),
    "bert, no pooler": lambda: Bert(BertConfig(**SIZES), seed=1),
    "masked": lambda: BertForMaskedLM(BertConfig(**SIZES), seed=1),
    "llama": lambda: Llama(LlamaConfig(**SIZES, kv_heads=2, hidden=24, eos_id=(3, 5)), seed=1),
    "llama, tied": lambda: Llama(LlamaConfig(**SIZES, rotary_base=5e5, tied=True), seed=1),
}

# As the public gpt2 of the hub has them, one block standing for all twelve.
PUBLIC_GPT2 = {"wte.weight": (50257, 768), "wpe.weight": (1024, 768)}
PUBLIC_GPT2 |= {"ln_f.weight": (768,), "ln_f.bias": (768,)}
PUBLIC_GPT2_BLOCK = {
    "ln_1.weight": (768,),
    "ln_1.bias": (768,),
    "attn.c_attn.weight": (768, 2304),
    "attn.c_attn.bias": (2304,),
    "attn.c_proj.weight": (768, 768),
    "attn.c_proj.bias": (768,),
    "ln_2.weight": (768,),
    "ln_2.bias": (768,),
    "mlp.c_fc.weight": (768, 3072),
    "mlp.c_fc.bias": (3072,),
    "mlp.c_proj.weight": (3072, 768),
    "mlp.c_proj.bias": (768,),
}


def scrambled(name):
    """A model none of whose parameters is as it began: no gain is 1, no shift 0."""
    model = MODELS[name]()
    rng = np.random.default_rng(7)
    for parameter in model.parameters():
        parameter.data[...] = rng.normal(0.1, 0.3, parameter.shape)
    return model


def tensors_of(folder):
    return safetensors.numpy.load_file(folder / "model.safetensors")


def rewrite(folder, tensors=None, **settings):
    """Replace tensors and settings of a checkpoint; None takes a setting away."""
    if tensors is not None:
        safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | settings
    config = {name: value for name, value in config.items() if value is not None}
    path.write_text(json.dumps(config), encoding="utf-8")


def same_parameters(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    assert list(ours) == list(theirs)
    return all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def gpt2(tmp_path):
    save_pretrained(scrambled("gpt2"), tmp_path)
    return tmp_path


@pytest.fixture
def llama(tmp_path):
    save_pretrained(scrambled("llama"), tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", MODELS)
def test_what_was_saved_is_loaded(name, tmp_path):
    model = scrambled(name)
    save_pretrained(model, tmp_path / "new" / "folder")
    loaded, tokenizer = from_pretrained(tmp_path / "new" / "folder")
    assert tokenizer is None
    assert type(loaded) is type(model)
    expected, config = model.config, loaded.config
    for field in ("hidden", "kv_heads"):  # written out
        if getattr(expected, field, 1) is None:
            config = dataclasses.replace(config, **{field: None})
    assert config == expected
    assert same_parameters(model, loaded)
    assert {p.dtype for p in loaded.parameters()} == {np.dtype(np.float32)}


def test_names_and_shapes_are_those_of_the_public_gpt2():
    family = GPT2Family()
    config = family.read_config(Settings({"model_type": "gpt2"}, "config.json"), ())
    assert config == GPTConfig(50257, 1024, 12, 12, 768, 0.1, 3072)
    sizes = family.sizes(config)
    found = {k: v for row in family.rows(config) for k, v in row.shapes(sizes).items()}
    blocks = {f"h.{i}.{k}": v for i in range(12) for k, v in PUBLIC_GPT2_BLOCK.items()}
    assert found == PUBLIC_GPT2 | blocks
    assert len(found) == 148
    assert sum(int(np.prod(shape)) for shape in found.values()) == 124_439_808


def norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    x /= np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def conv1d(x, w, name):
    return x @ w[f"{name}.weight"] + w[f"{name}.bias"]


def gpt2_logits(w, ids, layers, heads):
    """GPT-2 of one sequence, from its tensors and its paper alone."""
    T = len(ids)
    x = w["wte.weight"][ids] + w["wpe.weight"][:T]
    for i in range(layers):
        qkv = conv1d(norm(x, w, f"h.{i}.ln_1"), w, f"h.{i}.attn.c_attn")
        outs = []
        for q, k, v in zip(
            *(np.split(part, heads, -1) for part in np.split(qkv, 3, -1)), strict=True
        ):
            scores = q @ k.T / np.sqrt(q.shape[1])
            scores[np.triu_indices(T, 1)] = -np.inf
            p = np.exp(scores - scores.max(-1, keepdims=True))
            outs.append(p / p.sum(-1, keepdims=True) @ v)
        x = x + conv1d(np.concatenate(outs, -1), w, f"h.{i}.attn.c_proj")
        h = conv1d(norm(x, w, f"h.{i}.ln_2"), w, f"h.{i}.mlp.c_fc")
        h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
        x = x + conv1d(h, w, f"h.{i}.mlp.c_proj")
    return norm(x, w, "ln_f") @ w["wte.weight"].T


def random_gpt2(folder, V=61, T=16, C=32, layers=3):
    rng = np.random.default_rng(0)
    shapes = {"wte.weight": (V, C), "wpe.weight": (T, C), "ln_f.weight": (C,), "ln_f.bias": (C,)}
    for name, shape in PUBLIC_GPT2_BLOCK.items():
        small = tuple(size // 768 * C for size in shape)
        shapes |= {f"h.{i}.{name}": small for i in range(layers)}
    tensors = {
        name: rng.normal(float("ln" in name), 0.2, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    config = {"model_type": "gpt2", "vocab_size": V, "n_positions": T, "n_embd": C}
    config |= {"n_layer": layers, "n_head": 4, "n_inner": None, "eos_token_id": 50256}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tensors


def test_gpt2_computes_what_its_paper_says(tmp_path):
    tensors = random_gpt2(tmp_path)
    model, _ = from_pretrained(str(tmp_path))
    ids = np.random.default_rng(1).integers(0, 61, (2, 16))
    logits, _ = model(ids)
    double = {name: array.astype(np.float64) for name, array in tensors.items()}
    for row, found in zip(ids, logits, strict=True):
        expected = gpt2_logits(double, row, 3, 4)
        assert np.abs(expected).max() > 3
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert model.config.eos_id is None  # outside of this vocabulary


def test_names_with_prefix_masks_and_a_tied_copy_are_fine(gpt2):
    tensors = {f"transformer.{name}": array for name, array in tensors_of(gpt2).items()}
    tensors["transformer.h.0.attn.bias"] = np.ones((1, 1, 10, 10), bool)
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].copy()
    rewrite(gpt2, tensors)
    assert same_parameters(from_pretrained(gpt2)[0], scrambled("gpt2"))

    tensors["lm_head.weight"][0, 0] += 1
    rewrite(gpt2, tensors)
    with pytest.raises(InputError, match=r"differs: lm_head.weight from wte.weight"):
        from_pretrained(gpt2)

    del tensors["lm_head.weight"]
    tensors["wte.weight"] = tensors["transformer.wte.weight"]
    rewrite(gpt2, tensors)
    with pytest.raises(InputError, match="tensor wte.weight twice"):
        from_pretrained(gpt2)


def test_all_mismatches_are_listed(gpt2):
    tensors = tensors_of(gpt2)
    tensors["wpe.weight"] = tensors["wpe.weight"].T.copy()
    del tensors["h.1.mlp.c_fc.bias"], tensors["ln_f.weight"]
    tensors["h.0.attn.rotary"] = np.zeros(3, np.float32)
    rewrite(gpt2, tensors)
    with pytest.raises(InputError) as caught:
        from_pretrained(gpt2)
    assert str(caught.value).split("\n")[1:] == [
        "  shape: wpe.weight is (16, 10), expected (10, 16)",
        "  missing: ln_f.weight (16,)",
        "  missing: h.1.mlp.c_fc.bias (24,)",
        "  unknown: h.0.attn.rotary (3,)",
    ]


def test_old_names_of_bert_and_its_pretraining_heads(tmp_path):
    model = scrambled("masked")
    save_pretrained(model, tmp_path)
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"): x
        for name, x in tensors_of(tmp_path).items()
    }
    tensors["cls.seq_relationship.weight"] = np.zeros((2, 16), np.float32)
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
    tensors["bert.pooler.dense.weight"] = np.eye(16, dtype=np.float32)
    tensors["bert.pooler.dense.bias"] = np.zeros(16, np.float32)
    tensors["bert.embeddings.position_ids"] = np.arange(10)[None]
    rewrite(tmp_path, tensors)
    loaded, _ = from_pretrained(tmp_path)
    assert loaded.config.pooler
    batch = EncoderBatch(np.arange(6).reshape(2, 3), np.array([3, 2]), None)
    np.testing.assert_array_equal(loaded(batch)[0], model(batch)[0])


def llama_logits(w, ids, layers, heads, kv_heads, base):
    """Llama of one sequence, pairs half a head apart."""
    rms = lambda x, name: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[name]  # noqa: E731
    x, T = w["model.embed_tokens.weight"][ids], len(ids)
    for i in range(layers):
        at = f"model.layers.{i}."
        h = rms(x, at + "input_layernorm.weight")
        q, k, v = (h @ w[f"{at}self_attn.{part}_proj.weight"].T for part in "qkv")
        D = q.shape[1] // heads
        angle = np.arange(T)[:, None] * base ** (-np.arange(0, D, 2) / D)
        cos, sin = np.cos(angle), np.sin(angle)

        def turn(a, cos=cos, sin=sin, D=D):
            first, second = a[:, : D // 2], a[:, D // 2 :]
            return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)

        outs = []
        for head in range(heads):
            own, shared = slice(head * D, head * D + D), head * kv_heads // heads * D
            scores = turn(q[:, own]) @ turn(k[:, shared : shared + D]).T / np.sqrt(D)
            scores[np.triu_indices(T, 1)] = -np.inf
            p = np.exp(scores - scores.max(-1, keepdims=True))
            outs.append(p / p.sum(-1, keepdims=True) @ v[:, shared : shared + D])
        x = x + np.concatenate(outs, -1) @ w[at + "self_attn.o_proj.weight"].T
        h = rms(x, at + "post_attention_layernorm.weight")
        gate, up = (h @ w[f"{at}mlp.{part}_proj.weight"].T for part in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[at + "mlp.down_proj.weight"].T
    return rms(x, "model.norm.weight") @ w["lm_head.weight"].T


def test_llama_computes_what_its_paper_says(llama):
    model, _ = from_pretrained(llama)
    ids = np.random.default_rng(1).integers(0, 19, (2, 10))
    logits, _ = model(ids)
    double = {name: array.astype(np.float64) for name, array in tensors_of(llama).items()}
    for row, found in zip(ids, logits, strict=True):
        expected = llama_logits(double, row, 2, 4, 2, 10_000.0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_settings_of_versions_4_and_5_of_the_library(llama):
    five = {"rope_theta": None, "dtype": "float32"}
    five["rope_parameters"] = {"rope_type": "default", "rope_theta": 123456.0}
    rewrite(llama, **five)
    assert from_pretrained(llama)[0].config.rotary_base == 123456.0
    four = {"rope_theta": 98765, "rope_parameters": None, "torch_dtype": "float32", "dtype": None}
    rewrite(llama, **four)
    assert from_pretrained(llama)[0].config.rotary_base == 98765.0


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_act": "gelu"},
        {"rope_scaling": {"rope_type": "llama3"}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "yarn"}},
        {"rope_scaling": 7},
        {"rope_theta": "big", "rope_parameters": None},
        {"attention_bias": True},
        {"head_dim": 8},
        {"model_type": "mamba"},
        {"num_hidden_layers": True},
        {"num_hidden_layers": -1},
        {"hidden_size": 10**12},
        {"max_position_embeddings": 10**9},
        {"tie_word_embeddings": "yes"},
        {"eos_token_id": "end"},
        {"rms_norm_eps": 10**400},
    ],
)
def test_settings_that_the_model_does_not_have_are_refused(llama, settings):
    rewrite(llama, **settings)
    with pytest.raises(InputError, match=re.escape(next(iter(settings)))):
        from_pretrained(llama)


def test_settings_that_do_not_fit_the_tensors_are_refused(llama):
    rewrite(llama, num_hidden_layers=10**9)
    with pytest.raises(
        InputError, match=r"1000000000 layers, but its files hold only \d\d tensors"
    ):
        from_pretrained(llama)
    rewrite(llama, num_hidden_layers=2, num_attention_heads=3, head_dim=None)
    with pytest.raises(InputError, match="width is 16 and heads 3"):
        from_pretrained(llama)


@pytest.mark.parametrize("name", ["F16", "BF16"])
def test_half_precision_becomes_single(gpt2, name):
    """By hand: safetensors and NumPy have no bfloat16."""
    halves, header, place = [], {}, 0
    for key, array in tensors_of(gpt2).items():
        bits = (array.view(np.uint32) >> 16).astype("<u2")
        half = bits if name == "BF16" else array.astype("<f2")
        ends = [place, place + half.nbytes]
        header[key] = {"dtype": name, "shape": list(array.shape), "data_offsets": ends}
        place = ends[1]
        halves.append(half.tobytes())
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + b"".join(halves)
    (gpt2 / "model.safetensors").write_bytes(content)
    model, _ = from_pretrained(gpt2)
    for key, array in model.state_dict().items():
        expected = scrambled("gpt2").state_dict()[key]
        relative, smallest = (2.0**-11, 1e-7) if name == "F16" else (2.0**-7, 0)
        np.testing.assert_allclose(array, expected, rtol=relative, atol=smallest)


def shard(folder, **changes):
    tensors = tensors_of(folder)
    (folder / "model.safetensors").unlink()
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    weight_map = {name: files[i % 2] for i, name in enumerate(tensors)}
    for file in files:
        part = {name: x for name, x in tensors.items() if weight_map[name] == file}
        safetensors.numpy.save_file(part, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map | changes}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def test_several_files_with_an_index(gpt2):
    shard(gpt2)
    assert same_parameters(from_pretrained(gpt2)[0], scrambled("gpt2"))
    index = gpt2 / "model.safetensors.index.json"
    assert same_parameters(from_pretrained(index)[0], scrambled("gpt2"))
    index.write_text("damaged", encoding="utf-8")
    save_pretrained(scrambled("gpt2"), gpt2)  # in one file, which goes before an index
    assert same_parameters(from_pretrained(gpt2)[0], scrambled("gpt2"))


@pytest.mark.parametrize(
    "file",
    [
        "../model.safetensors",
        "/etc/model.safetensors",
        "a\\b.safetensors",
        "C:x.safetensors",
        "\ud800.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "",
        7,
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(gpt2, file):
    shard(gpt2, **{"wte.weight": file})
    with pytest.raises(InputError, match=r"index\.json (names the file|has no \"weight_map\")"):
        from_pretrained(gpt2)


def test_an_index_that_lies_is_refused(gpt2):
    shard(gpt2, novelty="model-00001-of-00002.safetensors")
    with pytest.raises(InputError, match="missing: novelty in model-00001-of-00002"):
        from_pretrained(gpt2)
    index = gpt2 / "model.safetensors.index.json"
    document = json.loads(index.read_text(encoding="utf-8"))
    del document["weight_map"]["novelty"], document["weight_map"]["wte.weight"]
    index.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match="unknown: wte.weight in model-0000"):
        from_pretrained(gpt2)
    (gpt2 / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match=r"cannot read .*model-00002-of-00002"):
        from_pretrained(gpt2)


def test_pickles_are_refused_and_never_opened(gpt2):
    for path in (gpt2 / "pytorch_model.bin", Path("nowhere.pt")):
        with pytest.raises(InputError, match=r"pickle.*\n.*torch\.load.*weights_only=True"):
            from_pretrained(path)
    (gpt2 / "model.safetensors").unlink()
    with pytest.raises(InputError, match="has no weights"):
        from_pretrained(gpt2)
    (gpt2 / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(InputError, match="is a pickle"):
        from_pretrained(gpt2)


def test_what_is_not_there_is_named(tmp_path):
    for where in (tmp_path / "nothing", "./nothing", "nothing.gguf", "a/b/c", "../up"):
        with pytest.raises(InputError, match="does not exist; expected a folder"):
            from_pretrained(where)
    (tmp_path / "model.safetensors").write_bytes(safetensors.numpy.save({}))
    with pytest.raises(InputError, match=r"cannot read .*config\.json"):
        from_pretrained(tmp_path)
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"several models; name one of a\.gguf, b\.gguf"):
        from_pretrained(tmp_path)


def test_models_without_a_public_layout_are_refused(tmp_path):
    with pytest.raises(InputError, match="model is a TransformerLM, expected one of GPT"):
        save_pretrained(TransformerLM(TransformerLMConfig(**SIZES)), tmp_path)
    interleaved = Llama(LlamaConfig(**SIZES, interleaved=True))
    with pytest.raises(InputError, match="interleaved is True"):
        save_pretrained(interleaved, tmp_path)
    model = scrambled("gpt2")
    add_lora(model, "*.projection", rank=2, alpha=4.0, seed=0)
    with pytest.raises(InputError, match=r"no place for .*merge_lora"):
        save_pretrained(model, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        save_pretrained(scrambled("gpt2"), tmp_path / "file")
    assert not (tmp_path / "model.safetensors").exists()


def test_a_tokenizer_comes_with_its_model_and_texts_become_vectors(tmp_path):
    model = scrambled("bert")
    save_pretrained(model, tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    loaded, tokenizer = from_pretrained(tmp_path)
    assert tokenizer.encode("The cat") == [2, 4, 5, 3]
    texts = ["the cat sat", "sat", "the the cat cat"]
    together = embed(loaded, tokenizer, texts, batch_size=2)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(embed(loaded, tokenizer, [text])[0], vector, atol=1e-6)
    x, _ = model.hidden(EncoderBatch(np.array([[2, 6, 3]]), np.array([3]), None))
    mean = x[0].mean(0)
    np.testing.assert_allclose(together[1], mean / np.linalg.norm(mean), atol=1e-6)
    assert from_document(bert_document("\n".join(words), {})).vocab == tokenizer.vocab


class FakeHub:
    """Stands for the huggingface_hub library."""

    def __init__(self, folder):
        self.folder = folder
        self.asked = []

    def snapshot_download(self, name, allow_patterns):
        self.asked.append(name)
        assert not any(pattern.endswith((".bin", ".pt", "*")) for pattern in allow_patterns)
        if self.folder is None:
            raise ConnectionError("no network")
        return str(self.folder)


@pytest.mark.parametrize(("ends", "expected"), [(7, 7), ([2, 7], (2, 7)), (None, (3, 5))])
def test_what_ends_a_text_is_told_by_the_generation_config(llama, ends, expected):
    content = json.dumps({"eos_token_id": ends, "temperature": 0.5})
    (llama / "generation_config.json").write_text(content, encoding="utf-8")
    assert from_pretrained(llama)[0].config.eos_id == expected


def test_ids_of_the_hub(gpt2, monkeypatch):
    library = FakeHub(gpt2)
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    for name in ("no-such-gpt2", "somebody/no-such-gpt2"):
        assert same_parameters(from_pretrained(name)[0], scrambled("gpt2"))
    assert library.asked == ["no-such-gpt2", "somebody/no-such-gpt2"]
    library.folder = None
    with pytest.raises(InputError, match=r"(?s)By hand: .*co/a/b/tree/main.*model\.safetensors"):
        from_pretrained("a/b")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r'pip install "minitransformer\[hub\]"'):
        hub.download("a/b")


def test_other_libraries_read_what_is_written(gpt2):
    path = gpt2 / "model.safetensors"
    assert set(read_safetensors(path)) == set(safetensors.numpy.load_file(path))
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
