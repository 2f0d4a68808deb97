"""Everything that decides a training run, in one frozen dataclass."""

import difflib
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tomli_w
import tyro

from minitransformer.errors import InputError
from minitransformer.files import atomic_write
from minitransformer.models import GPTConfig
from minitransformer.models.registry import ARCHITECTURES, configure, require_known
from minitransformer.models.shape import check_shape

Table = Annotated[dict[str, Any], tyro.conf.Suppress]
"""Settings that have no flag, only a table in a TOML file."""

Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff]

IN_TOML: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    str: "a string",
    str | None: "a string",
    Path | None: "a string",
    tuple[Path, ...]: "a list of strings",
    tuple[str, ...]: "a list of strings",
    Table: "a table",
    Switch: "true or false",
}

SHAPE = ("context", "layers", "heads", "width", "dropout")
"""Settings that every architecture has."""

FIXED = (
    "task",
    "task_options",
    "architecture",
    "model_options",
    "data",
    "seed",
    "tokenizer",
    "bpe_tokens",
    "context",
    "layers",
    "heads",
    "width",
    "dropout",
    "start_from",
    "freeze",
    "lora_rank",
    "lora_alpha",
    "lora_targets",
    "batch",
    "validation_fraction",
)
"""Settings that a run keeps for life."""


@dataclass(frozen=True)
class TrainConfig:
    """A training run: task, data, model, optimization, and how often to report.

    Raises
    ------
    InputError
        If a number is out of range or a name unknown.
    """

    task: str = "text"
    """What is learned, such as text (the next token), dates or tag."""
    task_options: Table = field(default_factory=dict)
    """Settings of this task alone."""
    architecture: str = "gpt"
    """What learns it, such as gpt, llama or encoder-decoder."""
    model_options: Table = field(default_factory=dict)
    """Settings of this architecture alone."""

    data: tuple[Path, ...] = ()
    """Text files or folders (UTF-8); by default the English that Python ships."""
    out: Path | None = None
    """Run folder to make; by default the next free number in runs/."""
    seed: int = 1
    """Of initial parameters, batches and dropout: the same seed gives the same run."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""
    device: str | None = None
    """Of the cuda backend: gpu (the default), or without one emulated, or simulated."""

    tokenizer: Literal["char", "bpe"] = "char"
    """Characters, or byte pairs learned from the text."""
    bpe_tokens: int = 1024
    """Size of the byte-pair vocabulary."""

    context: int = GPTConfig.context
    """Tokens that the model looks back at."""
    layers: int = GPTConfig.layers
    """Number of blocks."""
    heads: int = GPTConfig.heads
    """Attention heads of each block; must divide the width."""
    width: int = GPTConfig.width
    """Features of each position."""
    dropout: float = GPTConfig.dropout
    """Probability of dropping, while training."""

    start_from: Path | None = None
    """Run folder whose newest checkpoint gives the initial parameters, as far as names agree."""
    freeze: tuple[str, ...] = ()
    """Patterns of the names of parameters that stay as they are, such as blocks.0.*"""
    lora_rank: int = 0
    """Rank of the low-rank changes that are learned instead of whole matrices; 0 is off."""
    lora_alpha: float = 16.0
    """Weight of these changes, times 1 / rank."""
    lora_targets: tuple[str, ...] = ("*.query_key_value",)
    """Patterns of the names of linear layers that learn such a change."""

    steps: int = 800
    """Updates of the parameters."""
    batch: int = 12
    """Sequences per step."""
    accumulate: int = 1
    """Parts in which a batch is computed, one after the other, to need less memory."""
    shard_optimizer: Switch = False
    """Let each of several ranks remember the moments of its part of the parameters only."""
    schedule: Literal["cosine", "inverse-sqrt", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    learning_rate: float = 3e-3
    """Highest learning rate of AdamW, reached after the warm-up."""
    final_learning_rate: float = 3e-4
    """Learning rate at the last step, where the cosine ends; other schedules do not look at it."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate climbs."""
    weight_decay: float = 0.1
    """Of matrices, decoupled from the gradient."""
    beta2: float = 0.99
    """Memory of the squared gradient; beta1 is 0.9."""
    clip: float = 1.0
    """Greatest length of the gradient."""

    validation_fraction: float = 0.1
    """Share of the text, at its end, that is only measured on."""
    evaluate_every: int = 200
    """Steps between validation losses, samples and checkpoints."""
    evaluate_batches: int = 20
    """Batches per validation loss, spread over the validation text; the last one takes all."""
    patience: int = 0
    """Validations without a better loss after which training stops early; 0 is never."""

    def __post_init__(self) -> None:
        require_known("architecture", self.architecture, ARCHITECTURES)
        check_shape(**self._shape)
        counts = ("steps", "batch", "accumulate", "evaluate_every", "evaluate_batches")
        leasts = {"bpe_tokens": 256, "lora_rank": 0, "patience": 0} | dict.fromkeys(counts, 1)
        for name, least in leasts.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, expected {least} or more")
        for name in ("seed", "learning_rate", "final_learning_rate", "weight_decay", "lora_alpha"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}, expected 0 or more")
        if self.schedule == "cosine" and self.final_learning_rate > self.learning_rate:
            raise InputError(
                f"final_learning_rate is {self.final_learning_rate}, expected no more than "
                f"learning_rate ({self.learning_rate})"
            )
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup is {self.warmup}, expected 0 <= warmup < 1")
        if not self.clip > 0:
            raise InputError(f"clip is {self.clip}, expected more than 0")
        if not 0 <= self.beta2 < 1:
            raise InputError(f"beta2 is {self.beta2}, expected 0 <= beta2 < 1")

    @property
    def _shape(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SHAPE}

    def model(self, **known: Any) -> Any:
        """The shape of the model, once the task knows the rest, such as ``vocab_size``.

        Raises
        ------
        InputError
            If a model of this architecture cannot have this shape.
        """
        return configure(self.architecture, {**self._shape, **known, **self.model_options})

    def save(self, path: Path) -> None:
        """Write as TOML; what is not set is left out."""
        settings = {k: _to_toml(v) for k, v in asdict(self).items() if v is not None}
        with atomic_write(path) as file:
            tomli_w.dump(settings, file)


