"""``minitransformer gradcheck``."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from minitransformer.backend import backends, get_backend
from minitransformer.cli.flags import parse
from minitransformer.errors import InputError
from minitransformer.testing import MODELS, Row, check_all, checkable


@dataclass(frozen=True)
class GradcheckConfig:
    """Prove gradients: hold every op and every model to the gradient laws, and print a table.

    Each op is tried with many inputs: masks, ragged lengths, strides, extreme values. Exit status
    1 if a law is broken.

    Examples
    --------
      minitransformer gradcheck
      minitransformer gradcheck --only attention softmax --seed 7
      minitransformer gradcheck --models
      minitransformer gradcheck --backends numpy numba
    """

    only: tuple[str, ...] = field(default_factory=lambda: tuple(checkable()))
    """Names of ops, functions and models to check."""
    models: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Check all models, and nothing else."""
    backends: tuple[str, ...] = field(default_factory=lambda: (get_backend(),))
    """Whose kernels to check; by default MINITRANSFORMER_BACKEND's, or else the textbook's."""
    seed: int = 0
    """Of the inputs, cotangents and directions."""


def main(arguments: list[str]) -> int:
    """Print the verdicts; 1 if a law is broken."""
    config = parse(GradcheckConfig, "gradcheck", arguments)
    _require_known("only", config.only, checkable())
    _require_known("backends", config.backends, backends())
    names = tuple(MODELS) if config.models else config.only
    console = Console(highlight=False)
    rows: list[Row] = []
    with console.status("checking") as status:
        for backend in config.backends:
            for row in check_all(names, backend, config.seed):
                status.update(f"checked {row.name}, {backend}, {row.dtype}")
                rows.append(row)
    _print(console, rows)
    return int(any(not row.passed for row in rows))


def _require_known(flag: str, given: tuple[str, ...], known: list[str]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(f"--{flag} {unknown[0]} is unknown, expected some of {', '.join(known)}")


def _print(console: Console, rows: list[Row]) -> None:
    table = Table("op or model", "backend", "dtype", "worst relative error", "verdict")
    table.columns[3].justify = "right"
    for row in rows:
        verdict = "[green]right[/green]" if row.passed else "[red]WRONG[/red]"
        table.add_row(row.name, row.backend, row.dtype, f"{row.error:.1e}", verdict)
    console.print(table)
    for row in rows:
        if not row.passed:
            where = f"{row.name} ({row.backend}, {row.dtype})"
            console.print(f"\n{where}: {row.verdict}", markup=False, soft_wrap=True)
    wrong = sum(not row.passed for row in rows)
    console.print(f"{wrong} of {len(rows)} wrong" if wrong else f"all {len(rows)} right")
