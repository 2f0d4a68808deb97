"""Where a checkpoint is: here, or at the hub."""

import re
from pathlib import Path

from minitransformer.errors import InputError
from minitransformer.pretrained.ctranslate2_file import is_ctranslate2
from minitransformer.pretrained.hub import download
from minitransformer.pretrained.weights import PICKLES, refuse_pickle

HUB_ID = r"[\w-][\w.-]*(/[\w-][\w.-]*)?"


def locate(where: str | Path) -> Path:
    """The file or folder of a checkpoint, downloaded if need be.

    Raises
    ------
    InputError
        If there is none, or it is a pickle.
    """
    path = Path(where).expanduser()
    if path.suffix in PICKLES and not is_ctranslate2(path):
        refuse_pickle(path)
    if path.exists():
        return path
    if isinstance(where, str) and re.fullmatch(HUB_ID, where) and not _is_weights(path):
        return download(where)
    raise InputError(
        f"{where} does not exist; expected a folder with config.json and model.safetensors, a "
        ".gguf file, or an id of the Hugging Face hub such as openai-community/gpt2"
    )


def _is_weights(path: Path) -> bool:
    return path.suffix in (".gguf", ".safetensors", ".json")


def gguf_file(path: Path) -> Path | None:
    """The GGUF file that a path is or, if it has no other checkpoint, holds.

    Raises
    ------
    InputError
        If there are several.
    """
    if path.is_file():
        return path if path.suffix == ".gguf" else None
    found = sorted(path.glob("*.gguf"))
    if not found or (path / "config.json").is_file():
        return None
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise InputError(f"{path} has several models; name one of {names}")
    return found[0]
