"""The shape of a Whisper."""

from dataclasses import dataclass

from minitransformer.errors import InputError
from minitransformer.models.shape import check_shape


@dataclass(frozen=True, kw_only=True)
class WhisperConfig:
    """The shape of a Whisper; by default that of the smallest public one.

    Raises
    ------
    InputError
        If a size is not positive, heads do not divide width, width is odd, dropout is outside
        [0, 1), or an id is outside the vocabulary.
    """

    vocab_size: int
    """Number of different tokens V."""
    start_id: int
    """Token with which every transcript starts."""
    end_id: int
    """Token with which it ends."""
    mel_bins: int = 80
    """Pitches M whose loudness is known for each frame of sound."""
    context: int = 1500
    """Positions S of the encoder, each for two frames of 10 ms."""
    target_context: int = 448
    """Tokens of the longest transcript, with all special tokens."""
    layers: int = 4
    """Number of blocks of the encoder."""
    decoder_layers: int = 4
    """Number of blocks of the decoder."""
    heads: int = 6
    """Attention heads of each block; must divide the width."""
    width: int = 384
    """Features C of each position; even, as sines and cosines come in pairs."""
    hidden: int = 1536
    """Features F between the two layers of the feed-forward part."""
    dropout: float = 0.0
    """Probability of dropping, while training."""
    suppressed: tuple[int, ...] = ()
    """Tokens that are no speech: a transcript never has them."""
    suppressed_first: tuple[int, ...] = ()
    """Tokens that it does not begin with."""

    def __post_init__(self) -> None:
        check_shape(
            vocab_size=self.vocab_size,
            mel_bins=self.mel_bins,
            context=self.context,
            target_context=self.target_context,
            layers=self.layers,
            decoder_layers=self.decoder_layers,
            heads=self.heads,
            width=self.width,
            dropout=self.dropout,
            hidden=self.hidden,
        )
        if self.width % 2:
            raise InputError(
                f"width is {self.width}, expected an even number: sines and cosines are pairs"
            )
        ids: dict[str, tuple[int, ...]] = {
            "start_id": (self.start_id,),
            "end_id": (self.end_id,),
            "suppressed": self.suppressed,
            "suppressed_first": self.suppressed_first,
        }
        for name, tokens in ids.items():
            for token in tokens:
                if not 0 <= token < self.vocab_size:
                    raise InputError(
                        f"{name} has {token}, expected 0 <= id < vocab_size ({self.vocab_size})"
                    )
