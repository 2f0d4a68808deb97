"""A training run on disk, and how it begins, goes on and is used."""

import dataclasses
import hashlib
import itertools
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from minitransformer import placement
from minitransformer.backend import get_backend
from minitransformer.checkpoints import (
    Checkpoint,
    checkpoint_files,
    checkpoint_path,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from minitransformer.configuration import TrainConfig, check_fixed, load_config
from minitransformer.distributed import (
    Communicator,
    DataParallel,
    LocalComm,
    Replicated,
    Sharded,
    first_rank,
    require_agreement,
)
from minitransformer.errors import InputError, NonFiniteError
from minitransformer.evaluation import has_stalled, mean_loss
from minitransformer.finetuning import adapt, copy_parameters
from minitransformer.models.registry import build
from minitransformer.optim import AdamW
from minitransformer.records import Record, append_record, read_records, write_records
from minitransformer.runs.starting import (
    prepare,
    require_same_data,
    require_same_start,
    resolved,
)
from minitransformer.runs.using import saved_config, select_backend
from minitransformer.schedules import constant, warmup_cosine, warmup_inverse_sqrt
from minitransformer.tasks import TASKS
from minitransformer.training import Step, first_non_finite, train

KEPT_CHECKPOINTS = 2


class Run:
    """A training run and its folder.

    ::

        config.toml       every setting
        metrics.jsonl     one record per step, and per validation
        checkpoints/      the two newest: model, optimizer, step

    and what its task needs, such as tokenizer.json and tokens.npy. Use :meth:`create` or
    :meth:`resume`. Several ranks that share a run all see its folder; rank 0 alone writes to it.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        checkpoint: Checkpoint | None,
        comm: Communicator | None = None,
    ) -> None:
        self.folder = folder
        self.config = config
        self.comm = comm or LocalComm()
        self.task = TASKS[config.task](folder, config)
        shape = self.task.model_config()
        if checkpoint is not None and checkpoint.config != shape:
            raise InputError(
                f"{folder} is mixed up: its newest checkpoint is of another model, "
                f"{checkpoint.config}; its settings and data say {shape}"
            )
        self.model = build(shape, seed=config.seed)
        if checkpoint is None and config.start_from is not None:
            copy_parameters(self.model, config.start_from)
        adapt(self.model, config)
        if checkpoint is not None:
            self.model.load_state_dict(checkpoint.parameters)
        self.model.to(_place(self.comm))
        self.optimizer = AdamW(
            self.model.parameters(),
            config.learning_rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
        )
        strategy = Sharded if config.shard_optimizer else Replicated
        self.ranks: DataParallel = strategy(self.comm, self.optimizer.size)
        self.optimizer.own(self.ranks.owned)
        self.step = 0
        if checkpoint is not None:
            self.optimizer.load_state_dict(checkpoint.optimizer)
            self.step = checkpoint.step

    @classmethod
    def create(cls, config: TrainConfig, comm: Communicator | None = None) -> "Run":
        """Make the run folder, with the task's data and the untrained model saved.

        Raises
        ------
        InputError
            If the data is unusable or the folder exists; nothing is left behind then.
        """
        comm = comm or LocalComm()
        select_backend(config.backend, config.device)
        require_same_start(comm, config)
        folder = Path(first_rank(comm, lambda: str(prepare(config))))
        try:
            require_same_data(comm, folder)
            run = cls(folder, load_config(folder / "config.toml"), None, comm)
            run.save()
        except BaseException:
            if comm.rank == 0:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return run

    @classmethod
    def resume(cls, folder: Path, config: TrainConfig, comm: Communicator | None = None) -> "Run":
        """Go on from the newest checkpoint, bit for bit if ``config`` is what the run began with.

        Raises
        ------
        InputError
            If the folder is not a run's, a file in it is damaged, or a setting cannot change;
            nothing is written then.
        """
        comm = comm or LocalComm()
        select_backend(config.backend, config.device)
        require_same_start(comm, config)
        config = resolved(config, folder)
        check_fixed(saved_config(folder), config)
        checkpoint = load_checkpoint(newest_checkpoint(folder))
        if config.steps < checkpoint.step:
            raise InputError(
                f"steps is {config.steps}, but this run has taken {checkpoint.step} already"
            )
        require_same_data(comm, folder)
        run = cls(folder, config, checkpoint, comm)
        first_rank(comm, run._tidy)
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The run as its newest checkpoint left it, to look at; nothing is written.

        Raises
        ------
        InputError
            If the folder is not a run's, or a file in it is damaged.
        """
        return cls(folder, saved_config(folder), load_checkpoint(newest_checkpoint(folder)))

    def _tidy(self) -> None:
        """Make the folder what it was at the step that the run goes on from."""
        kept = [record for record in self.metrics() if record["index"] <= self.step]
        for unfinished in self.folder.rglob("*.tmp"):
            unfinished.unlink()
        self.config.save(self.folder / "config.toml")
        write_records(self._metrics_file, kept)

    @property
    def _metrics_file(self) -> Path:
        return self.folder / "metrics.jsonl"

    def steps(self) -> Iterator[Step]:
        """Train to the last step, writing each step's record."""
        c = self.config
        for step in train(
            self.model,
            self.optimizer,
            self.task.batch,
            self.learning_rate,
            c.steps,
            start=self.step,
            clip=c.clip,
            accumulate=c.accumulate,
            seed=c.seed,
            ranks=self.ranks,
        ):
            self.step = step.index
            if self.comm.rank == 0:
                append_record(self._metrics_file, dataclasses.asdict(step))
            yield step

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 1."""
        c = self.config
        peak, warmup = c.learning_rate, max(c.warmup * c.steps, 1.0)
        match c.schedule:
            case "cosine":
                return warmup_cosine(step, peak, c.warmup * c.steps, c.steps, c.final_learning_rate)
            case "inverse-sqrt":
                return warmup_inverse_sqrt(step, 1, warmup, factor=peak * math.sqrt(warmup))
            case "constant":
                return constant(step, peak) * min(step / warmup, 1.0)

    def validate(self, limit: int | None = None) -> float:
        """Mean loss on data that is never trained on, in nats; also written as a record.

        Raises
        ------
        NonFiniteError
            If the loss is NaN or infinite.
        """
        batches = itertools.islice(
            self.task.validation(limit), self.comm.rank, None, self.comm.size
        )
        loss = mean_loss(self.model, batches, self.comm)
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"step {self.step}: the validation loss is {loss}; {first_non_finite(self.model)}"
            )
        first_rank(self.comm, lambda: self._record(loss))
        return loss

    def _record(self, validation_loss: float) -> None:
        record = {"index": self.step, "validation_loss": validation_loss}
        if record not in self.metrics()[-1:]:  # else a finished run was resumed
            append_record(self._metrics_file, record)

    def metrics(self) -> list[Record]:
        """All records so far: one per step, and one per validation."""
        return read_records(self._metrics_file)

    def save(self) -> None:
        """Write a checkpoint; the one before it stays until the next."""
        bits = hashlib.sha256()
        for parameter in self.model.parameters():
            bits.update(placement.to_host(parameter.data))
        require_agreement(self.comm, {f"parameters after step {self.step}": bits.hexdigest()})
        state = self.ranks.gather(self.optimizer.state_dict())
        first_rank(self.comm, lambda: self._write_checkpoint(state))

    def _write_checkpoint(self, optimizer: Mapping[str, np.ndarray]) -> None:
        path = checkpoint_path(self.folder, self.step)
        path.parent.mkdir(exist_ok=True)
        save_checkpoint(path, self.step, self.model, optimizer)
        for old in checkpoint_files(self.folder)[:-KEPT_CHECKPOINTS]:
            if not self.config.patience or old != checkpoint_path(self.folder, self._best_step()):
                old.unlink()

    def has_stalled(self) -> bool:
        """Whether ``patience`` validations in succession brought nothing."""

        def decide() -> bool:
            losses = [loss for _, loss in self._validations()]
            return has_stalled(losses, self.config.patience)

        return first_rank(self.comm, decide)

    def rewind(self) -> None:
        """Go back to the step with the best validation loss; what came after is dropped."""
        path = checkpoint_path(self.folder, first_rank(self.comm, self._best_step))
        checkpoint = load_checkpoint(path)
        self.model.load_state_dict(checkpoint.parameters)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.step = checkpoint.step
        first_rank(self.comm, lambda: self._drop_after(path))

    def _drop_after(self, path: Path) -> None:
        for later in checkpoint_files(self.folder):
            if later > path:
                later.unlink()

    def _best_step(self) -> int:
        validations = self._validations()
        return min(validations, key=lambda step_loss: step_loss[1])[0] if validations else 0

    def _validations(self) -> list[tuple[int, float]]:
        """Steps and losses of all validations so far."""
        found = [record for record in self.metrics() if "validation_loss" in record]
        return [(record["index"], record["validation_loss"]) for record in found]


def _place(comm: Communicator) -> str:
    place = placement.place_of(get_backend())
    if comm.size > 1 and place != placement.HOST:
        raise InputError(
            f"{comm.size} ranks were started, but the {get_backend()} backend trains with one "
            "process alone; start it without mpiexec, or choose the backend numba"
        )
    return place
