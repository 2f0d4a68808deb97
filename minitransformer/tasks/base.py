"""What every task can do: prepare its data, hand out batches, and measure success."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from minitransformer.configuration import TrainConfig
from minitransformer.data import AnyBatch
from minitransformer.errors import InputError
from minitransformer.models.registry import require_known

DECODERS = ("gpt", "llama", "transformer-lm")
"""Architectures that predict the next token."""

TRUNKS = ("bert", *DECODERS)
"""Architectures that a head can stand on."""


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """Of a task that has no settings of its own."""


class Task(ABC):
    """What a run learns from, and how its success is measured.

    A task keeps its data in the run folder and has no other state: what it draws depends on the
    run's seed and the step alone.

    Parameters
    ----------
    folder
        Run folder, prepared.
    config
        Settings of the run.

    Raises
    ------
    InputError
        If a file in the folder is missing or damaged, or a setting does not fit the task.
    """

    Options: ClassVar[type[Any]] = NoOptions
    """Frozen dataclass of the task's own settings, each with a default."""

    architectures: ClassVar[tuple[str, ...]]
    """What can learn it, by the names of the registry."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.folder = folder
        self.config = config
        self.options = self.read_options(config.task_options)

    @classmethod
    @abstractmethod
    def prepare(cls, folder: Path, config: TrainConfig) -> None:
        """Write all that the run will need, data and vocabulary, into its new folder.

        Raises
        ------
        InputError
            If there is no usable data for these settings.
        """

    @abstractmethod
    def model_config(self) -> Any:
        """The shape of the model that can learn this."""

    @abstractmethod
    def batch(self, step: int) -> AnyBatch:
        """The batch of one training step, counted from 0; a step always has the same."""

    @abstractmethod
    def validation(self, limit: int | None = None) -> Iterator[AnyBatch]:
        """Batches that are never trained on; with a limit, that many, spread over the data."""

    @abstractmethod
    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """What the model makes of the data that is never trained on, example by example."""

    def measure_on(self, data: Sequence[Path]) -> None:
        """Let other files take the place of the data that is never trained on.

        Raises
        ------
        InputError
            If a file cannot be read, is too short, or this task has data of its own only.
        """
        raise InputError(
            f"the task {self.config.task} has data of its own, and cannot be measured on "
            f"{', '.join(map(str, data))}; leave --data out"
        )

    @abstractmethod
    def example(self, model: Any, length: int) -> str:
        """Something that the model can do by now, in about ``length`` tokens."""

    @abstractmethod
    def describe(self) -> str:
        """The data, in a line or two."""

    def levels(self) -> dict[str, float]:
        """Losses that are reached without a model, by name, in nats."""
        return {}

    @classmethod
    def read_options(cls, table: Mapping[str, Any]) -> Any:
        """The task's settings from a table of a TOML file; what it does not set has its default.

        Raises
        ------
        InputError
            If a setting is unknown, of another type than its default, or out of range.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(cls.Options)}
        given = {}
        for name, value in table.items():
            require_known("the option", name, defaults)
            given[name] = _converted(name, value, defaults[name])
        return cls.Options(**given)


def _converted(name: str, value: Any, default: Any) -> Any:
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        kind = "list" if isinstance(default, tuple) else type(default).__name__
        raise InputError(f"the option {name} is {value!r}, expected a {kind}, such as {default!r}")
    return value
