"""What a run's text is written in: characters, or byte pairs and tokens that are no text."""

from functools import lru_cache

from minitransformer.configuration import TrainConfig
from minitransformer.errors import InputError
from minitransformer.tokenizers import BPETokenizer, CharTokenizer, Tokenizer, load_tokenizer

MASK = "<mask>"
"""Stands for a token that is hidden."""


def learn_vocabulary(text: str, config: TrainConfig, *special: str) -> Tokenizer:
    """The vocabulary of the run to start from, or else of a text: its characters, or byte pairs.

    Parameters
    ----------
    text
        What is learned from.
    config
        Of the run.
    special
        Tokens that no text has; their ids are the last ones. Only byte pairs can have some.

    Raises
    ------
    InputError
        If another vocabulary is asked for, or that of the other run has too few special tokens.
    """
    if config.start_from is not None:
        return _known(config, special)
    if config.tokenizer == "bpe":
        return _byte_pairs(text, config.bpe_tokens, special)
    if special:
        raise InputError(
            f'tokenizer is {config.tokenizer!r}, expected "bpe": the task needs {special[0]}, a '
            "token that is no character"
        )
    return CharTokenizer.train(text)


@lru_cache(maxsize=1)  # one run after another, of other seeds, has the same
def _byte_pairs(text: str, size: int, special: tuple[str, ...]) -> BPETokenizer:
    return BPETokenizer.train(text, size, special)


def _known(config: TrainConfig, special: tuple[str, ...]) -> Tokenizer:
    known = load_tokenizer(config.start_from / "tokenizer.json")  # type: ignore[operator]
    found = known.special_tokens if isinstance(known, BPETokenizer) else ()
    if len(found) < len(special):
        raise InputError(
            f"the vocabulary of {config.start_from} has {len(found)} special tokens, expected "
            f"{len(special)}, as {special[0]}; start from a run of a task that has as many, such "
            "as masked-text"
        )
    return known
