"""GGUF files: what the gguf package writes is read, and lies are found."""

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer.errors import InputError
from minitransformer.models import Llama, LlamaConfig
from minitransformer.pretrained import from_pretrained, save_pretrained
from tests.test_pretrained_files import EXAMPLES, check_reader, damaged

gguf = pytest.importorskip("gguf", reason="the gguf package reads quantised tensors")

from minitransformer.pretrained.gguf_file import read_gguf  # noqa: E402

pytestmark = pytest.mark.systems

CONFIG = LlamaConfig(
    vocab_size=5, context=16, layers=2, heads=2, width=64, kv_heads=1, hidden=96, tied=True
)
TOKENS = ["<|im_start|>", "Ġ", "a", "1", "Ġa"]
BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def neighbours(weight, heads):
    """Rows of pairs half a head apart, reordered so that pairs are neighbours."""
    D = weight.shape[0] // heads
    order = [
        head * D + place
        for head in range(heads)
        for pair in range(D // 2)
        for place in (pair, pair + D // 2)
    ]
    return weight[order]


def tensors_of(model, folder):
    """The tensors of a GGUF file, by way of the layout with known names."""
    save_pretrained(model, folder)
    public = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors = {
        "token_embd.weight": public["model.embed_tokens.weight"],
        "output_norm.weight": public["model.norm.weight"],
    }
    for i in range(CONFIG.layers):
        for name, theirs in BLOCK.items():
            weight = public[f"model.layers.{i}.{theirs}.weight"]
            heads = {"attn_q": 2, "attn_k": 1}.get(name)
            tensors[f"blk.{i}.{name}.weight"] = neighbours(weight, heads) if heads else weight
    return tensors


def write(path, tensors, kind=gguf.GGMLQuantizationType.F32):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONFIG.context)
    writer.add_embedding_length(CONFIG.width)
    writer.add_block_count(CONFIG.layers)
    writer.add_head_count(CONFIG.heads)
    writer.add_head_count_kv(CONFIG.kv_heads)
    writer.add_feed_forward_length(CONFIG.hidden)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(CONFIG.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 1, 1, 1, 1])
    writer.add_token_merges(["Ġ a"])
    writer.add_eos_token_id(0)
    for name, tensor in tensors.items():
        if tensor.ndim == 1:
            writer.add_tensor(name, tensor)
        else:
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def model():
    model = Llama(CONFIG, seed=3)
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data[...] = rng.normal(0, 0.2, parameter.shape)
    return model


@pytest.mark.parametrize(
    ("kind", "limit"), [("F32", 0), ("F16", 2e-3), ("BF16", 1e-2), ("Q8_0", 1e-2), ("Q4_1", 0.2)]
)
def test_a_model_of_every_precision(kind, limit, model, tmp_path):
    write(tmp_path / "m.gguf", tensors_of(model, tmp_path), gguf.GGMLQuantizationType[kind])
    loaded, tokenizer = from_pretrained(tmp_path / "m.gguf")
    assert loaded.config.eos_id == 0
    assert tokenizer.encode("<|im_start|> a11") == [0, 4, 3, 3]
    for name, array in loaded.state_dict().items():
        assert np.abs(array - model.state_dict()[name]).max() <= limit
    ids = np.array([[1, 2, 3]])
    if kind == "F32":  # the same function, with pairs put half a head apart again
        np.testing.assert_array_equal(loaded(ids)[0], model(ids)[0])


def test_a_missing_tensor_and_an_unknown_one(model, tmp_path):
    tensors = tensors_of(model, tmp_path)
    tensors["rope_freqs.weight"] = tensors.pop("blk.1.ffn_norm.weight")
    write(tmp_path / "m.gguf", tensors)
    with pytest.raises(InputError) as caught:
        from_pretrained(tmp_path / "m.gguf")
    assert str(caught.value).split("\n")[1:] == [
        "  missing: blk.1.ffn_norm.weight (64,)",
        "  unknown: rope_freqs.weight (64,)",
    ]


def small(path):
    """A file of two tensors, in bytes."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list(["a", "bc"])
    writer.add_layer_norm_rms_eps(0.5)
    writer.add_tensor("x", np.arange(6, dtype=np.float32).reshape(2, 3))
    q8 = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("y", gguf.quants.quantize(np.ones((2, 32), np.float32), q8), raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "x.gguf"
    small(path)
    known, tensors = read_gguf(path)
    assert known["tokenizer.ggml.tokens"] == ["a", "bc"]
    assert known["llama.attention.layer_norm_rms_epsilon"] == 0.5
    np.testing.assert_array_equal(tensors["x"].read(), np.arange(6).reshape(2, 3))
    np.testing.assert_allclose(tensors["y"].read(), np.ones((2, 32)), rtol=1e-3)


def replaced(content, old, new):
    assert content.count(old) == 1
    return content.replace(old, new)


def number(value, size=8):
    return value.to_bytes(size, "little")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: b"", "4 bytes are said to follow byte 0 of 0"),
        (lambda c: b"GGML" + c[4:], "begins with b'GGML' and version 3"),
        (lambda c: c[:4] + number(1, 4) + c[8:], "version 1"),
        (lambda c: c[:8] + number(2**62) + c[16:], "4611686018427387904 tensors"),
        (lambda c: c[:16] + number(2**62) + c[24:], "twice|cut off|UTF-8|unknown type"),
        (lambda c: c[:24] + number(2**63) + c[32:], "9223372036854775808 bytes are said to"),
        (lambda c: replaced(c, number(1) + b"a", number(2**60) + b"a"), "cut off"),
        (lambda c: replaced(c, number(2) + b"bc", number(2) + b"\xff\xff"), "not UTF-8"),
        (lambda c: replaced(c, number(3) + number(2), number(3) + number(2**62)), "bytes 0 to"),
        (lambda c: replaced(c, number(1) + b"y", number(1) + b"x"), "overlap|same name"),
        (lambda c: replaced(c, number(1) + b"y", number(1) + b"\n"), "has the name"),
        (lambda c: replaced(c, number(8, 4) + number(32), number(99, 4) + number(32)), "type 99"),
        (lambda c: replaced(c, number(8, 4) + number(32), number(8, 4) + number(0)), "overlap"),
        (lambda c: replaced(c, number(32) + number(2), number(0) + number(2)), "multiple of 32"),
        (lambda c: replaced(c, number(32) + number(2), number(33) + number(2)), "multiple of 32"),
        (lambda c: c[:-32], "cut off"),
    ],
)
def test_lies_of_a_gguf_file(damage, message, tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(damage(small(path)))
    with pytest.raises(InputError, match=message):
        read_gguf(path)


def read_all(path):
    for tensor in read_gguf(path)[1].values():
        tensor.read()


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return small(tmp_path_factory.mktemp("gguf") / "x.gguf")


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_damaged_gguf(data, content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    check_reader(path, data.draw(damaged(content)), read_all)
