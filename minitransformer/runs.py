"""Run folders: a training run on disk, and how it begins, goes on and is used."""

import dataclasses
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minitransformer.backend import get_backend, set_backend
from minitransformer.checkpoints import (
    Checkpoint,
    checkpoint_files,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from minitransformer.configuration import TrainConfig, check_fixed, load_config
from minitransformer.data import (
    default_text,
    open_tokens,
    read_text,
    sample_batch,
    split,
    validation_batches,
    write_tokens,
)
from minitransformer.errors import InputError, NonFiniteError
from minitransformer.evaluation import mean_loss
from minitransformer.folders import check_free, make_folder
from minitransformer.models import GPT
from minitransformer.optim import AdamW
from minitransformer.records import Record, append_record, read_records, write_records
from minitransformer.schedules import warmup_cosine
from minitransformer.tokenizers import BPETokenizer, CharTokenizer, Tokenizer, load_tokenizer
from minitransformer.training import Step, first_non_finite, train

KEPT_CHECKPOINTS = 2


class Run:
    """A training run and its folder.

    ::

        config.toml       every setting
        tokenizer.json    text to tokens and back
        tokens.npy        the text, encoded
        metrics.jsonl     one record per step, and per validation
        checkpoints/      the two newest: model, optimizer, step

    Use :meth:`create` or :meth:`resume`.
    """

    def __init__(self, folder: Path, config: TrainConfig, checkpoint: Checkpoint | None) -> None:
        self.folder = folder
        self.config = config
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.tokens = open_tokens(folder / "tokens.npy")
        self.train_tokens, self.validation_tokens = split(self.tokens, config.validation_fraction)
        shape = config.model(self.tokenizer.vocab_size)
        if self.tokens.max() >= shape.vocab_size:
            raise InputError(
                f"{folder} is mixed up: tokens.npy has the id {self.tokens.max()}, tokenizer.json "
                f"only {shape.vocab_size} ids; put the right files back"
            )
        if checkpoint is None:
            self.model = GPT(shape, seed=config.seed)
        elif checkpoint.config == shape:
            self.model = checkpoint.build()
        else:
            raise InputError(
                f"{folder} is mixed up: its newest checkpoint is of another model, "
                f"{checkpoint.config}; config.toml and tokenizer.json say {shape}"
            )
        self.optimizer = AdamW(
            self.model.parameters(),
            config.learning_rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
        )
        self.step = 0
        if checkpoint is not None:
            self.optimizer.load_state_dict(checkpoint.optimizer)
            self.step = checkpoint.step

    @classmethod
    def create(cls, config: TrainConfig) -> "Run":
        """Make the run folder, with the text encoded and the untrained model saved.

        Raises
        ------
        InputError
            If the text is unusable or the folder exists; nothing is left behind then.
        """
        select_backend(config.backend)
        check_free(config.out)
        text = read_text(config.data) if config.data else default_text()
        tokenizer: Tokenizer = (
            CharTokenizer.train(text)
            if config.tokenizer == "char"
            else BPETokenizer.train(text, config.bpe_tokens)
        )
        tokens = np.asarray(tokenizer.encode(text))
        _check_length(tokens, config)
        folder = make_folder(config.out)
        try:
            write_tokens(folder / "tokens.npy", tokens, tokenizer.vocab_size)
            tokenizer.save(folder / "tokenizer.json")
            config = _resolved(config, folder)
            config.save(folder / "config.toml")
            run = cls(folder, config, None)
            run.save()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return run

    @classmethod
    def resume(cls, folder: Path, config: TrainConfig) -> "Run":
        """Go on from the newest checkpoint, bit for bit if ``config`` is what the run began with.

        Raises
        ------
        InputError
            If the folder is not a run's, a file in it is damaged, or a setting cannot change;
            nothing is written then.
        """
        select_backend(config.backend)
        config = _resolved(config, folder)
        check_fixed(saved_config(folder), config)
        checkpoint = load_checkpoint(newest_checkpoint(folder))
        if config.steps < checkpoint.step:
            raise InputError(
                f"steps is {config.steps}, but this run has taken {checkpoint.step} already"
            )
        run = cls(folder, config, checkpoint)
        kept = [record for record in run.metrics() if record["index"] <= run.step]
        for unfinished in folder.rglob("*.tmp"):
            unfinished.unlink()
        config.save(folder / "config.toml")
        write_records(run._metrics_file, kept)
        return run

    @property
    def _metrics_file(self) -> Path:
        return self.folder / "metrics.jsonl"

    def steps(self) -> Iterator[Step]:
        """Train to the last step, writing each step's record."""
        c = self.config
        peak, floor, warmup = c.learning_rate, c.final_learning_rate, c.warmup * c.steps
        for step in train(
            self.model,
            self.optimizer,
            lambda i: sample_batch(self.train_tokens, c.batch, c.context, c.seed, i),
            lambda i: warmup_cosine(i, peak, warmup, c.steps, floor),
            c.steps,
            start=self.step,
            clip=c.clip,
            seed=c.seed,
        ):
            self.step = step.index
            append_record(self._metrics_file, dataclasses.asdict(step))
            yield step

    def validate(self, limit: int | None = None) -> float:
        """Mean loss on the validation text, in nats per token; also written as a record.

        Raises
        ------
        NonFiniteError
            If the loss is NaN or infinite.
        """
        c = self.config
        loss = mean_loss(
            self.model, validation_batches(self.validation_tokens, c.batch, c.context, limit)
        )
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"step {self.step}: the validation loss is {loss}; {first_non_finite(self.model)}"
            )
        record = {"index": self.step, "validation_loss": loss}
        if record not in self.metrics()[-1:]:  # else a finished run was resumed
            append_record(self._metrics_file, record)
        return loss

    def metrics(self) -> list[Record]:
        """All records so far: one per step, and one per validation."""
        return read_records(self._metrics_file)

    def save(self) -> None:
        """Write a checkpoint; the one before it stays until the next."""
        folder = self.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        save_checkpoint(
            folder / f"step-{self.step:08d}.safetensors", self.step, self.model, self.optimizer
        )
        for old in checkpoint_files(self.folder)[:-KEPT_CHECKPOINTS]:
            old.unlink()