def check_fixed(saved: TrainConfig, config: TrainConfig) -> None:
    """See to it that a run goes on with the settings that it keeps for life.

    Raises
    ------
    InputError
        Naming the setting that differs.
    """
    for name in FIXED:
        old, new = getattr(saved, name), getattr(config, name)
        if old != new:
            if name == "data":
                old, new = (" ".join(map(str, paths)) or "the default text" for paths in (old, new))
            raise InputError(
                f"{name} is {new}, but this run began with {old}, which cannot change; start a new "
                "run instead"
            )


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file; what it does not set keeps its default.

    Raises
    ------
    InputError
        If the file is missing or not TOML, or a setting is unknown, of another type or out of
        range.
    """
    types = {setting.name: setting.type for setting in fields(TrainConfig)}
    settings = _read_toml(path)
    for name in settings:
        if name not in types:
            close = difflib.get_close_matches(name, types, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"{path} sets {name}, which is no setting{hint}")
    try:
        return TrainConfig(**{k: _from_toml(k, v, types[k]) for k, v in settings.items()})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _to_toml(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_toml(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _from_toml(name: str, value: Any, kind: Any) -> Any:
    match value:
        case bool():  # an integer to Python
            if kind == Switch:
                return value
        case int() | float() if kind is float:
            return float(value)
        case int() if kind is int:
            return value
        case str() if kind == Path | None:
            return Path(value)
        case str() if kind in (str, str | None) or value in get_args(kind):
            return value
        case [*items] if kind == tuple[Path, ...] and all(isinstance(i, str) for i in items):
            return tuple(map(Path, items))
        case [*items] if kind == tuple[str, ...] and all(isinstance(i, str) for i in items):
            return tuple(items)
        case dict() if kind == Table:
            return value
    expected = IN_TOML.get(kind) or " or ".join(map(repr, get_args(kind)))
    raise InputError(f"{name} is {value!r}, expected {expected}")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
