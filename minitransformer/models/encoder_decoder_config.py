"""The shape of an encoder-decoder."""

from dataclasses import dataclass

from minitransformer.errors import InputError
from minitransformer.models.encoder import NormPlace, check_norm
from minitransformer.models.shape import check_shape


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """The shape of an encoder-decoder.

    Raises
    ------
    InputError
        If a size is not positive, heads do not divide width, a probability is outside [0, 1), an
        id is outside the target's vocabulary, norm is unknown, or two vocabularies of different
        sizes shall share their embeddings.
    """

    vocab_size: int
    """Number of different tokens of the source."""
    target_vocab_size: int
    """Number of different tokens V of the target."""
    start_id: int
    """Token that the decoder reads first."""
    end_id: int
    """Token with which a target ends."""
    context: int = 64
    """Tokens of the longest source."""
    target_context: int = 64
    """Tokens of the longest target, start or end included."""
    layers: int = 4
    """Number of blocks of the encoder, and of the decoder."""
    heads: int = 4
    """Attention heads of each block; must divide the width."""
    width: int = 128
    """Features C of each position; even, as sines and cosines come in pairs."""
    hidden: int = 512
    """Features F between the two layers of the feed-forward part."""
    dropout: float = 0.0
    """Probability of dropping, while training."""
    norm: NormPlace = "post"
    """Norms behind the parts of a block, as in 2017, or before them."""
    shared_embeddings: bool = False
    """One table for source and target, which must have the same vocabulary."""
    label_smoothing: float = 0.0
    """Share of the target distribution that is spread over all tokens, while training."""

    def __post_init__(self) -> None:
        check_shape(
            vocab_size=self.vocab_size,
            target_vocab_size=self.target_vocab_size,
            context=self.context,
            target_context=self.target_context,
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            dropout=self.dropout,
            hidden=self.hidden,
        )
        check_norm(self.norm, self.width)
        for name in ("start_id", "end_id"):
            if not 0 <= getattr(self, name) < self.target_vocab_size:
                raise InputError(
                    f"{name} is {getattr(self, name)}, expected 0 <= id < target_vocab_size "
                    f"({self.target_vocab_size})"
                )
        if not 0.0 <= self.label_smoothing < 1.0:
            raise InputError(
                f"label_smoothing is {self.label_smoothing}, expected 0 <= label_smoothing < 1"
            )
        if self.shared_embeddings and self.vocab_size != self.target_vocab_size:
            raise InputError(
                f"shared_embeddings: vocab_size is {self.vocab_size} and target_vocab_size "
                f"{self.target_vocab_size}, expected one vocabulary for both"
            )
