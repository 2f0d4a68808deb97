"""From flags to the frozen dataclass that configures a command."""

import inspect
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

T = TypeVar("T")


def parse(settings: type[T], command: str, arguments: Sequence[str], default: Any = None) -> T:
    """Fill a dataclass from flags; prints help or what is wrong, and exits, if asked or needed.

    Parameters
    ----------
    settings
        The dataclass; its docstring is the command's help.
    command
        Name of the command.
    arguments
        The flags.
    default
        What holds where there is no flag, if not the defaults of the dataclass.
    """
    config: T = tyro.cli(
        settings,
        prog=f"minitransformer {command}",
        description=inspect.getdoc(settings),
        args=list(arguments),
        default=default,
        config=(
            tyro.conf.AvoidSubcommands,
            tyro.conf.DisallowNone,
            tyro.conf.PositionalMetavarFromFieldName,
        ),
    )
    return config
