"""Texts in many languages, of which the rare ones are to be read often enough.

In proportion to its size, a language of which there is a hundred times less would be seen a hundred
times less. A temperature flattens the proportions.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from minitransformer.data.batches import Batch
from minitransformer.data.sampling import batch_at, batch_offsets
from minitransformer.data.tokens import Tokens
from minitransformer.errors import InputError

STREAM = 0x1A46
"""Keeps these random numbers apart from others drawn with the same seed and step."""


def language_probabilities(sizes: Sequence[float], temperature: float = 1.0) -> NDArray[np.float64]:
    """How often each language is drawn: ``p_i ~ n_i^(1/T)``.

    Parameters
    ----------
    sizes : L positive numbers
        How much text n_i there is of each.
    temperature
        At T = 1 in proportion to the sizes; the higher, the more alike; infinite: all alike.

    Returns
    -------
    (L,) float64
        Their sum is 1.

    Raises
    ------
    InputError
        If there is no language, one without text, or the temperature is not positive.

    Notes
    -----
    multilingual BERT takes 1/T = 0.7, XLM-R 0.3, mT5 0.3.

    References
    ----------
    Arivazhagan et al. (2019), Massively Multilingual Neural Machine Translation in the Wild,
    arXiv:1907.05019; Conneau et al. (2020), XLM-R, arXiv:1911.02116.
    """
    n = np.asarray(sizes, np.float64)
    if n.ndim != 1 or not n.size or not (n > 0.0).all() or not np.isfinite(n).all():
        raise InputError(f"sizes are {sizes}, expected one positive number for each language")
    if not temperature > 0.0:
        raise InputError(f"temperature is {temperature}, expected more than 0")
    with np.errstate(under="ignore"):  # a language that is next to never drawn
        weights = (n / n.max()) ** (1.0 / temperature)
    return weights / weights.sum()  # type: ignore[no-any-return]


def sample_multilingual_batch(
    texts: Mapping[str, Tokens],
    batch: int,
    context: int,
    temperature: float,
    seed: int,
    step: int,
) -> Batch:
    """Draw the batch of one training step: for each row a language, then a window of its text.

    Parameters
    ----------
    texts : (N_l,) integers each, by language
    batch, context
        Number of windows, and tokens in each, B and T.
    temperature
        See :func:`language_probabilities`.
    seed, step
        The same two numbers always give the same windows.

    Returns
    -------
    Batch
        Inputs and targets, (B, T) each.

    Raises
    ------
    InputError
        If a text is shorter than one window, or as for :func:`language_probabilities`.
    """
    probabilities = language_probabilities([len(text) for text in texts.values()], temperature)
    rng = np.random.default_rng([STREAM, seed, step])
    counts = np.bincount(rng.choice(len(texts), batch, p=probabilities), minlength=len(texts))
    parts = [
        _windows(language, text, count, context, seed, step)
        for (language, text), count in zip(texts.items(), counts.tolist(), strict=True)
    ]
    inputs, targets = (
        np.concatenate(arrays) for arrays in zip(*(p[:2] for p in parts), strict=True)
    )
    return Batch(inputs, targets)


def _windows(language: str, text: Tokens, count: int, context: int, seed: int, step: int) -> Batch:
    try:
        offsets = batch_offsets(len(text), count, context, seed, step)
    except InputError as error:
        raise InputError(f"language {language}: {error}") from error
    return batch_at(text, offsets, context)
