import doctest
import sys
import textwrap
import time
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minitransformer.data import default_text
from minitransformer.errors import InputError
from minitransformer.tokenizers import BPETokenizer, bpe, bpe_merge, byte_pairs, learn_merges
from minitransformer.tokenizers.bpe import WORDS

END = "<|endoftext|>"
TEXT = default_text()[:60_000] + "naïve façade, 日本語の文章。 Привет, мир! 🐈🐈‍⬛ ½ ¾\r\n\t  x" * 3
TOKENIZER = BPETokenizer.train(TEXT, 800, [END])

# Unicode 3.2 reaches into every plane, and all later tables agree about its letters and digits.
SETTLED = [
    chr(i)
    for i in range(sys.maxunicode + 1)
    if unicodedata.ucd_3_2_0.category(chr(i)) not in "CnCs"
]
ids = st.integers(0, 5)
any_text = st.text(st.sampled_from(SETTLED) | st.sampled_from(" \n\tab'1.é日🐈"))
english = st.lists(st.sampled_from(TEXT.split(" ")), max_size=20).map(" ".join)


@pytest.mark.parametrize("module", [bpe, byte_pairs])
def test_examples_in_the_documentation(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([1], [1]),
        ([1, 2], [9]),
        ([1, 2, 1, 2], [9, 9]),
        ([2, 1, 1, 2, 1], [2, 1, 9, 1]),
    ],
)
def test_merge(before, after):
    assert bpe_merge(before, (1, 2), 9) == after


@pytest.mark.parametrize(("count", "after"), [(2, [9]), (3, [9, 1]), (4, [9, 9]), (5, [9, 9, 1])])
def test_merge_of_equals_goes_from_left_to_right(count, after):
    assert bpe_merge([1] * count, (1, 1), 9) == after


@given(st.lists(ids), ids, ids)
def test_merge_can_be_undone_and_leaves_no_pair(before, first, second):
    unchanged = list(before)
    after = bpe_merge(before, (first, second), 9)
    assert before == unchanged
    assert [t for token in after for t in ([first, second] if token == 9 else [token])] == before
    assert (first, second) not in pairwise(after)


def learn_merges_slowly(word_counts, limit):
    """Count everything anew for each merge: the definition."""
    words = {word: list(word.encode()) for word in word_counts}
    merges = []
    while len(merges) < limit:
        counts = Counter()
        for word, tokens in words.items():
            for pair in pairwise(tokens):
                counts[pair] += word_counts[word]
        if not counts or max(counts.values()) < 2:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        words = {word: bpe_merge(tokens, best, 256 + len(merges)) for word, tokens in words.items()}
        merges.append(best)
    return merges


@given(
    st.dictionaries(st.text("abcé", max_size=12), st.integers(1, 5), max_size=12),
    st.integers(0, 40),
)
@example({"aaaaaaaa": 1, "aaa": 3}, 10)
def test_training_equals_its_definition(word_counts, limit):
    assert learn_merges(word_counts, limit) == learn_merges_slowly(word_counts, limit)


def test_training_on_english_equals_its_definition():
    word_counts = Counter(WORDS.findall(TEXT[:8000]))
    assert learn_merges(word_counts, 150) == learn_merges_slowly(word_counts, 150)


def test_ties_go_to_the_smallest_pair():
    assert learn_merges({"zy": 2, "ab": 2, "aa": 2}, 3) == [(97, 97), (97, 98), (122, 121)]


def test_ids_are_bytes_then_merges_then_special_tokens():
    tokenizer = BPETokenizer.train("aaabdaaabac", 260, [END])
    assert tokenizer.vocab[:256] == [bytes([i]) for i in range(256)]
    assert tokenizer.vocab[256:] == [b"aa", b"ab", b"aaab", END.encode()]
    assert tokenizer.special_tokens == {END: 259}
    assert tokenizer.vocab_size == 260
    assert tokenizer.encode("aaabdaaabac") == [258, 100, 258, 97, 99]


def test_training_stops_when_no_pair_occurs_twice():
    assert BPETokenizer.train("abc abc", 1000).vocab_size == 258
    assert BPETokenizer.train("", 1000).vocab_size == 256


def test_no_token_crosses_a_word_border():
    for token in TOKENIZER.vocab[256:-1]:
        text = token.decode(errors="ignore")
        assert len(WORDS.findall(text)) <= 1


@given(any_text)
def test_words_join_to_the_text(text):
    assert "".join(WORDS.findall(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I'm here, they'll go", ["I", "'m", " here", ",", " they", "'ll", " go"]),
        ("he'd it's don't", ["he", "'d", " it", "'s", " don", "'t"]),
        ("abc123  x\n\n y!?", ["abc", "123", " ", " x", "\n\n", " y", "!?"]),
        ("end  ", ["end", "  "]),
    ],
)
def test_words_are_those_of_gpt2(text, words):
    assert WORDS.findall(text) == words


