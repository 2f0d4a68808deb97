"""The models that commands use: those of runs, and public ones."""

from pathlib import Path
from typing import Any

from minitransformer.backend import get_backend
from minitransformer.checkpoints import checkpoint_files
from minitransformer.errors import InputError
from minitransformer.placement import place_of
from minitransformer.pretrained import from_pretrained
from minitransformer.runs import load_run
from minitransformer.tokenizers import Tokenizer


def open_model(where: str) -> tuple[Any, Tokenizer]:
    """The model and tokenizer of a run folder, or of whatever ``from_pretrained`` takes.

    Raises
    ------
    InputError
        If there is no model, no tokenizer with it, or they are damaged.
    """
    folder = Path(where)
    if folder.is_dir() and checkpoint_files(folder):
        return load_run(folder)
    model, tokenizer = from_pretrained(where)
    if tokenizer is None:
        raise InputError(
            f"{where} has no tokenizer that is known here; put the tokenizer.json that the model "
            "was trained with beside its config.json"
        )
    return model.to(place_of(get_backend())), tokenizer


def require_writer(model: Any, where: str | Path) -> None:
    """See to it that a model writes texts.

    Raises
    ------
    InputError
        Otherwise; says what the model is good for.
    """
    if not hasattr(model, "new_kv") and not hasattr(model, "given"):
        raise InputError(
            f"{where} is a {type(model).__name__}, which reads texts and writes none; "
            "minitransformer embed turns texts into vectors with a BERT"
        )
