# %% [markdown]
# # 18 · A GPU without a GPU: ten thousand threads, and what they do to memory
#
# **The question.** A GPU runs your program in thousands of threads at once. It is a hundred times
# as fast as a core, or no faster at all, or *wrong on Tuesdays*. What decides? And how does one
# learn it without a GPU?
#
# Kernels are compiled to **PTX**, an assembly language that NVIDIA documents. The compiler needs no
# GPU. On this page the PTX is *executed* by an emulator: slowly, but it sees everything that
# hardware hides: each access to memory, each thread that waits, each race. Nothing here is a time.
#
# Before this: chapter 01 (softmax), 06 (attention), 17 (two roofs).

# %%
import importlib.util
import os
import subprocess
import sys

os.environ["MINITRANSFORMER_CUDA_DEVICE"] = "emulated"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    what = "minitransformer[cuda,notebooks]"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", what], check=True)

import re

import numpy as np
from numba import cuda, float32

from minitransformer import ops, show, use_backend
from minitransformer.backends.cuda.arrays import empty, to_device
from minitransformer.backends.cuda.attention import attention_forward
from minitransformer.backends.cuda.attention_composed import forward, probabilities
from minitransformer.backends.cuda.device import current_device
from minitransformer.backends.cuda.kernel import device_kernel
from minitransformer.backends.cuda.ladders import LADDERS
from minitransformer.data import Batch
from minitransformer.emulator import EmulationError
from minitransformer.emulator.gpus import GPUS, Roofline
from minitransformer.emulator.measuring import Measurement
from minitransformer.models import GPT, GPTConfig
from minitransformer.optim import AdamW

np.set_printoptions(precision=3, suppress=True)
rng = np.random.default_rng(0)
device = current_device()


def watched(work):
    """Do some work on the device; what was seen meanwhile, kernel after kernel."""
    seen = []

    def watch(kernel, grid, block):
        seen.append(Measurement())
        return seen[-1].observers

    device.watch = watch
    try:
        work()
    finally:
        device.watch = None
    return seen


def told(problem):
    """An error or a bug, without the name that a notebook's cell has as a file."""
    return re.sub(r"\S+\.py:(\d+)", r"line \1 of the cell", str(problem))


# %% [markdown]
# ## Which one am I?
#
# There is one program, the **kernel**, and every thread runs it. Threads come in *blocks* of one
# size; a thread asks for the number of its block, and for its own within the block. That is all the
# difference there is between them.


