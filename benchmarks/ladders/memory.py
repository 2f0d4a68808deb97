"""How much memory a function takes at its peak, whoever allocates it.

``python -m benchmarks.ladders.memory RUNG`` prints, for attention's rung of that number, by how
many bytes the process grew at each length. A peak never falls again, so it needs a process of its
own, and lengths in rising order.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.ladders import attention

LENGTHS = (512, 1024, 2048, 4096, 8192)
WIDTH = 64
STATUS = Path("/proc/self/status")


def table() -> dict[str, dict[str, int]]:
    """Bytes by which a process grew, for the first and the last rung, one head, each length.

    Empty where the system does not tell: Linux does.
    """
    if not STATUS.exists():
        return {}
    rungs = attention.ladder().rungs
    return {rungs[n].title: _in_own_process(n) for n in (0, len(rungs) - 1)}


def _in_own_process(rung: int) -> dict[str, int]:
    command = [sys.executable, "-m", "benchmarks.ladders.memory", str(rung)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    grown: dict[str, int] = json.loads(finished.stdout)
    return grown


def growth(rung: int) -> dict[str, int]:
    """Bytes by which this process grows, by length."""
    function = attention.ladder().rungs[rung].function
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((3, 1, 1, length, WIDTH), np.float32) for length in LENGTHS]
    function(*inputs[0][:, :, :, : LENGTHS[0] // 4])  # load the code
    start = _peak()
    grown = {}
    for length, (q, k, v) in zip(LENGTHS, inputs, strict=True):
        function(q, k, v)
        grown[str(length)] = _peak() - start
    return grown


def _peak() -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(kibibytes)


if __name__ == "__main__":
    print(json.dumps(growth(int(sys.argv[1]))))
