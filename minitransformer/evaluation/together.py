"""Several tasks measured at once."""

from collections.abc import Mapping

import numpy as np

from minitransformer.evaluation.outcomes import Outcomes


class Together(Outcomes):
    """What one model made of the examples of several tasks.

    Parameters
    ----------
    parts
        Outcomes by task. Each metric has the name of its task in front.
    """

    def __init__(self, parts: Mapping[str, Outcomes]) -> None:
        self.parts = dict(parts)
        sizes = [len(part) for part in self.parts.values()]
        self._starts = np.cumsum([0, *sizes])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def measure(self, rows: np.ndarray) -> dict[str, float]:
        found: dict[str, float] = {}
        for (name, part), start in zip(self.parts.items(), self._starts, strict=False):
            own = rows[(rows >= start) & (rows < start + len(part))] - start
            if len(own):
                found |= {f"{name}: {metric}": x for metric, x in part.measure(own).items()}
        return found