# %%
@device_kernel("float32[::1], float32[::1], float32[::1]")
def add(a, b, y):
    """One thread, one element."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < y.size:
        y[i] = a[i] + b[i]


a, b = rng.standard_normal((2, 1000), np.float32)
y = empty((1000,))
add.launch(8, 128, to_device(a), to_device(b), y)  # 8 blocks of 128 threads
assert np.array_equal(y.to_host(), a + b)
print("right")

# %% [markdown]
# 8 blocks of 128 are 1,024 threads, for 1,000 elements. `if i < y.size` sends the last 24 home.
# **Predict:** what happens without it? (On hardware, usually nothing, until it does.)


# %%
@device_kernel("float32[::1], float32[::1]")
def copy_all(x, y):
    """Forget that the last block is not full."""
    i = cuda.grid(1)  # short for the sum above
    y[i] = x[i]


try:
    copy_all.launch(8, 128, to_device(a), y)
except EmulationError as error:
    print(told(error).split("; instruction")[0])

# %% [markdown]
# 104 + 7 · 128 = 1,000: the first thread that is one too many, and the line it stood in.
#
# ## What the machine is told
#
# Here is `add` as PTX: what a thread executes, one instruction a line. Find `blockIdx.x`, the
# comparison, the two loads, the sum, the store. All else works out addresses.

# %%
text = add.ptx()
body = text[text.index("\n{") : text.index("\n}")]
keep = r"%\w*tid|%ctaid|mul\.wide|add\.s64 \t%rd1,|setp|bra|global\.f32|add\.f32"
for line in body.splitlines():
    if re.search(keep, line):
        print(line.strip().replace("\t", " "))

# %% [markdown]
# The `if` became a jump, for those threads that are beyond the end (`@%p1 bra`).
#
# ## Warps, and the 32 bytes that travel
#
# A GPU does not start threads one by one. 32 of a block, a **warp**, share one instruction: when
# they load, 32 addresses go to memory *together*. Memory delivers in **sectors** of 32 bytes, so
# what counts is not how many numbers a warp wants but in how many sectors they lie.
#
# **By hand first.** A warp reads 32 float32 numbers, 128 bytes, each `stride` places after the
# last. How many sectors are that for a stride of 1, 2, 4, 8, 32? Which part of what travels was
# asked for?


# %%
@device_kernel("float32[::1], float32[::1], int64")
def gather(x, y, stride):
    """Read every ``stride``-th number."""
    i = cuda.grid(1)
    y[i] = x[i * stride]


x, y = to_device(np.zeros(32 * 1024, np.float32)), empty((1024,))
print("stride   sectors of a warp   of use")
for stride in (1, 2, 4, 8, 32):
    (seen,) = watched(lambda stride=stride: gather.launch(4, 256, x, y, stride))
    loads = seen.traffic.total("ld")
    print(f"{stride:>6}{loads.sectors_per_request:>20.0f}{loads.efficiency:>9.0%}")

# %% [markdown]
# From a stride of 8 on it can get no worse: a sector for each number, an eighth of it of use. The
# same holds for rows: **neighbouring threads must read neighbouring numbers** (*coalescing*). A
# thread for each row looks natural, and is that worst case.
#
# ## One instruction for 32 threads: what about `if`?


# %%
@device_kernel("float32[::1], float32[::1], int64")
def two_ways(x, y, run):
    """Halve some numbers and double the others; they take turns in runs of ``run``."""
    i = cuda.grid(1)
    if (i // run) % 2 == 0:
        for _ in range(20):
            y[i] = 0.5 * x[i]
    else:
        for _ in range(20):
            y[i] = 2.0 * x[i]


print("run   instructions of warps   lanes switched on")
for run in (1, 16, 32, 64):
    (seen,) = watched(lambda run=run: two_ways.launch(4, 256, x, y, run))
    print(f"{run:>3}{seen.mix.by_warps.sum():>24}{seen.mix.lane_efficiency:>20.0%}")

# %% [markdown]
# Where threads of *one* warp differ, the warp goes both ways, one after the other, with half of its
# lanes switched off. Where whole warps differ (runs of 32 or more), nothing is lost. So an `if`
# costs nothing, but an `if` that splits warps costs both of its sides.
#
# ## Shared memory has 32 doors
#
# The threads of a block have a small memory in common. It is made of 32 **banks**; neighbouring
# numbers lie in neighbouring banks, and each bank serves one number at a time. 32 lanes that want
# 32 numbers from 32 banks are served at once. If all want the *same* bank, they queue.
#
# To transpose a tile, write rows and read columns. **Predict:** in a tile of 32 by 32, in which
# bank lie the numbers of a column? And if every row is made one number longer?


# %%
def transpose_with(row_length):
    """Kernel that transposes 32 by 32 numbers through a tile with rows of this length."""

    @device_kernel("float32[:, ::1], float32[:, ::1]")
    def transpose(x, y):
        tile = cuda.shared.array((32, row_length), float32)
        row, column = cuda.threadIdx.y, cuda.threadIdx.x
        tile[row, column] = x[row, column]
        cuda.syncthreads()
        y[row, column] = tile[column, row]

    return transpose


square = rng.standard_normal((32, 32)).astype(np.float32)
for length in (32, 33):
    y = empty((32, 32))
    transpose = transpose_with(length)
    (seen,) = watched(lambda y=y, k=transpose: k.launch(1, (32, 32), to_device(square), y))
    assert np.array_equal(y.to_host(), square.T)
    passes = seen.banks.total()
    print(f"rows of {length}: {passes.requests} requests of warps, {passes.passes} passes")

# %%
banks = {n: (n * np.arange(32)[:, None] + np.arange(32)) % 32 for n in (32, 33)}
show.heatmap(
    np.stack([banks[n][:12] for n in (32, 33)]), "bank of each number", ("", "row", "column")
)

# %% [markdown]
# Above, rows of 32: a column is one colour, one bank, 32 passes. Below, rows of 33: each row is moved
# on by one, and a column meets every bank once. One number of padding in each row, that nobody ever
# reads, and 16 times fewer passes.
#
# ## The barrier, and what happens without it
#
# `syncthreads` in the middle is not decoration. The number that a thread reads was written by
# *another thread*. Leave it out:


# %%
@device_kernel("float32[:, ::1], float32[:, ::1]")
def transpose_in_a_hurry(x, y):
    """Read what others may not have written yet."""
    tile = cuda.shared.array((32, 33), float32)
    row, column = cuda.threadIdx.y, cuda.threadIdx.x
    tile[row, column] = x[row, column]
    y[row, column] = tile[column, row]


y = empty((32, 32))
(seen,) = watched(lambda: transpose_in_a_hurry.launch(1, (32, 32), to_device(square), y))
print("result right:", np.array_equal(y.to_host(), square.T))
for bug in seen.bugs:
    print(told(bug))

# %% [markdown]
# **The result is right**, here, this time: the emulator happened to let all write before any read.
# Hardware may, or may not. No test on results can find this. But a race is a property of the
# *program*: two threads, one place, one of them writes, and no barrier between. That is what the
# emulator looks for.
#
# Too many barriers are a mistake as well, if not all threads come to them:


# %%
@device_kernel("float32[::1], float32[::1]")
def sum_by_halves(x, total):
    """Add up 256 numbers: the upper half to the lower, again and again."""
    shared = cuda.shared.array(256, float32)
    thread = cuda.threadIdx.x
    shared[thread] = x[thread]
    cuda.syncthreads()
    half = 128
    while half > 0:
        if thread < half:
            shared[thread] += shared[thread + half]
            cuda.syncthreads()
        half //= 2
    if thread == 0:
        total[0] = shared[0]


numbers, total = rng.standard_normal(256).astype(np.float32), empty((1,))
(seen,) = watched(lambda: sum_by_halves.launch(1, 256, to_device(numbers), total))
print("sum right:", np.allclose(total.to_host(), numbers.sum()))
print(told(seen.bugs[0]))

# %% [markdown]
# The barrier is inside the `if`: threads that have nothing to add never reach it. NVIDIA calls what
# follows *undefined*. Move it out by one level, as in `minitransformer.backends.cuda.reductions`.
#
# ## A ladder: softmax
#
# Chapter 17 said what is to be had: softmax does few operations for each byte, so it is as fast as
# its traffic. Four kernels, from the obvious one up (`minitransformer/backends/cuda/softmax.py`
# tells their story). This is what the command line prints:

# %%
report = [sys.executable, "-m", "minitransformer", "cuda", "report", "softmax"]
plain = os.environ | {"FORCE_COLOR": "", "COLUMNS": "100"}
print(subprocess.run(report, env=plain, capture_output=True, check=True, encoding="utf-8").stdout)

# %% [markdown]
# Read the line *times each byte*: 16, because each thread walks along a row of its own (a stride of
# 1,000); 2, with neighbours for neighbours; 1.5, when maximum and sum are found in one walk; 1.00
# when a warp keeps its row in registers: **no kernel can move less.** The last lines say what that
# costs: registers, of which a multiprocessor has 65,536 for all the threads it holds.
#
# ## The ladder of the matrix product
#
# 256 by 256: 33.5 million operations on 0.8 MB. **On paper:** how many operations for each byte, if
# each number were fetched once? And if each multiply-add fetches its two numbers anew? An A100 can
# do 19.5 · 10¹² operations and move 2.0 · 10¹² bytes a second: what do the two ways allow?

# %%
a100 = GPUS["A100"]
print(f"{'':>20}{'MB moved':>10}{'operations a byte':>20}{'TFLOP/s at most':>18}{'fma':>6}")
for name, rung in LADDERS["matmul"]().rungs.items():
    (seen,) = watched(rung.run)
    roof = Roofline(a100, seen.mix.flops, seen.moved_bytes)
    share = seen.mix.inner_share("fma")
    print(f"{name:>20}{seen.moved_bytes / 1e6:>10.1f}{roof.intensity:>20.1f}", end="")
    print(f"{roof.teraflops:>18.1f}{share:>6.0%}")

# %% [markdown]
# Each rung fetches a number once for *more* threads, or for more of a thread's sums: from a byte for
# every half operation to one for 25. Then memory is no longer what limits, and the last column is:
# of the instructions in the inner loop, how many are the multiply-adds that one came for?
# (`minitransformer/backends/cuda/matmul.py`, from the top.)
#
# ## Attention, longer and longer
#
# Chapter 06's attention writes its T by T probabilities to memory and reads them again. The fused
# kernel ("flash") keeps a tile of them at a time, and recomputes in backward. **Predict** how the
# bytes grow with T, for each.

# %%
no_mask = to_device(np.ones((1, 1, 1, 1), np.bool_))
moved = {"composed": [], "fused": []}
for T in (64, 128, 256):
    q, k, v = (to_device(rng.standard_normal((1, 1, T, 64)).astype(np.float32)) for _ in range(3))
    ways = {
        "composed": lambda q=q, k=k, v=v: forward(
            probabilities(q, k, no_mask, False, False, 0.125), v, None, 0.0
        ),
        "fused": lambda q=q, k=k, v=v: attention_forward(q, k, v),
    }
    for name, work in ways.items():
        moved[name].append((T, sum(seen.least_bytes for seen in watched(work)) / 1e3))
show.curves(
    {"composed": ("backward", moved["composed"]), "fused": ("forward", moved["fused"])},
    "T",
    "kilobytes, each kernel's once",
    log_x=True,
)

# %% [markdown]
# (Counted: each sector once a kernel, as if the cache were perfect within it.) Twice as long is
# twice as many bytes for the fused kernel, and towards four times as many for the other.
#
# ## A whole model
#
# Every op has such kernels, and `model.to("cuda")` moves the parameters once. Then a training step
# is a few hundred launches, and all that comes back to the host is the loss.

# %%
config = GPTConfig(vocab_size=17, context=16, layers=2, heads=2, width=32)
tokens = rng.integers(0, 17, (2, 17))
batch = Batch(tokens[:, :-1], tokens[:, 1:])


def three_steps(backend, place):
    """Losses of three training steps, and how many kernels were launched."""
    launches, losses = [], []
    device.watch = lambda kernel, grid, block: launches.append(kernel.name) or ()
    with use_backend(backend):
        model = GPT(config, seed=0).to(place)
        optimizer = AdamW(model.parameters(), lr=0.01)
        for _ in range(3):
            model.zero_grad()
            loss, cache = model.loss(batch)
            model.backward(cache)
            optimizer.step()
            losses.append(float(loss))
    device.watch = None
    return losses, launches


on_host, _ = three_steps("numpy", "cpu")
on_device, launches = three_steps("cuda", "cuda")
print("NumPy:       ", on_host)
print("the emulator:", on_device)
print(f"{len(launches) / 3:.0f} launches a step, of {len(set(launches))} different kernels")

# %% [markdown]
# ## A mistake that no result shows, again
#
# Softmax's rows may hold `-inf`: masked scores. A kernel that forgets `above` and writes
# `exp(x - top)` gives `exp(-inf + inf)` for a row that is masked altogether: NaN, which spreads.
# The mask contract of chapter 01 holds on the device too:

# %%
scores = np.full((2, 40), -np.inf, np.float32)
scores[0, :3] = (1.0, 2.0, 3.0)
with use_backend("cuda"):
    probs, _ = ops.softmax_forward(scores)
print(probs.to_host()[:, :5])

# %% [markdown]
# ## Your turn
#
# - `minitransformer exercises` → **vector_add**, **softmax_blocks**, **matmul_shared**: write them
#   for the simulator.
# - Repair `transpose_in_a_hurry` and `sum_by_halves`, and let the emulator say that they are.
# - `minitransformer cuda report layer_norm`: why does its top rung read no byte twice and still
#   move a little more than the least?
# - On paper: the tile of `transpose_with(34)`. How many passes?
# - `minitransformer train --backend cuda --device emulated` trains on it. Why is it so slow, and why
#   does that not matter here?
#
# ## Further reading
#
# - NVIDIA, *CUDA C++ Programming Guide*; *Parallel Thread Execution ISA*: the language above.
# - Harris (2007), *Optimizing Parallel Reduction in CUDA*, NVIDIA: a ladder of seven rungs.
# - Volkov (2010), *Better Performance at Lower Occupancy*, GPU Technology Conference.
# - Williams, Waterman, Patterson (2009), *Roofline*, Communications of the ACM 52.
# - Dao et al. (2022), *FlashAttention*, arXiv:2205.14135.
# - Lam, Pitrou, Seibert (2015), *Numba: A LLVM-based Python JIT Compiler*, LLVM-HPC.
