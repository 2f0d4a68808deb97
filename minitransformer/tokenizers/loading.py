"""Reading a tokenizer, whichever program wrote it."""

import json
from pathlib import Path
from typing import Any

from minitransformer.errors import InputError
from minitransformer.tokenizers.base import FORMAT_VERSION, Tokenizer
from minitransformer.tokenizers.bpe import BPETokenizer
from minitransformer.tokenizers.character import CharTokenizer
from minitransformer.tokenizers.legacy_files import bert_document, gpt2_document, merges_of
from minitransformer.tokenizers.tokenizer_json import from_document

TOKENIZERS: dict[str, type[BPETokenizer] | type[CharTokenizer]] = {
    "char": CharTokenizer,
    "bpe": BPETokenizer,
}

GPT2_FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read a tokenizer from a file or a folder.

    Parameters
    ----------
    path
        A `tokenizer.json`, of this program or of a public checkpoint; a BERT's `vocab.txt`; or a
        folder with one of them, or with GPT-2's `vocab.json` and `merges.txt`.

    Raises
    ------
    InputError
        If there is none, or it is damaged, of an unknown kind or of a newer version.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path)
    if path.suffix == ".txt":
        return _load_vocab_txt(path)
    document = _read_json(path)
    try:
        return _from_json(document)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _load_folder(folder: Path) -> Tokenizer:
    for name in ("tokenizer.json", "vocab.txt"):
        if (folder / name).is_file():
            return load_tokenizer(folder / name)
    for vocab, merges in GPT2_FILES:
        if (folder / vocab).is_file() and (folder / merges).is_file():
            lines = merges_of(_read_text(folder / merges))
            try:
                return from_document(gpt2_document(_read_json(folder / vocab), lines))
            except InputError as error:
                raise InputError(f"{folder}: {error}") from error
    raise InputError(
        f"{folder} has no tokenizer; expected tokenizer.json, vocab.txt, or vocab.json and "
        "merges.txt"
    )


def _load_vocab_txt(path: Path) -> Tokenizer:
    settings = path.with_name("tokenizer_config.json")
    known = _read_json(settings) if settings.is_file() else {}
    try:
        return from_document(bert_document(_read_text(path), known))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _from_json(document: Any) -> Tokenizer:
    match document:
        case {"type": str(kind), "version": version} if kind in TOKENIZERS:
            if version != FORMAT_VERSION:
                raise InputError(
                    f"format version {version!r}; this program reads version {FORMAT_VERSION}. "
                    "Update minitransformer."
                )
            fields = {k: v for k, v in document.items() if k not in ("type", "version")}
            try:
                return TOKENIZERS[kind](**fields)
            except (TypeError, InputError) as error:
                raise InputError(f"the tokenizer is damaged: {error}") from error
        case {"model": dict()}:
            return from_document(document)
    raise InputError(
        f'this is not a tokenizer of minitransformer, with "version" and a "type" among '
        f'{sorted(TOKENIZERS)}, nor one of a public checkpoint, with a "model"'
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the tokenizer {path}: {error.strerror}") from error


def _read_text(path: Path) -> str:
    try:
        return _read(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}. Is it damaged?") from error


def _read_json(path: Path) -> Any:
    content = _read(path)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}. Is the file cut off?") from error