def load_run(folder: Path) -> tuple[GPT, Tokenizer]:
    """The model of the newest checkpoint, and its tokenizer.

    Raises
    ------
    InputError
        If the folder is not a run's, or its tokenizer or newest checkpoint is damaged.
    """
    checkpoint = load_checkpoint(newest_checkpoint(folder))
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    if tokenizer.vocab_size != checkpoint.config.vocab_size:
        raise InputError(
            f"{folder} is mixed up: tokenizer.json has {tokenizer.vocab_size} ids, the model of "
            f"the newest checkpoint {checkpoint.config.vocab_size}; put the right files back"
        )
    return checkpoint.build(), tokenizer


def saved_config(folder: Path) -> TrainConfig:
    """The settings of a run.

    Raises
    ------
    InputError
        If the folder is not a run's or its settings are damaged.
    """
    newest_checkpoint(folder)
    return load_config(folder / "config.toml")


def select_backend(name: str | None) -> None:
    """Select the backend that was asked for, or the fastest on a CPU.

    Parameters
    ----------
    name
        If None, what ``MINITRANSFORMER_BACKEND`` says, or else numba where it can be imported:
        it may not know the newest NumPy or Python yet.

    Raises
    ------
    InputError
        If there is no backend of this name.
    """
    asked_for = name or os.environ.get("MINITRANSFORMER_BACKEND")
    try:
        set_backend(asked_for or "numba")
    except ValueError as error:
        raise InputError(str(error)) from error
    except ImportError:
        if asked_for:
            raise
        set_backend("numpy")


def _resolved(config: TrainConfig, folder: Path) -> TrainConfig:
    """The settings as they are saved: none depends on the working directory or environment."""
    return dataclasses.replace(
        config,
        data=tuple(path.resolve() for path in config.data),
        out=folder.resolve(),
        backend=get_backend(),
    )


def _check_length(tokens: np.ndarray, config: TrainConfig) -> None:
    smaller = min(map(len, split(tokens, config.validation_fraction)))
    if smaller <= config.context:
        raise InputError(
            f"the text has {len(tokens)} tokens, too few for a context of {config.context}: with "
            f"validation_fraction {config.validation_fraction} one part has {smaller}, expected "
            f"{config.context + 1} or more. Give a longer text or a smaller context."
        )
