"""The laws of every tokenizer, the character tokenizer, and `tokenizer.json`."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer.errors import InputError
from minitransformer.tokenizers import BPETokenizer, CharTokenizer, load_tokenizer

SAMPLE = "the cat, the hat, the bat — naïve 猫 🐈\n" * 3
TOKENIZERS = [
    CharTokenizer.train(SAMPLE),
    BPETokenizer.train(SAMPLE, 280, ["<|endoftext|>", "<|pad|>"]),
]
each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["char", "bpe"])


@each_tokenizer
@given(text=st.text(alphabet=sorted(set(SAMPLE))))
def test_decode_undoes_encode(tokenizer, text):
    ids = tokenizer.encode(text)
    assert all(type(token) is int and 0 <= token < tokenizer.vocab_size for token in ids)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(np.array(ids, dtype=np.uint16)) == text
    assert "".join(tokenizer.decode_stream(ids)) == text


@each_tokenizer
@given(data=st.data())
def test_stream_joins_to_decode(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    assert "".join(tokenizer.decode_stream(ids)) == tokenizer.decode(ids)


@each_tokenizer
@pytest.mark.parametrize("wrong", [-1, 10**9])
def test_decode_names_an_id_outside_the_vocabulary(tokenizer, wrong):
    with pytest.raises(InputError, match=rf"ids\[2\] is {wrong}, .*{tokenizer.vocab_size - 1}"):
        tokenizer.decode([0, 1, wrong])
    with pytest.raises(InputError, match=f"is {wrong}"):
        list(tokenizer.decode_stream([0, 1, wrong]))


@each_tokenizer
def test_decode_takes_integers_only(tokenizer):
    with pytest.raises(TypeError):
        tokenizer.decode([1.0])


@each_tokenizer
def test_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = load_tokenizer(path)
    assert type(loaded) is type(tokenizer)
    assert loaded.fields == tokenizer.fields
    assert loaded.encode(SAMPLE) == tokenizer.encode(SAMPLE)
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@each_tokenizer
@given(data=st.data())
def test_cut_off_file_is_refused(tokenizer, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "tokenizer.json"
    tokenizer.save(path)
    whole = path.read_bytes().rstrip()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(InputError, match="not JSON"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a tokenizer of minitransformer"),
        ({"version": "1.0", "model": {"type": "BPE"}}, "damaged: KeyError: 'vocab'"),
        ({"type": ["char"], "version": 1}, "not a tokenizer of minitransformer"),
        ({"type": "unigram", "version": 1}, r"not a tokenizer.*\['bpe', 'char'\]"),
        ({"type": "char", "version": 2, "characters": "ab"}, "version 2.*reads version 1.*Update"),
        ({"type": "char", "version": 1}, "damaged.*characters"),
        ({"type": "char", "version": 1, "characters": "ab", "extra": 1}, "damaged.*extra"),
        ({"type": "char", "version": 1, "characters": ["ab", "c"]}, "damaged.*must be a string"),
        ({"type": "char", "version": 1, "characters": ""}, "damaged.*not empty"),
        ({"type": "char", "version": 1, "characters": "aba"}, "damaged.*different"),
        ({"type": "char", "version": 1, "characters": "\ud800"}, r"damaged.*U\+D800"),
        ({"type": "bpe", "version": 1, "merges": 5}, "damaged"),
        ({"type": "bpe", "version": 1, "merges": [[97, 98], [97, 257]]}, r"merges\[1\] .*to 256"),
        ({"type": "bpe", "version": 1, "merges": [[97, -1]]}, r"merges\[0\] is \[97, -1\]"),
        ({"type": "bpe", "version": 1, "merges": [[-1, 97]]}, r"merges\[0\] is \[-1, 97\]"),
        ({"type": "bpe", "version": 1, "merges": ["th"]}, r"merges\[0\] is 'th'"),
        ({"type": "bpe", "version": 1, "merges": [[1, 2], [1, 2]]}, "merges must be different"),
        ({"type": "bpe", "version": 1, "merges": [], "special_tokens": [""]}, "not empty"),
        ({"type": "bpe", "version": 1, "merges": [], "special_tokens": [1]}, "expected strings"),
    ],
)
def test_foreign_and_damaged_documents_are_refused(tmp_path, document, message):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=f"tokenizer.json.*{message}"):
        load_tokenizer(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"[" * 100_000, b'{"type": "char"'])
def test_files_that_are_not_json_are_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer\.json is not JSON"):
        load_tokenizer(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the tokenizer .*absent\.json"):
        load_tokenizer(tmp_path / "absent.json")


def test_char_ids_are_places_in_the_sorted_alphabet():
    tokenizer = CharTokenizer.train("hello")
    assert tokenizer.characters == "ehlo"
    assert tokenizer.vocab_size == 4
    assert tokenizer.encode("hole") == [1, 3, 2, 0]


def test_char_names_unknown_characters_and_their_places():
    tokenizer = CharTokenizer.train("abc")
    message = "never saw: 'é' (U+00E9) at position 2, '\\n' (U+000A) at position 3. Leave them out"
    with pytest.raises(InputError, match=re.escape(message)):
        tokenizer.encode("abé\né")
    with pytest.raises(InputError, match=r"'z'.*at position 0.*, and 2 more"):
        tokenizer.encode("zyxwvut")


def test_char_needs_text():
    with pytest.raises(InputError, match="text is empty"):
        CharTokenizer.train("")


def test_char_refuses_lone_surrogates():
    with pytest.raises(InputError, match=r"lone surrogate U\+DC80 at position"):
        CharTokenizer.train("a\udc80")