@given(st.text(st.characters(exclude_categories=["Cs"])) | english)
def test_every_text_comes_back(text):
    encoded = TOKENIZER.encode(text)
    assert TOKENIZER.decode(encoded, errors="strict") == text
    assert TOKENIZER.encode_bytes(text.encode()) == encoded


@given(st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
@example(b"\xed\xa0\x80\xff\x80 \xf0\x9f")
def test_any_bytes_come_back(data):
    assert TOKENIZER.decode_bytes(TOKENIZER.encode_bytes(data)) == data


def test_incomplete_characters_are_replaced_when_decoded_and_awaited_in_a_stream():
    cat = list("🐈".encode())
    assert TOKENIZER.decode(cat[:2]) == "\ufffd"
    assert list(TOKENIZER.decode_stream(cat)) == ["", "", "", "🐈", ""]
    with pytest.raises(UnicodeDecodeError):
        TOKENIZER.decode(cat[:2], errors="strict")


def test_special_tokens_are_ordinary_text_unless_allowed():
    end = TOKENIZER.special_tokens[END]
    text = f"a{END}{END} b"
    assert end not in TOKENIZER.encode(text)
    allowed = TOKENIZER.encode(text, allow_special=True)
    assert allowed == [*TOKENIZER.encode("a"), end, end, *TOKENIZER.encode(" b")]
    assert TOKENIZER.decode(allowed) == TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_longest_special_token_wins():
    tokenizer = BPETokenizer([], ["<a>", "<a>b", "(.)"])
    assert tokenizer.encode("<a>b<a>(.)x", allow_special=True) == [257, 256, 258, ord("x")]


def test_allowing_special_tokens_when_there_are_none_changes_nothing():
    assert BPETokenizer([]).encode("abc", allow_special=True) == [97, 98, 99]


def test_special_tokens_in_the_training_text_are_passed_over():
    tokenizer = BPETokenizer.train(f"ab{END}" * 50, 400, [END])
    assert tokenizer.merges == [(97, 98)]


@pytest.mark.parametrize(
    ("vocab_size", "special_tokens", "message"),
    [
        (255, (), "vocab_size is 255, but 256 bytes and 0 special tokens need at least 256"),
        (257, ("<a>", "<b>"), "need at least 258"),
        (300, "<a>", "special_tokens is the string '<a>'; expected a list"),
        (300, ("<a>", ""), "special_tokens has ''; expected strings, not empty"),
        (300, ("<a>", "<a>"), "special_tokens must be different"),
        (300, ("\ud800",), r"lone surrogate U\+D800"),
    ],
)
def test_wrong_training_arguments_are_named(vocab_size, special_tokens, message):
    with pytest.raises(InputError, match=message):
        BPETokenizer.train("text", vocab_size, special_tokens)


def test_lone_surrogates_are_refused():
    message = r"lone surrogate U\+D83D at position 3"
    with pytest.raises(InputError, match=message):
        TOKENIZER.encode("abc\ud83d")
    with pytest.raises(InputError, match=message):
        BPETokenizer.train("abc\ud83d", 300)


@pytest.mark.slow
def test_a_megabyte_trains_and_encodes_in_seconds():
    library = sorted(Path(textwrap.__file__).parent.glob("[a-m]*.py"))
    text = default_text() + "".join(path.read_text(encoding="utf-8") for path in library)
    text = text[:1_000_000]
    start = time.process_time()
    trained = BPETokenizer.train(text, 4096)
    trained_at = time.process_time()
    trained.encode(text)
    encoded_at = time.process_time()
    assert trained.vocab_size == 4096
    assert trained_at - start < 30  # 1.5 where nothing else runs
    assert encoded_at - trained_at < 10  # 0.5


def letters_of_bytes():
    """GPT-2's spelling of bytes by printable characters."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return dict(zip([*printable, *others], map(chr, [*printable, *range(256, 512)]), strict=False))


@pytest.fixture(scope="module")
def library_tokenizer():
    """The `tokenizers` library with the merges of `TOKENIZER`."""
    library = pytest.importorskip("tokenizers", reason="the tokenizers library is the reference")
    letters = letters_of_bytes()
    spelt = ["".join(letters[byte] for byte in token) for token in TOKENIZER.vocab[:-1]]
    merges = [(spelt[first], spelt[second]) for first, second in TOKENIZER.merges]
    reference = library.Tokenizer(
        library.models.BPE({token: i for i, token in enumerate(spelt)}, merges)
    )
    reference.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    reference.add_special_tokens([END])
    return reference


@given(any_text | english)
@example(TEXT)
@example("aaaa  aaaaa\n\n\n  'tis 'S don'T ´re ½²")
def test_encodes_like_the_tokenizers_library(library_tokenizer, text):
    assert TOKENIZER.encode(text) == library_tokenizer.encode(text).ids


@given(st.lists(english | st.just(END)).map("".join))
def test_encodes_special_tokens_like_the_tokenizers_library(library_tokenizer, text):
    assert TOKENIZER.encode(text, allow_special=True) == library_tokenizer.encode(text).ids
