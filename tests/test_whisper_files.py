"""CTranslate2's files: read as they were written, and every lie found before memory is taken."""

import contextlib
import json
import os
import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer.errors import InputError
from minitransformer.models import Whisper, WhisperConfig
from minitransformer.pretrained import from_pretrained
from minitransformer.pretrained.ctranslate2 import CTranslate2WhisperFamily
from minitransformer.pretrained.ctranslate2_file import read_ctranslate2
from minitransformer.tokenizers import from_document, gpt2_document

pytestmark = pytest.mark.systems

EXAMPLES = int(os.environ.get("MINITRANSFORMER_FUZZ", "300"))
"""Damaged files; a thorough run asks for ten thousand."""
MOST_MEMORY = 3_000_000  # bytes, for files of a few thousand
FLOAT32, INT8, INT16, INT32, FLOAT16, BFLOAT16 = range(6)
CONFIG = WhisperConfig(
    vocab_size=9,
    start_id=6,
    end_id=5,
    mel_bins=3,
    context=4,
    target_context=4,
    layers=1,
    decoder_layers=2,
    heads=2,
    width=4,
    hidden=6,
    suppressed=(1, 2),
    suppressed_first=(3,),
)
SCALARS = {
    **{"encoder/num_heads": 2, "decoder/num_heads": 2, "decoder/activation": 3},
    **{"decoder/pre_norm": 1, "decoder/scale_embeddings": 0, "decoder/alibi": 0},
}
TOKENIZER = gpt2_document(
    {"a": 0, "<|endoftext|>": 5, "<|startoftranscript|>": 6, "<|notimestamps|>": 7},
    [],
    ("<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"),
)


def text(content):
    content = content.encode("ascii") + b"\0"
    return struct.pack("<H", len(content)) + content


def variable(name, shape, kind, data, size=None):
    axes = struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return text(name) + axes + struct.pack("<BI", kind, len(data) if size is None else size) + data


def a_file(variables, aliases=(), version=6, kind="WhisperSpec", count=None):
    count = len(variables) if count is None else count
    begin = struct.pack("<I", version) + text(kind) + struct.pack("<II", 3, count)
    names = b"".join(text(alias) + text(name) for alias, name in aliases)
    return begin + b"".join(variables) + struct.pack("<I", len(aliases)) + names


def packed(array, kind):
    if kind == BFLOAT16:
        return (array.view(np.uint32) >> 16).astype("<u2").tobytes()
    return array.astype({FLOAT32: "<f4", FLOAT16: "<f2"}[kind]).tobytes()


def scrambled():
    model = Whisper(CONFIG)
    rng = np.random.default_rng(7)
    for parameter in model.parameters():
        parameter.data[...] = rng.normal(0.1, 0.3, parameter.shape)
    return model


def tensors_of(model):
    """Names and tensors of a model as CTranslate2 has them, by the table read the other way."""
    family = CTranslate2WhisperFamily()
    sizes = family.sizes(model.config)
    parameters = dict(model.named_parameters())
    tensors = {}
    for row in family.rows(model.config):
        shapes = row.shapes(sizes)
        parts = row.transform.split(parameters[row.ours].data, list(shapes.values()))
        tensors |= dict(zip(shapes, map(np.ascontiguousarray, parts), strict=True))
    return {in_the_file(name): array for name, array in tensors.items()}


def in_the_file(name):
    name = name.replace(".", "/")
    if "norm" in name:
        name = name.replace("weight", "gamma").replace("bias", "beta")
    return name


def write(folder, model, kind=FLOAT32, scalars=SCALARS, **changes):
    tensors = tensors_of(model) | changes
    variables = [variable(name, (), INT8, bytes([value])) for name, value in scalars.items()]
    variables += [
        variable(name, array.shape, kind, packed(array, kind))
        for name, array in tensors.items()
        if array is not None
    ]
    aliases = [("decoder/projection/weight", "decoder/embeddings/weight")]
    (folder / "model.bin").write_bytes(a_file(variables, aliases))
    from_document(TOKENIZER).save(folder / "tokenizer.json")
    ids = {"suppress_ids": [1, 2, 99], "suppress_ids_begin": [3], "lang_ids": [50259]}
    (folder / "config.json").write_text(json.dumps(ids), encoding="utf-8")


@pytest.mark.parametrize("kind", [FLOAT32, FLOAT16, BFLOAT16])
def test_what_is_written_is_loaded(kind, tmp_path):
    model = scrambled()
    write(tmp_path, model, kind)
    for where in (tmp_path, str(tmp_path / "model.bin")):
        loaded, tokenizer = from_pretrained(where)
        assert tokenizer.special_tokens["<|startoftranscript|>"] == 6
        assert loaded.config == CONFIG
        relative, smallest = {FLOAT32: (0, 0), FLOAT16: (2**-11, 1e-7), BFLOAT16: (2**-7, 0)}[kind]
        expected = model.state_dict()
        for name, array in loaded.state_dict().items():
            np.testing.assert_allclose(array, expected[name], rtol=relative, atol=smallest)


