"""Texts as integers: written to disk, mapped into memory, divided and measured."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minitransformer.errors import InputError
from minitransformer.files import atomic_write

Tokens = NDArray[np.integer]
"""Token ids of a text, in one dimension."""

FILE_DTYPES = (np.dtype("<u2"), np.dtype("<u4"))


def write_tokens(path: str | Path, ids: ArrayLike, vocab_size: int) -> None:
    """Write token ids as a `.npy` file: two bytes each if the vocabulary allows, else four.

    Parameters
    ----------
    path : str or Path
        The file; an old one is replaced only when the new one is complete.
    ids : (N,) integers
        The tokens.
    vocab_size : int
        Number of ids of the tokenizer.

    Raises
    ------
    InputError
        If there is no id, one is outside the vocabulary, or the file cannot be written.
    """
    tokens = np.asarray(ids)
    if tokens.ndim != 1 or tokens.size == 0:
        raise InputError(f"ids has shape {tokens.shape}; expected one dimension, not empty")
    if not np.issubdtype(tokens.dtype, np.integer):
        raise InputError(f"ids has dtype {tokens.dtype}; expected integers")
    outside = (tokens < 0) | (tokens >= vocab_size)
    if outside.any():
        position = int(outside.argmax())
        raise InputError(
            f"ids[{position}] is {tokens[position]}, but vocab_size is {vocab_size}; expected ids "
            f"from 0 to {vocab_size - 1}"
        )
    short, long = FILE_DTYPES
    with atomic_write(path) as file:
        dtype = short if vocab_size <= np.iinfo(short).max + 1 else long
        np.save(file, tokens.astype(dtype), allow_pickle=False)


def open_tokens(path: str | Path) -> Tokens:
    """Map a token file into memory, read-only: only what is looked at is read from the disk.

    Returns
    -------
    (N,) memmap of uint16 or uint32
        The tokens.

    Raises
    ------
    InputError
        If the file is missing, cut off, or not one that `write_tokens` wrote.
    """
    try:
        tokens = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise InputError(f"cannot read the token file {path}: {error.strerror}") from error
    except Exception as error:  # a damaged header makes NumPy raise nearly anything
        raise InputError(f"{path} is cut off or not a token file: {error}") from error
    if tokens.ndim != 1 or tokens.dtype not in FILE_DTYPES:
        raise InputError(
            f"{path} is not a token file: it holds {tokens.dtype} of shape {tokens.shape}; "
            "expected uint16 or uint32 in one dimension"
        )
    return tokens


def split(tokens: Tokens, validation_fraction: float = 0.1) -> tuple[Tokens, Tokens]:
    """Set the last part of the text aside, to measure on what was never trained on.

    Parameters
    ----------
    tokens : (N,) integers
        The whole text.
    validation_fraction : float
        The share to set aside, between 0 and 1.

    Returns
    -------
    train, validation : (M,) and (N - M,) integers
        Views: the beginning and the rest.

    Raises
    ------
    InputError
        If the fraction is not between 0 and 1, or one part would be empty.
    """
    if not 0 < validation_fraction < 1:
        raise InputError(
            f"validation_fraction is {validation_fraction}; expected more than 0 and less than 1"
        )
    border = round(len(tokens) * (1 - validation_fraction))
    if not 0 < border < len(tokens):
        raise InputError(
            f"the text has {len(tokens)} token(s), too few to set {validation_fraction:.3g} of it "
            "aside for validation. Give a longer text."
        )
    return tokens[:border], tokens[border:]


def unigram_entropy(tokens: Tokens) -> float:
    """Measure how well a model predicts that knows how frequent each token is, and nothing more.

    Parameters
    ----------
    tokens : (N,) integers
        A text, not empty.

    Returns
    -------
    float
        Nats per token, from 0 to ln(number of different tokens): a model that has learnt
        anything about order has a smaller loss.

    Notes
    -----
    ``H = -sum p ln p`` with p the relative frequency of each token.
    """
    counts = np.bincount(tokens)
    p = counts[counts > 0] / len(tokens)
    return float(-(p * np.log(p)).sum())
