"""``minitransformer cuda``."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from minitransformer.cli.flags import parse
from minitransformer.emulator.gpus import GPUS, Gpu, occupancy
from minitransformer.emulator.measuring import Measurement
from minitransformer.emulator.observers import Observer
from minitransformer.emulator.ptxas import find_ptxas, resources
from minitransformer.emulator.reporting import KernelReport, lines
from minitransformer.errors import InputError
from minitransformer.placement import DEVICE_VARIABLE

USAGE = """\
usage: minitransformer cuda report LADDER [--gpu NAME]

what GPUs would make of the kernels of a ladder, from the bottom up, without a GPU

examples:
  minitransformer cuda report softmax
  minitransformer cuda report matmul --gpu H100
"""


@dataclass(frozen=True)
class ReportConfig:
    """Run each rung of a ladder in the emulator, and print what hardware would have counted.

    Bytes, conflicts, divergence and instructions come from executing the PTX that the compiler
    emits for the GPU; registers and spills from its assembler; the roofline and occupancy from
    data sheets. Nothing is timed. Bugs, such as data races, are listed below the table.

    Examples
    --------
      minitransformer cuda report softmax
      minitransformer cuda report matmul --gpu H100
    """

    ladder: Annotated[str, tyro.conf.Positional]
    """matmul, softmax, layer_norm or attention."""
    gpu: str = "A100"
    """T4, A100 or H100."""


def main(arguments: list[str]) -> int:
    """Print the report; 1 if a kernel has a bug."""
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if command != "report":
        raise InputError(f"cuda has no command {command!r}, expected report")
    config = parse(ReportConfig, "cuda report", rest)
    gpu = _known("gpu", config.gpu, GPUS)
    find_ptxas()
    os.environ[DEVICE_VARIABLE] = "emulated"
    from minitransformer.backends.cuda.ladders import LADDERS

    ladder = _known("ladder", config.ladder, LADDERS)()
    console = Console(highlight=False)
    reports = {}
    with Console(stderr=True).status("") as status:
        for name, rung in ladder.rungs.items():
            status.update(f"running {name}")
            reports[name] = _watched(rung.run, gpu)
    console.print(ladder.title, markup=False)
    _print(console, reports, gpu)
    for name, rung in ladder.rungs.items():
        console.print(f"{name}: {rung.story}", markup=False, soft_wrap=True)
    bugs = [
        f"{name}, {kernel.name}: {bug}"
        for name, kernels in reports.items()
        for kernel in kernels
        for bug in kernel.measured.bugs
    ]
    for bug in bugs:
        console.print(bug, markup=False, soft_wrap=True)
    return int(bool(bugs))


def _known(what: str, name: str, table: dict[str, Any]) -> Any:
    if name not in table:
        raise InputError(f"{what} is {name!r}, expected one of {', '.join(table)}")
    return table[name]


def _watched(work: Callable[[], object], gpu: Gpu) -> list[KernelReport]:
    """Reports on the kernels that some work launches."""
    from minitransformer.backends.cuda.device import current_device

    device: Any = current_device()
    reports = []

    def watch(kernel: Any, grid: Any, block: tuple[int, int, int]) -> tuple[Observer, ...]:
        x, y, z = block
        taken = resources(kernel.ptx(gpu.capability), gpu.capability)
        held = occupancy(gpu, x * y * z, taken.registers, taken.shared)
        reports.append(KernelReport(kernel.name, Measurement(), taken, held))
        return reports[-1].measured.observers

    device.watch = watch
    try:
        work()
    finally:
        device.watch = None
    return reports


def _print(console: Console, reports: dict[str, list[KernelReport]], gpu: Gpu) -> None:
    columns = [lines(kernels, gpu) for kernels in reports.values()]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(gpu.name, no_wrap=True)
    for rung in reports:
        table.add_column(rung, justify="right")
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    console.print(table)