def test_pickles_are_refused_and_the_tokenizer_is_needed(tmp_path):
    write(tmp_path, scrambled())
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"cannot read the tokenizer .*tokenizer\.json"):
        from_pretrained(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"PK\3\4")
    for where in (tmp_path, tmp_path / "model.bin"):
        with pytest.raises(InputError, match="is a pickle"):
            from_pretrained(where)


def test_all_mismatches_are_listed(tmp_path):
    write(
        tmp_path,
        scrambled(),
        **{
            "encoder/conv2/bias": np.ones(5, np.float32),
            "decoder/layer_1/ffn/linear_0/weight": None,
            "decoder/layer_1/ffn/novelty": np.ones(2, np.float32),
        },
    )
    with pytest.raises(InputError) as caught:
        from_pretrained(tmp_path)
    assert str(caught.value).split("\n")[1:] == [
        "  shape: encoder.conv2.bias is (5,), expected (4,)",
        "  missing: decoder.layer_1.ffn.linear_0.weight (6, 4)",
        "  unknown: decoder.layer_1.ffn.novelty (2,)",
    ]


@pytest.mark.parametrize(
    ("scalars", "message"),
    [
        ({"decoder/num_heads": 4}, "decoder/num_heads is 4, expected 2"),
        ({"encoder/num_heads": 3, "decoder/num_heads": 3}, "width is 4 and heads 3"),
        ({"decoder/activation": 0}, "decoder/activation is 0, expected 3"),
        ({"decoder/pre_norm": 0}, "decoder/pre_norm is 0, expected 1"),
        ({"decoder/alibi": 1}, "decoder/alibi is 1"),
    ],
)
def test_settings_that_the_model_does_not_have_are_refused(scalars, message, tmp_path):
    write(tmp_path, scrambled(), scalars=SCALARS | scalars)
    with pytest.raises(InputError, match=message):
        from_pretrained(tmp_path)


def test_integers_are_no_weights(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(a_file([variable("a", (2,), INT8, bytes(2))]))
    with pytest.raises(InputError, match="a is quantised to integers, .* --quantization float16"):
        read_ctranslate2(path).tensors["a"].read()


def test_other_models_are_refused(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(a_file([], kind="TransformerSpec"))
    with pytest.raises(InputError, match="is a TransformerSpec, expected a WhisperSpec"):
        from_pretrained(path)


HALVES = variable("half", (2, 3), FLOAT16, bytes(12))
LIES = [
    (b"", "4 bytes are said to follow byte 0 of 0"),
    (a_file([], version=5), "version 5, expected 6"),
    (a_file([], count=2**31), "said to have 2147483648 variables"),
    (a_file([], count=9), "are said to follow byte"),
    (a_file([HALVES, HALVES]), "has the name half twice"),
    (a_file([variable("half", (2, 3), 6, bytes(12))]), "unknown type 6"),
    (a_file([variable("half", (2, 4), FLOAT16, bytes(12))]), r"\(2, 4\) of <f2 has 12 bytes"),
    (a_file([variable("half", (2**32 - 1,) * 8, FLOAT16, bytes(12))]), "has 12 bytes"),
    (a_file([variable("half", (1,) * 9, FLOAT16, bytes(2))]), "has the shape"),
    (a_file([variable("half", (2**31 - 1,), FLOAT16, b"", 2**32 - 2)]), "4294967294 bytes are"),
    (a_file([HALVES], [("a", "b")]), "a is another name of b, which there is not"),
    (a_file([HALVES], [("half", "half")]), "has the name half twice"),
    (a_file([HALVES]) + b"x", "1 bytes follow its end"),
    (a_file([HALVES])[:-1], "4 bytes are said to follow"),
    (a_file([variable("a\nb", (), INT8, bytes(1))]), "there is the name"),
    (a_file([HALVES]).replace(b"half", b"h\xffal"), "there is the name"),
]


@pytest.mark.parametrize(("content", "message"), LIES)
def test_lies(content, message, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_ctranslate2(path)


def test_what_became_shorter_is_noticed(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(a_file([HALVES]))
    found = read_ctranslate2(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="became shorter"):
        found.tensors["half"].read()
    path.unlink()
    with pytest.raises(InputError, match="cannot read"):
        read_ctranslate2(path)


@contextlib.contextmanager
def little_memory():
    """Fails if more memory is taken than files of this size can need."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ctranslate2")
    write(folder, scrambled(), FLOAT16)
    (folder / "model.bin").rename(folder / "original")
    return folder


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_damaged_files(data, checkpoint):
    """An error of ours or success, in little memory."""
    content = (checkpoint / "original").read_bytes()
    numbers = [m.end() for m in re.finditer(rb"(weight|bias|gamma|beta|heads)\0", content)]
    near = st.sampled_from(numbers).flatmap(lambda end: st.integers(end - 12, end + 16))
    extreme = st.sampled_from([bytes(4), b"\xff" * 4, b"\xff" * 3 + b"\x7f", b"\1", b"\5"])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(near | st.integers(0, len(content)))
        put = data.draw(extreme | st.binary(max_size=4))
        removed = data.draw(st.just(len(put)) | st.integers(0, 8))
        content = content[:place] + put + content[place + removed :]
    content = content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
    (checkpoint / "model.bin").write_bytes(content)
    with little_memory(), contextlib.suppress(InputError), np.errstate(all="ignore"):
        from_pretrained(checkpoint)
