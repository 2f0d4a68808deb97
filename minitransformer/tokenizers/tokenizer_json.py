"""The `tokenizer.json` of public checkpoints: which tokenizer it is, and with which settings."""

from collections.abc import Iterable, Mapping
from typing import Any

from minitransformer.errors import InputError
from minitransformer.tokenizers.added_tokens import AddedToken
from minitransformer.tokenizers.bert_text import BertNormalizer
from minitransformer.tokenizers.byte_level import ByteLevelBPE
from minitransformer.tokenizers.pretrained import PretrainedTokenizer
from minitransformer.tokenizers.wordpiece import WordPiece

Document = Mapping[str, Any]


def from_document(document: Document) -> PretrainedTokenizer:
    """Build the tokenizer that a `tokenizer.json` describes.

    Raises
    ------
    InputError
        If it is damaged, or has a part that is not known here.
    """
    try:
        model = document["model"]
        added = [_added_token(token) for token in document.get("added_tokens") or ()]
        vocab = {str(token): _id(number) for token, number in model["vocab"].items()}
        ids = {**vocab, **{token.content: token.id for token in added}}
        common = (document, vocab)
        around = _around(document.get("post_processor"), ids)
        if _kind(model, vocab) == "WordPiece":
            return WordPiece(*common, added, around, **_wordpiece_settings(document))
        merges = [_merge(merge) for merge in model["merges"]]
        return ByteLevelBPE(*common, merges, added, around, **_bpe_settings(document))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the tokenizer is damaged: {type(error).__name__}: {error}") from error


def _kind(model: Document, vocab: Mapping[str, int]) -> str:
    kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece")
    if kind not in ("BPE", "WordPiece"):
        raise _unknown("model", kind, "BPE, WordPiece")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if kind == "BPE" and model.get(name):
            raise InputError(f"the BPE model has {name} = {model[name]!r}, expected none")
    return str(kind)


def _added_token(token: Document) -> AddedToken:
    flags = {name: bool(token.get(name)) for name in AddedToken._fields[2:]}
    return AddedToken(_id(token["id"]), str(token["content"]), **flags)


def _id(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise InputError(f"a token has the id {number!r}, expected 0 or more")
    return number


def _merge(merge: Any) -> tuple[str, str]:
    """`"a b"` in older files, `["a", "b"]` in newer ones."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return str(first), str(second)


def _steps(part: Document | None, name: str) -> Iterable[Document]:
    """A part, or the parts that it is a sequence of."""
    match part:
        case None:
            return ()
        case {"type": "Sequence"}:
            return [step for inner in part[name] for step in _steps(inner, name)]
    return (part,)


def _bpe_settings(document: Document) -> dict[str, Any]:
    settings: dict[str, Any] = {"ignore_merges": bool(document["model"].get("ignore_merges"))}
    for step in _steps(document.get("normalizer"), "normalizers"):
        raise _unknown("normalizer", step["type"], "none")
    by_bytes = False
    for step in _steps(document.get("pre_tokenizer"), "pretokenizers"):
        match step:
            case {"type": "Digits"} if not by_bytes:
                settings["digits"] = bool(step.get("individual_digits"))
            case {"type": "ByteLevel"} if step.get("use_regex", True):
                by_bytes = True
                settings["add_prefix_space"] = bool(step.get("add_prefix_space", True))
            case _:
                raise _unknown("pre-tokenizer", step["type"], "Digits, then ByteLevel")
    if not by_bytes:
        raise _unknown("pre-tokenizer", "none", "ByteLevel")
    for step in _steps(document.get("post_processor"), "processors"):
        if step["type"] in ("ByteLevel", "RobertaProcessing"):
            settings["trim_offsets"] = bool(step.get("trim_offsets", True))
    return settings


def _wordpiece_settings(document: Document) -> dict[str, Any]:
    model, decoder = document["model"], document.get("decoder") or {}
    settings: dict[str, Any] = {
        "unknown": model.get("unk_token", "[UNK]"),
        "prefix": model.get("continuing_subword_prefix", "##"),
        "longest_word": model.get("max_input_chars_per_word", 100),
        "cleanup": bool(decoder.get("cleanup", True)),
        "normalizer": BertNormalizer(False, False, False, False),
    }
    for step in _steps(document.get("normalizer"), "normalizers"):
        if step["type"] != "BertNormalizer":
            raise _unknown("normalizer", step["type"], "BertNormalizer")
        given = {name: step[name] for name in BertNormalizer._fields if name in step}
        settings["normalizer"] = BertNormalizer(**given)
    for step in _steps(document.get("pre_tokenizer"), "pretokenizers"):
        if step["type"] != "BertPreTokenizer":
            raise _unknown("pre-tokenizer", step["type"], "BertPreTokenizer")
    return settings


def _around(part: Document | None, ids: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Ids that go before and behind a single text."""
    before, behind = list[int](), list[int]()
    for step in _steps(part, "processors"):
        match step:
            case {"type": "ByteLevel"}:
                pass
            case {"type": "BertProcessing" | "RobertaProcessing", "cls": cls, "sep": sep}:
                before, behind = [_id(cls[1])], [_id(sep[1])]
            case {"type": "TemplateProcessing", "single": template}:
                before, behind = _template(template, step.get("special_tokens") or {}, ids)
            case _:
                raise _unknown("post-processor", step["type"], "ByteLevel, TemplateProcessing")
    return before, behind


def _template(
    template: Iterable[Document], special: Document, ids: Mapping[str, int]
) -> tuple[list[int], list[int]]:
    sides: tuple[list[int], list[int]] = ([], [])
    behind = False
    for item in template:
        if "Sequence" in item:
            behind = True
        else:
            name = item["SpecialToken"]["id"]
            sides[behind].extend(special[name]["ids"] if name in special else [ids[name]])
    return sides


def _unknown(what: str, got: str, expected: str) -> InputError:
    return InputError(f"the tokenizer's {what} is {got}, expected {expected}")
