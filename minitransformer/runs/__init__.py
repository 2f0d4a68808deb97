"""Run folders: a training run on disk, and how it begins, goes on and is used."""

from minitransformer.runs.run import Run
from minitransformer.runs.using import load_run, saved_config, select_backend

__all__ = ["Run", "load_run", "saved_config", "select_backend"]
