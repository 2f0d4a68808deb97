"""What real GPUs can do, by their data sheets: for the roofline, and for occupancy."""

import math
from dataclasses import dataclass

WARP = 32


@dataclass(frozen=True)
class Gpu:
    """Limits of a GPU.

    References
    ----------
    Speeds: NVIDIA, "T4 Tensor Core GPU" (2019), "A100 Tensor Core GPU" (2021, 80 GB SXM), "H100
    Tensor Core GPU" (2023, SXM) data sheets. Limits of a multiprocessor: NVIDIA, "CUDA C++
    Programming Guide", technical specifications per compute capability.
    """

    name: str
    capability: tuple[int, int]
    """Major and minor number of what its machine code is compiled for."""
    multiprocessors: int
    teraflops: float
    """10^12 float32 operations a second, a fused multiply-add counting as two."""
    bandwidth: float
    """10^9 bytes a second between global memory and the multiprocessors."""
    warps: int
    """That a multiprocessor keeps in flight."""
    blocks: int
    """That a multiprocessor keeps in flight."""
    shared: int
    """Bytes of shared memory of a multiprocessor."""
    reserved: int
    """Bytes of it that each block costs beyond its own."""
    registers: int = 65536
    """Of a multiprocessor."""

    @property
    def ridge(self) -> float:
        """Operations for each byte above which arithmetic is the limit, not memory."""
        return 1000 * self.teraflops / self.bandwidth


GPUS = {
    "T4": Gpu("T4", (7, 5), 40, 8.1, 320, 32, 16, 65536, 0),
    "A100": Gpu("A100", (8, 0), 108, 19.5, 2039, 64, 32, 167936, 1024),
    "H100": Gpu("H100", (9, 0), 132, 67.0, 3350, 64, 32, 233472, 1024),
}


@dataclass(frozen=True)
class Occupancy:
    """How many of the warps that a multiprocessor could hold it does hold."""

    warps: int
    of: int
    limit: str
    """What there is not more of: ``warps``, ``blocks``, ``registers`` or ``shared memory``."""

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.warps / self.of


def occupancy(gpu: Gpu, threads: int, registers: int, shared: int) -> Occupancy:
    """Blocks wait until one multiprocessor has room for all their warps.

    Parameters
    ----------
    gpu
    threads
        Of a block.
    registers
        Of a thread; they are handed out to warps in pieces of 256.
    shared
        Bytes of a block; they are handed out in pieces of 128.
    """
    warps = math.ceil(threads / WARP)
    of_a_warp = math.ceil(max(registers, 1) * WARP / 256) * 256
    room = {
        "warps": gpu.warps // warps,
        "blocks": gpu.blocks,
        "registers": gpu.registers // of_a_warp // 4 * 4 // warps,
    }
    if shared:
        room["shared memory"] = gpu.shared // (math.ceil(shared / 128) * 128 + gpu.reserved)
    limit = min(room, key=lambda what: room[what])
    return Occupancy(room[limit] * warps, gpu.warps, limit)


@dataclass(frozen=True)
class Roofline:
    """The least time that a GPU can need: for the operations or for the bytes.

    References
    ----------
    Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
    multicore architectures" (2009).
    """

    gpu: Gpu
    flops: int
    nbytes: int

    @property
    def intensity(self) -> float:
        """Operations for each byte."""
        return self.flops / max(self.nbytes, 1)

    @property
    def seconds(self) -> float:
        """No kernel with so many operations and bytes is faster."""
        arithmetic = self.flops / (self.gpu.teraflops * 1e12)
        return max(arithmetic, self.nbytes / (self.gpu.bandwidth * 1e9))

    @property
    def teraflops(self) -> float:
        """The speed in that time."""
        return self.flops / max(self.seconds, 1e-30) / 1e12

    @property
    def bound(self) -> str:
        """What limits: ``arithmetic`` or ``memory``."""
        return "arithmetic" if self.intensity > self.gpu.ridge else "memory"
