"""The files that came before `tokenizer.json`, turned into one."""

from collections.abc import Mapping, Sequence
from typing import Any

from minitransformer.errors import InputError

END_OF_TEXT = "<|endoftext|>"

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def gpt2_document(
    vocab: Mapping[str, int],
    merges: Sequence[str],
    special_tokens: Sequence[str] = (END_OF_TEXT,),
    individual_digits: bool = False,
) -> dict[str, Any]:
    """Describe a byte-level BPE by its vocabulary and its merges.

    Parameters
    ----------
    vocab
        The id of each token, as in `vocab.json`.
    merges
        Lines of `merges.txt`, such as `"Ġ t"`, the first to be merged in front.
    special_tokens
        Those that the vocabulary has become special: the files do not say it.
    individual_digits
        Whether each digit is cut out before words, as in SmolLM2.
    """
    by_bytes = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": True,
    }
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "version": "1.0",
        "added_tokens": _added(vocab, special_tokens),
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, by_bytes]}
        if individual_digits
        else by_bytes,
        "post_processor": None,
        "decoder": by_bytes,
        "model": {"type": "BPE", "vocab": dict(vocab), "merges": list(merges)},
    }


def merges_of(text: str) -> list[str]:
    """The merges of a `merges.txt`, without the line that names its version."""
    return [line for line in text.split("\n") if line and not line.startswith("#version")]


def bert_document(vocab_txt: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a WordPiece by its `vocab.txt`, one token a line, and `tokenizer_config.json`.

    Raises
    ------
    InputError
        If a special token is missing.
    """
    tokens = vocab_txt.removesuffix("\n").split("\n")
    vocab = {token.removesuffix("\r"): i for i, token in enumerate(tokens)}
    missing = [token for token in ("[UNK]", "[CLS]", "[SEP]") if token not in vocab]
    if missing:
        raise InputError(f"vocab.txt lacks {', '.join(missing)}; is it the vocabulary of a BERT?")
    return {
        "version": "1.0",
        "added_tokens": _added(vocab, BERT_SPECIAL),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
            "strip_accents": settings.get("strip_accents"),
            "lowercase": settings.get("do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "sep": ["[SEP]", vocab["[SEP]"]],
            "cls": ["[CLS]", vocab["[CLS]"]],
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    }


def _added(vocab: Mapping[str, int], special_tokens: Sequence[str]) -> list[dict[str, Any]]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": vocab[token], "content": token, **flags, "special": True}
        for token in special_tokens
        if token in vocab
    ]
