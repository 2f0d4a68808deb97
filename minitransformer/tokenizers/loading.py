"""Reading a `tokenizer.json`, whichever tokenizer wrote it."""

import json
from pathlib import Path

from minitransformer.errors import InputError
from minitransformer.tokenizers.base import FORMAT_VERSION, Tokenizer
from minitransformer.tokenizers.bpe import BPETokenizer
from minitransformer.tokenizers.character import CharTokenizer

TOKENIZERS: dict[object, type[Tokenizer]] = {
    tokenizer.type: tokenizer for tokenizer in (CharTokenizer, BPETokenizer)
}


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read the tokenizer that `Tokenizer.save` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another program or of a newer version.
    """
    try:
        document = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the tokenizer {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}. Is the file cut off?") from error
    match document:
        case {"type": str(kind), "version": version} if kind in TOKENIZERS:
            if version != FORMAT_VERSION:
                raise InputError(
                    f"{path} has format version {version!r}, this program reads version "
                    f"{FORMAT_VERSION}. Update minitransformer."
                )
            fields = {k: v for k, v in document.items() if k not in ("type", "version")}
            try:
                return TOKENIZERS[kind](**fields)
            except (TypeError, InputError) as error:
                raise InputError(f"{path} is damaged: {error}") from error
    raise InputError(
        f'{path} is not a tokenizer of minitransformer: expected "version" and a "type" among '
        f"{sorted(map(str, TOKENIZERS))}"
    )
