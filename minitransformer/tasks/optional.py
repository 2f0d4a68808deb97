"""Packages that only some tasks need."""

import importlib
from typing import Any

from minitransformer.errors import InputError


def import_or_explain(module: str, package: str) -> Any:
    """Import a module of a package that may not be installed.

    Raises
    ------
    InputError
        Saying what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f'this task needs {package}; install it with: pip install "minitransformer[tasks]"'
        ) from error
