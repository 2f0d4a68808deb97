"""How well written text agrees with what was expected: exact match and BLEU."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from minitransformer.errors import InputError
from minitransformer.evaluation.outcomes import Outcomes

ORDERS = 4
"""BLEU counts sequences of up to so many words."""


class Texts(Outcomes):
    """Texts that a model wrote, beside the ones that were expected.

    Parameters
    ----------
    predictions, references
        One text each for every example.
    bleu
        Whether to compute BLEU too, which is made for sentences; it needs ``sacrebleu``.
    groups
        What each example belongs to, such as its language.

    Raises
    ------
    ValueError
        If there are not as many predictions as references.
    InputError
        If BLEU is wanted and sacrebleu is not installed.

    Notes
    -----
    BLEU is a matter of a whole corpus: what share of the words, pairs, triples and quadruples of
    words written stand in the reference too (geometric mean), times a penalty for brevity. The
    counts of each text are kept, and added up for whatever texts are chosen. Where none has as many
    as four words, shorter sequences are all that is counted.

    References
    ----------
    Papineni et al. (2002), BLEU; Post (2018), A Call for Clarity in Reporting BLEU Scores,
    arXiv:1804.08771.
    """

    def __init__(
        self,
        predictions: Sequence[str],
        references: Sequence[str],
        *,
        bleu: bool = False,
        groups: Sequence[str] = (),
    ) -> None:
        if len(predictions) != len(references):
            raise ValueError(
                f"texts: got {len(predictions)} predictions and {len(references)} references, "
                "expected one for each"
            )
        self.predictions = list(predictions)
        self.references = list(references)
        self.groups = list(groups)
        pairs = list(zip(self.predictions, self.references, strict=True))
        self._same = np.array([written == expected for written, expected in pairs])
        self._bleu = _Bleu(pairs) if bleu else None

    def __len__(self) -> int:
        return len(self.predictions)

    def measure(self, rows: np.ndarray) -> dict[str, float]:
        found = {"exact match": float(self._same[rows].mean())}
        return found if self._bleu is None else found | {"BLEU": self._bleu.score(rows)}


class _Bleu:
    """BLEU of any choice of texts."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        metric = _metric()
        scores = [metric.corpus_score([written], [[expected]]) for written, expected in pairs]
        self._compute = metric.compute_bleu
        self._counts = np.array(
            [(*score.counts, *score.totals, score.sys_len, score.ref_len) for score in scores]
        )

    def score(self, rows: np.ndarray) -> float:
        """From 0 to 100."""
        total = self._counts[rows].sum(axis=0).tolist()
        found = self._compute(
            total[:ORDERS],
            total[ORDERS : 2 * ORDERS],
            *total[2 * ORDERS :],
            smooth_method="exp",
            effective_order=True,
        )
        return float(found.score)


def _metric() -> Any:
    try:
        bleu: Any = importlib.import_module("sacrebleu.metrics.bleu")
    except ImportError as error:
        raise InputError(
            "BLEU is computed by sacrebleu, which is not installed: pip install sacrebleu"
        ) from error
    return bleu.BLEU(max_ngram_order=ORDERS)
