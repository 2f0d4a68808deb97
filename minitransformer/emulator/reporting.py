"""What was measured of a kernel, as lines of a table: nothing here depends on the clock."""

from collections.abc import Sequence
from dataclasses import dataclass

from minitransformer.emulator.gpus import Gpu, Occupancy, Roofline
from minitransformer.emulator.measuring import Measurement
from minitransformer.emulator.observers.banks import Passes
from minitransformer.emulator.observers.traffic import Requests
from minitransformer.emulator.ptxas import Resources


@dataclass(frozen=True)
class KernelReport:
    """One kernel of a run: its counters, and what it takes of a multiprocessor."""

    name: str
    measured: Measurement
    resources: Resources
    occupancy: Occupancy


def lines(kernels: Sequence[KernelReport], gpu: Gpu) -> dict[str, str]:
    """Name and value of everything that is known about kernels that together do some work.

    Bytes are what the warps ask for, in whole sectors; ``cached`` is what is left of them if a
    cache never forgets.
    """
    measured = [kernel.measured for kernel in kernels]
    heaviest = max(kernels, key=lambda kernel: kernel.measured.mix.by_warps.sum())
    taken = heaviest.resources
    return {
        "kernels": str(len(kernels)),
        "float32 operations": short(sum(m.mix.flops for m in measured)),
        **_instructions(measured, heaviest.measured),
        **_global_memory(measured),
        **_shared_memory(measured),
        **_roofline(measured, gpu),
        "registers of a thread": str(max(k.resources.registers for k in kernels)),
        "bytes spilled": str(sum(k.resources.spill_bytes for k in kernels)),
        "shared bytes of a block": short(taken.shared),
        f"occupancy of the {gpu.name}": f"{heaviest.occupancy.share:.0%}",
        "  blocks limited by": heaviest.occupancy.limit,
        "bugs": str(sum(len(m.bugs) for m in measured)),
    }


def _instructions(measured: Sequence[Measurement], heaviest: Measurement) -> dict[str, str]:
    executed = sum(int(m.mix.by_warps.sum()) for m in measured)
    threads = sum(int(m.mix.by_threads.sum()) for m in measured)
    branches = sum(m.divergence.branches.total() for m in measured)
    divergent = sum(m.divergence.divergent.total() for m in measured)
    return {
        "instructions of warps": short(executed),
        "lanes switched on": f"{threads / max(32 * executed, 1):.0%}",
        "divergent branches": f"{divergent / max(branches, 1):.1%}",
        "fma in the inner loop": f"{heaviest.mix.inner_share('fma'):.0%}",
    }


def _global_memory(measured: Sequence[Measurement]) -> dict[str, str]:
    total = sum((m.traffic.total() for m in measured), start=Requests())
    moved, least = (sum(getattr(m, f"{w}_bytes") for m in measured) for w in ("moved", "least"))
    return {
        "global bytes moved": short(moved),
        "  times each byte": f"{moved / max(least, 1):.2f}",
        "  sectors of a request": f"{total.sectors_per_request:.1f}",
        "  coalescing": f"{total.efficiency:.0%}",
    }


def _shared_memory(measured: Sequence[Measurement]) -> dict[str, str]:
    total = sum((m.banks.total() for m in measured), start=Passes())
    return {"shared memory passes": short(total.passes), "  bank conflicts": short(total.conflicts)}


def _roofline(measured: Sequence[Measurement], gpu: Gpu) -> dict[str, str]:
    flops = sum(m.mix.flops for m in measured)
    found = {}
    for kept, which in (("", "moved_bytes"), (", cached", "least_bytes")):
        roof = Roofline(gpu, flops, sum(getattr(m, which) for m in measured))
        found[f"operations a byte{kept}"] = f"{roof.intensity:.2f}"
        found[f"  TFLOP/s at most{kept}"] = f"{roof.teraflops:.2f}"
        found[f"  limited by{kept}"] = roof.bound
    return found


def short(number: int) -> str:
    """Four digits at least, in millions or thousands where there are more."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if letter == 'k' else size):.2f} {letter}"
    return str(number)
