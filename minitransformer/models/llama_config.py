"""The shape of a Llama."""

import math
from dataclasses import dataclass

from minitransformer.errors import InputError
from minitransformer.models.shape import check_shape


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a Llama.

    Raises
    ------
    InputError
        If a size is not positive, heads do not divide width, or kv_heads heads; if the features of
        a head cannot be paired, dropout is outside [0, 1), or another number is out of range.
    """

    vocab_size: int
    """Number of different tokens V."""
    context: int = 64
    """Tokens that the model looks back at."""
    layers: int = 4
    """Number of blocks."""
    heads: int = 4
    """Query heads of each block; must divide the width."""
    width: int = 128
    """Features C of each position."""
    dropout: float = 0.0
    """Probability of dropping, while training."""
    kv_heads: int | None = None
    """Key and value heads, each shared by a group of query heads; by default as many as heads."""
    hidden: int | None = None
    """Features F of the feed-forward part; by default 8/3 of the width, as large as GPT's."""
    rotary_base: float = 10_000.0
    """Pair i of a head's D features turns by ``t / rotary_base^(2i/D)`` at position t."""
    interleaved: bool = False
    """Which features are a pair: neighbours, as Meta has it, or those half a head apart."""
    tied: bool = False
    """Whether the output layer is the embedding itself."""
    norm_eps: float = 1e-5
    """What RMSNorm adds to the mean square."""
    causal: bool = True
    """Whether a head on it reads what each token knows of the past alone, or of both sides."""
    eos_id: int | tuple[int, ...] | None = None
    """Tokens that end a text, if there are any."""

    def __post_init__(self) -> None:
        check_shape(
            vocab_size=self.vocab_size,
            context=self.context,
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            dropout=self.dropout,
            kv_heads=self.key_heads,
            hidden=self.features,
        )
        if self.heads % self.key_heads:
            raise InputError(
                f"kv_heads is {self.kv_heads} and heads {self.heads}, expected a divisor of heads"
            )
        if self.width // self.heads % 2:
            raise InputError(
                f"width is {self.width} and heads {self.heads}, which makes "
                f"{self.width // self.heads} features a head; expected an even number, as rotary "
                "positions turn them in pairs"
            )
        if not 1.0 < self.rotary_base < math.inf:
            raise InputError(f"rotary_base is {self.rotary_base}, expected more than 1")
        if not 0.0 < self.norm_eps < 1.0:
            raise InputError(f"norm_eps is {self.norm_eps}, expected 0 < norm_eps < 1")

    @property
    def key_heads(self) -> int:
        """Number of key and value heads."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def features(self) -> int:
        """Number of features of the feed-forward part."""
        return round(self.width * 8 / 3) if self.hidden is None else self.hidden
