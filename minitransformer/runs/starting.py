"""What happens before the first step: a folder with data, and ranks that agree."""

import dataclasses
import hashlib
import platform
import shutil
from importlib import metadata
from pathlib import Path

import numpy as np

from minitransformer import __version__
from minitransformer.backend import get_backend
from minitransformer.configuration import TrainConfig
from minitransformer.distributed import Communicator, require_agreement
from minitransformer.errors import InputError
from minitransformer.folders import check_free, make_folder
from minitransformer.models.registry import require_known
from minitransformer.tasks import TASKS

DATA = (".json", ".npy", ".tsv")
"""Endings of the files in a run folder that hold its data."""


def prepare(config: TrainConfig) -> Path:
    """Make a run folder with the task's data and all settings, or leave nothing behind."""
    check_free(config.out)
    require_known("task", config.task, TASKS)
    task = TASKS[config.task]
    if config.architecture not in task.architectures:
        raise InputError(
            f"a model of architecture {config.architecture} cannot learn the task {config.task}; "
            f"expected {' or '.join(task.architectures)}"
        )
    folder = make_folder(config.out)
    try:
        task.prepare(folder, config)
        resolved(config, folder).save(folder / "config.toml")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def require_same_start(comm: Communicator, config: TrainConfig) -> None:
    """See to it that all ranks have the same program and settings.

    Raises
    ------
    InputError
        On every rank, naming what differs.
    """
    versions = {
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "Numba": metadata.version("numba"),
    }
    facts = {f"the version of {name}": version for name, version in versions.items()}
    facts["the version of minitransformer"] = __version__
    facts["the backend"] = get_backend()
    facts |= {name: str(value) for name, value in dataclasses.asdict(config).items()}
    require_agreement(comm, facts)


def resolved(config: TrainConfig, folder: Path) -> TrainConfig:
    """The settings as they are saved: none depends on the working directory or environment."""
    return dataclasses.replace(
        config,
        data=tuple(path.resolve() for path in config.data),
        out=folder.resolve(),
        start_from=config.start_from and config.start_from.resolve(),
        backend=get_backend(),
        device=None,
    )


def require_same_data(comm: Communicator, folder: Path) -> None:
    """See to it that all ranks see the run folder, with the same data in it.

    Raises
    ------
    InputError
        On every rank, naming the file that differs.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in DATA)
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in files
    }
    names = comm.exchange(digests)[0]
    require_agreement(comm, {f"the file {name} in {folder}": digests.get(name) for name in names})
