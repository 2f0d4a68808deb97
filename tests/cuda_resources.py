"""What every kernel takes of a GPU, by NVIDIA's own assembler; no GPU is needed to ask it.

``python -m tests.cuda_resources`` writes the table anew, with the ``cuda`` extra installed.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

TABLE = Path(__file__).with_name("cuda_resources.json")
GPUS = {"sm_80": (8, 0), "sm_90": (9, 0)}
"""An A100 and an H100; both run the PTX that was made for the former."""
COMPILERS = ("numba-cuda", "nvidia-nvvm", "nvidia-cuda-nvcc")
WARP = 32

Table = dict[str, dict[str, dict[str, int]]]
"""Kernel, GPU, what: number."""


def kernels():
    """All kernels of the backend by name."""
    import minitransformer.backends.cuda  # noqa: F401  (defines them)
    from minitransformer.backends.cuda.kernel import KERNELS

    own = [each for each in KERNELS if each.function.__module__.startswith("minitransformer.")]
    names = [each.name for each in own]
    assert len(set(names)) == len(names), "two kernels have one name"
    return {each.name: each for each in own}


def measured() -> Table:
    """Compile every kernel to machine code."""
    found = kernels()
    ptx = {name: kernel.ptx() for name, kernel in sorted(found.items())}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(ptx, pool.map(_taken, ptx.values()), strict=True))


def _taken(ptx: str) -> dict[str, dict[str, int]]:
    from minitransformer.emulator.ptxas import resources

    taken = {}
    for gpu, capability in GPUS.items():
        got = resources(ptx, capability)
        taken[gpu] = {
            "registers": got.registers,
            "shared": got.shared,
            "spilled": got.spill_bytes,
            "stack": got.stack,
        }
    return taken


def versions() -> dict[str, str]:
    """Of what compiles kernels."""
    return {name: metadata.version(name) for name in COMPILERS}


def write() -> None:
    """Replace the table."""
    table = {"compilers": versions(), "kernels": measured()}
    new = TABLE.with_suffix(".new")
    new.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8", newline="\n")
    os.replace(new, TABLE)


if __name__ == "__main__":
    os.environ.setdefault("MINITRANSFORMER_CUDA_DEVICE", "emulated")
    write()
    print(f"{TABLE} is written")
