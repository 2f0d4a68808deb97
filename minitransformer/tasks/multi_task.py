"""Several tasks at once, on one trunk: how they are mixed, and what each weighs."""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from minitransformer.configuration import TrainConfig
from minitransformer.data import MultiTaskBatch
from minitransformer.errors import InputError
from minitransformer.models import ClassifierConfig, MultiTaskConfig, TokenLabellerConfig
from minitransformer.models.multitask import mix_batches
from minitransformer.tasks.base import TRUNKS, Task
from minitransformer.tasks.classify import ClassifyTask
from minitransformer.tasks.tag import TagTask
from minitransformer.tokenizers import load_tokenizer

PARTS: dict[str, type[Task]] = {"classify": ClassifyTask, "tag": TagTask}
"""What can be learned together."""

HEADS = {ClassifierConfig: "class", TokenLabellerConfig: "label"}


@dataclass(frozen=True)
class MultiTaskOptions:
    """What is learned together, and in what mixture.

    Raises
    ------
    InputError
        If a task is unknown.
    """

    tasks: tuple[str, ...] = tuple(PARTS)
    """Tasks that share a trunk."""
    weights: tuple[float, ...] = (1.0, 1.0)
    """Of each task's loss in the total."""
    shares: tuple[float, ...] = ()
    """Of the steps that each task gets; by default every step has a batch of every task."""
    labels: float = 1.0
    """As in the task ``classify``."""
    characters: int = 1_000_000
    """As in the task ``tag``."""

    def __post_init__(self) -> None:
        for task in self.tasks:
            if task not in PARTS:
                raise InputError(f"tasks has {task!r}, expected some of {', '.join(PARTS)}")


class MultiTaskTask(Task):
    """The tasks of :data:`PARTS` on one trunk.

    The run folder holds each in a folder of its own. They share a vocabulary: that of the run that
    this one starts from, or the one that the first task learns.
    """

    Options = MultiTaskOptions
    architectures: ClassVar[tuple[str, ...]] = TRUNKS

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(folder, config)
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.parts: dict[str, Any] = {
            name: PARTS[name](folder / name, own)
            for name, own in _configs(config, self.options).items()
        }

    @classmethod
    def prepare(cls, folder: Path, config: TrainConfig) -> None:
        """Prepare each task, with the vocabulary of the first."""
        for name, own in _configs(config, cls.read_options(config.task_options)).items():
            known = (folder / "tokenizer.json").exists()
            (folder / name).mkdir()
            PARTS[name].prepare(
                folder / name, dataclasses.replace(own, start_from=folder) if known else own
            )
            if not known:
                load_tokenizer(folder / name / "tokenizer.json").save(folder / "tokenizer.json")

    def model_config(self) -> MultiTaskConfig:
        shapes = {name: part.model_config() for name, part in self.parts.items()}
        return MultiTaskConfig(
            trunk=next(iter(shapes.values())).trunk,
            tasks=tuple(shapes),
            heads=tuple(HEADS[type(shape)] for shape in shapes.values()),
            outputs=tuple(shape.outputs for shape in shapes.values()),
            weights=self.options.weights,
            shares=self.options.shares,
        )

    def batch(self, step: int) -> MultiTaskBatch:
        sources = {name: part.batch for name, part in self.parts.items()}
        return mix_batches(self.model_config(), sources, self.config.seed, step)

    def validation(self, limit: int | None = None) -> Iterator[MultiTaskBatch]:
        """Batches of all tasks side by side; those of the shorter ones come to an end earlier."""
        batches = [part.validation(limit) for part in self.parts.values()]
        for row in itertools.zip_longest(*batches):
            named = zip(self.parts, row, strict=True)
            yield MultiTaskBatch({name: batch for name, batch in named if batch is not None})

    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """What the model makes of the held-out data of every task."""
        from minitransformer.evaluation import Together

        return Together(
            {name: part.outcomes(model.only(name), limit) for name, part in self.parts.items()}
        )

    def example(self, model: Any, length: int) -> str:
        """An example of every task."""
        return "\n".join(
            f"{name}: {part.example(model.only(name), length // len(self.parts))}"
            for name, part in self.parts.items()
        )

    def describe(self) -> str:
        return "\n".join(f"{name}: {part.describe()}" for name, part in self.parts.items())


def _configs(config: TrainConfig, options: MultiTaskOptions) -> dict[str, TrainConfig]:
    """The settings of each task: those of the run, and its own options."""
    own: dict[str, dict[str, Any]] = {
        "classify": {"labels": options.labels},
        "tag": {"characters": options.characters},
    }
    return {
        name: dataclasses.replace(config, task=name, task_options=own[name])
        for name in options.tasks
    }
