"""Several tasks at once on one trunk: the total loss is a weighted sum of theirs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer.data import EncoderBatch, MultiTaskBatch
from minitransformer.errors import InputError
from minitransformer.models.bert import check_sequences
from minitransformer.models.head_parts import ClassHead, LabelHead, NumberHead, SpanHead
from minitransformer.models.heads import HeadedCache, TrunkConfig, build_trunk
from minitransformer.nn import Module, flatten_parameters, generator

HEADS = {"class": ClassHead, "label": LabelHead, "number": NumberHead, "span": SpanHead}
MIXING_STREAM = 0x3117
"""Keeps the choice of tasks apart from other random numbers of the same seed and step."""


@dataclass(frozen=True)
class MultiTaskConfig:
    """A trunk, its tasks, how much each weighs in the loss, and how often it comes.

    Raises
    ------
    InputError
        If there is no task, one is named twice, the lists differ in length, a head is unknown, or
        a number is out of range.
    """

    trunk: TrunkConfig
    """The shape of the trunk; all heads have its width and dropout."""
    tasks: tuple[str, ...]
    """Names of the tasks."""
    heads: tuple[str, ...]
    """The head of each: class, label, number or span."""
    outputs: tuple[int, ...]
    """Classes or labels of each; 1 for a number, 2 for a span."""
    weights: tuple[float, ...]
    """Of each task's loss in the total."""
    shares: tuple[float, ...] = ()
    """Of the steps that each task gets; by default every step has a batch of every task."""

    def __post_init__(self) -> None:
        for name in ("tasks", "heads", "outputs", "weights", "shares"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if len(values) != len(self.tasks) and (values or name != "shares"):
                raise InputError(f"{name} is {values}, expected one for each of {self.tasks}")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise InputError(f"tasks is {self.tasks}, expected one or more, all different")
        if unknown := set(self.heads) - set(HEADS):
            raise InputError(f"heads has {sorted(unknown)}, expected {', '.join(HEADS)}")
        if min(self.outputs) < 1 or min(self.weights) < 0 or min(self.shares, default=1) < 0:
            raise InputError("outputs must be 1 or more, weights and shares 0 or more")
        if self.shares and not sum(self.shares):
            raise InputError("shares are all 0, expected a task that gets a step")

    @property
    def vocab_size(self) -> int:
        return self.trunk.vocab_size

    @property
    def context(self) -> int:
        return self.trunk.context


class MultiTaskCache(NamedTuple):
    """What the backward of a step needs, by task."""

    parts: dict[str, HeadedCache]
    weights: dict[str, float]


def mix_batches(
    config: MultiTaskConfig,
    sources: Mapping[str, Callable[[int], EncoderBatch]],
    seed: int,
    step: int,
) -> MultiTaskBatch:
    """The batches of one step: of every task, or of one that is drawn by the shares.

    Parameters
    ----------
    config
        Has the shares.
    sources
        For each task the function from a step to its batch.
    seed, step
        The same two numbers always draw the same task.
    """
    tasks = config.tasks
    if config.shares:
        rng = np.random.default_rng([MIXING_STREAM, seed, step])
        p = np.array(config.shares) / sum(config.shares)
        tasks = (tasks[rng.choice(len(tasks), p=p)],)
    return MultiTaskBatch({task: sources[task](step) for task in tasks})


class MultiTask(Module):
    """One trunk, a head for each task.

    Parameters
    ----------
    config
        The shape of all.
    seed
        Of the initial parameters.
    dtype
        float32, or float64 to prove gradients.

    References
    ----------
    Caruana (1997), Multitask Learning; Liu et al. (2019), MT-DNN, arXiv:1901.11504.
    """

    def __init__(
        self, config: MultiTaskConfig, seed: int = 0, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = config
        trunk = config.trunk
        self.trunk = build_trunk(trunk, seed, dtype)
        self.weights = dict(zip(config.tasks, config.weights, strict=True))
        self.heads = {
            task: HEADS[head](
                trunk.width,
                outputs,
                generator(seed, 1 + i),
                dropout=trunk.dropout,
                dtype=dtype,
            )
            for i, (task, head, outputs) in enumerate(
                zip(config.tasks, config.heads, config.outputs, strict=True)
            )
        }
        flatten_parameters(self.parameters())

    def __call__(
        self, task: str, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, HeadedCache]:
        """Scores of one task's head.

        Raises
        ------
        InputError
            If the task is unknown, or the batch or a sequence is empty or too long.
        """
        if task not in self.heads:
            raise InputError(f"task {task!r} is unknown; expected one of {', '.join(self.heads)}")
        check_sequences(batch, self.config.context)
        x, trunk = self.trunk.hidden(batch, rng)
        scores, head = self.heads[task](x, batch, rng)
        return scores, HeadedCache(trunk, head)

    def loss(
        self, batch: MultiTaskBatch, rng: np.random.Generator | None = None
    ) -> tuple[Any, MultiTaskCache]:
        """Sum of weight times mean loss over the tasks that the batch has."""
        total, caches = 0.0, {}
        weights = {task: self.weights[task] * batch.weights.get(task, 1.0) for task in batch.parts}
        for task, part in batch.parts.items():
            scores, cache = self(task, part, rng)
            loss, loss_cache = self.heads[task].loss(scores, part)
            total += weights[task] * float(loss)
            caches[task] = cache._replace(loss=loss_cache)
        return total, MultiTaskCache(caches, weights)

    def backward(self, cache: MultiTaskCache, dloss: float = 1.0) -> None:
        """Add the gradients of all parameters, times ``dloss``; those of the trunk add up."""
        for task, part in cache.parts.items():
            head = self.heads[task]
            dscores = head.backward_loss(dloss * cache.weights[task], part.loss)
            dx = head.backward(dscores, part.head)
            if self.trunk.learns():
                self.trunk.backward_hidden(dx, part.trunk)

    def only(self, task: str) -> "OneTask":
        """One of the tasks, as if there were no other."""
        return OneTask(self, task)


class OneTask:
    """A model of several tasks that is asked for one: scores of a batch, as a headed model's."""

    def __init__(self, model: MultiTask, task: str) -> None:
        self.config = model.config
        self._model, self._task = model, task

    def __call__(
        self, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, HeadedCache]:
        """Score a batch; its targets are not looked at."""
        return self._model(self._task, batch, rng)
