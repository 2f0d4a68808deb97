"""What generation returns."""

from collections.abc import Iterable


class Continuation(list[int]):
    """New tokens of one text: a list of ids that also says how it came about.

    Attributes
    ----------
    finished : bool
        Whether the text came to its end; otherwise it was cut off after ``max_new_tokens``.
    slid : bool
        Whether it outgrew the model's context, so that its last tokens were written without
        looking at the first ones.
    score : float or None
        In beam search, the sum of log-probabilities divided by ``length ** length_penalty``.
    """

    def __init__(
        self, tokens: Iterable[int], finished: bool, slid: bool, score: float | None = None
    ) -> None:
        super().__init__(tokens)
        self.finished = finished
        self.slid = slid
        self.score = score
