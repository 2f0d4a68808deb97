# %% [markdown]
# # 17 · Making it fast: who is waiting for whom?
#
# **The question.** Two programs compute the same numbers, by the same formula, on the same machine.
# One takes fifty times as long. *Where is the time?* And how fast could it be at all, before one
# has written a line?
#
# Before this: chapter 01 (softmax), 06 (attention), 10 (Adam). Everything runs on **one core**
# here, so that what is counted is what one sees.

# %%
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import math
from time import perf_counter

import numpy as np
from numba import njit

from minitransformer import ops, show, use_backend
from minitransformer.backends.numba import flash_forward
from minitransformer.backends.numba.math import exp
from minitransformer.ladders.loops import softmax_online, softmax_rows
from minitransformer.show.sources import source
from minitransformer.testing.trees import named_arrays

np.set_printoptions(precision=3, suppress=True)
rng = np.random.default_rng(0)


def fastest(function, *args, patience=0.2):
    """Seconds of the fastest call, of as many as there is patience for; the first compiles."""
    function(*args)
    end, times = perf_counter() + patience, []
    while len(times) < 3 or perf_counter() < end:
        began = perf_counter()
        function(*args)
        times.append(perf_counter() - began)
    return min(times)


# %% [markdown]
# ## Two roofs
#
# A core can do two things: **compute**, and **fetch numbers** to compute with. Each has a greatest
# speed, and both can be measured: the best matrix product, and the best walk through an array that
# no cache can hold. (To read a float32 is 4 bytes through memory. To change it where it is, 8. To
# write one elsewhere, 8 as well: a cache fetches a line before it changes it.)

# %%
SIDE = 384
a, b, c = np.ones((3, SIDE, SIDE), np.float32)
FLOPS = 2 * SIDE**3 / fastest(lambda: np.matmul(a, b, out=c))
x = np.ones(8_000_000, np.float32)
BANDWIDTH = 8 * x.size / fastest(lambda: np.negative(x, out=x), patience=0.5)
print(f"{FLOPS / 1e9:.0f} G operations a second; {BANDWIDTH / 1e9:.0f} GB a second")
print(f"in the time of one number from memory: {4 * FLOPS / BANDWIDTH:.0f} operations")

# %% [markdown]
# (All times on this page were measured on the machine that built it, perhaps while it had other
# things to do. Run it on yours.)
#
# So *a program that does fewer operations than that with each number it fetches is waiting for
# memory*, and cleverer arithmetic will not help it. How many operations it does for each byte is
# its **intensity**; that is counted on paper.
#
# ## By hand first: one step of Adam
#
# N parameters p with gradients g and two running means m and v (chapter 10).
#
#     m = β₁ m + (1 − β₁) g        v = β₂ v + (1 − β₂) g²        p = p − η m / (√v + ε)
#
# **Predict before you run:** how many bytes must go through memory for each parameter, at least?
# How many operations is that? Which roof is it under, and how long must it take for 8 million?

# %%
READ, UPDATE, WRITE = 4, 8, 8
N = 8_000_000
least = READ + 3 * UPDATE  # g is read; m, v and p are read and written back
print(f"{least} bytes and 12 operations: {12 / least:.2f} operations a byte")
print(f"at best {1e3 * max(least / BANDWIDTH, 12 / FLOPS) * N:.1f} ms")

# %% [markdown]
# Now NumPy, as on paper. **Predict** its time, by counting the walks: every operation on arrays
# reads its operands and writes a result that is *forgotten at once*.

# %%
p, g, m, v = rng.standard_normal((4, N), np.float32)
v = np.abs(v)


def adam_in_numpy(p, g, m, v):
    """As in the paper."""
    m[:] = 0.9 * m + 0.1 * g
    v[:] = 0.999 * v + 0.001 * g * g
    p -= 1e-3 * m / (np.sqrt(v) + 1e-8)


new = READ + WRITE  # an operation that makes an array
into = READ + UPDATE  # one whose result takes the place of an operand
walks = (2 * new + 2 * into) + (2 * new + 3 * into) + (2 * new + UPDATE + 2 * into)  # m, v, p
numpy_time = fastest(adam_in_numpy, p, g, m, v)
predicted = walks / BANDWIDTH * N
print(f"{walks} bytes a parameter: {1e3 * predicted:.0f} ms; measured {1e3 * numpy_time:.0f} ms")

# %% [markdown]
# (Where it takes even longer: the memory of a new array comes from the operating system, page by
# page, and that costs as well.)
#
# ## Fusing: a kernel of four lines
#
# Numba compiles loops to machine code. A loop costs next to nothing there, so one loop can do *all*
# of it to one parameter before it turns to the next: every number is loaded once, and what is
# forgotten never leaves the core.
#
# **Predict:** how much faster? The second version differs by one thing: the constants are float32,
# like the arrays. (`0.9` in Python has 64 bits.) Does that matter?


# %%
@njit(error_model="numpy")
def adam_loop(p, g, m, v):
    """All operations on one parameter, then on the next."""
    for i in range(p.size):
        m[i] = 0.9 * m[i] + 0.1 * g[i]
        v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i]
        p[i] -= 1e-3 * m[i] / (math.sqrt(v[i]) + 1e-8)


B1, B2, RATE, EPS, ONE = map(np.float32, (0.9, 0.999, 1e-3, 1e-8, 1.0))


@njit(error_model="numpy")
def adam_loop_32(p, g, m, v):
    """The same, in 32 bits throughout."""
    for i in range(p.size):
        m[i] = B1 * m[i] + (ONE - B1) * g[i]
        v[i] = B2 * v[i] + (ONE - B2) * g[i] * g[i]
        p[i] -= RATE * m[i] / (np.sqrt(v[i]) + EPS)


points = {"Adam": [(12 / walks, 12 * N / numpy_time)]}
print(f"NumPy, as in the paper     {1e3 * numpy_time:5.1f} ms")
textbook = fastest(lambda: ops.adamw_step.impls["numpy"](p, g, m, v, 10, 1e-3))
print(f"NumPy, piece by piece      {1e3 * textbook:5.1f} ms   (the library's textbook)")
for name, kernel in {"one loop": adam_loop, "one loop, float32": adam_loop_32}.items():
    seconds = fastest(kernel, p, g, m, v)
    points["Adam"].append((12 / least, 12 * N / seconds))
    print(
        f"{name:26} {1e3 * seconds:5.1f} ms   {least * N / seconds / BANDWIDTH:.0%} of the bandwidth"
    )

# %% [markdown]
# Four lines, and several times faster than NumPy; the best possible, nearly, and **we knew the
# limit before we began**. A constant in 64 bits widens everything that it touches: vectors hold
# half as many numbers, and roots take longer.
#
# (If it says more than 100 %, the roof was measured at a bad moment: a roof is the best that was
# seen, not a law.)
#
# The line between: NumPy on pieces that fit in a cache saves the walks too, without any compiler.
#
# ## A surprise, measured: the loop that lost
#
# Encouraged, we do the same to softmax. In NumPy it is five walks, 44 bytes a number; in loops a
# row of 4 KB stays in the nearest cache, and 12 are left. The library's own teaching kernel:

# %%
print(source(softmax_rows))

# %% [markdown]
# **Predict:** how many times faster than NumPy is it?

# %%
scores = 4 * rng.standard_normal((2048, 1024), np.float32)


def softmax_in_numpy(x):
    """As in chapter 01, without the mask."""
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


points["softmax"] = []
for name, kernel, moved in (("NumPy", softmax_in_numpy, 44), ("loops", softmax_rows, 12)):
    seconds = fastest(kernel, scores)
    points["softmax"].append((5 / moved, 5 * scores.size / seconds))
    print(f"{name:6} {1e3 * seconds:6.1f} ms, {1e9 * seconds / scores.size:5.2f} ns a number")

# %% [markdown]
# **Slower.** (On your machine, perhaps, no faster.) Fewer bytes, and slower; so memory was not the
# limit, or is not any more. The loop waits for something else, and there are two suspects:
# `np.exp`, called for one number at a time; and the **sum**, in which every addition waits for the
# one before it. Ask the second one alone.
#
# `fastmath` allows the compiler to reorder additions: to keep eight or sixteen partial sums side by
# side. Not one line differs.


# %%
def total(x):
    """Add up."""
    result = np.float32(0)
    for i in range(x.size):
        result += x[i]
    return result


REORDER = {"reassoc", "contract", "arcp", "afn", "nsz"}  # but NaN and infinity keep their meaning
numbers = rng.random(100_000, np.float32)
exact = math.fsum(numbers)
for name, kernel in {"in order": njit(total), "reordered": njit(fastmath=REORDER)(total)}.items():
    seconds = fastest(kernel, numbers)
    off = abs(float(kernel(numbers)) - exact) / exact
    print(f"{name:10} {1e9 * seconds / numbers.size:.3f} ns a number, error {off:.0e}")

# %% [markdown]
# An addition takes about four cycles, though a core could start two additions of eight numbers in
# each one. Programming languages promise *your* order, since rounding would differ. It does:
# reordered is **more** accurate, as short sums round less.
#
# Now the other suspect: an `exp` made of plain arithmetic, which the compiler can look into. One
# function, compiled twice: with the new `exp` alone, and with leave to reorder as well.


# %%
def softmax(x):
    """Softmax of every row; each row is finished before the next is begun."""
    y = np.empty_like(x)
    for n in range(x.shape[0]):
        top = x[n, 0]
        for j in range(1, x.shape[1]):
            top = x[n, j] if x[n, j] > top else top
        total = np.float32(0)
        for j in range(x.shape[1]):
            y[n, j] = exp(x[n, j] - top)
            total += y[n, j]
        share = 1 / total
        for j in range(x.shape[1]):
            y[n, j] *= share
    return y


in_order = njit(error_model="numpy")(softmax)
in_lanes = njit(error_model="numpy", fastmath=REORDER)(softmax)
for name, kernel in {"new exp": in_order, "and reordered": in_lanes}.items():
    seconds = fastest(kernel, scores)
    points["softmax"].append((5 / 12, 5 * scores.size / seconds))
    print(f"{name:13} {1e3 * seconds:6.1f} ms, {1e9 * seconds / scores.size:5.2f} ns a number")
right, _ = ops.softmax_forward(scores.astype(np.float64))
print(f"largest error {np.abs(in_lanes(scores) - right).max():.0e}")

# %% [markdown]
# The new `exp` alone does little: the sum is still in its way. A loop runs in vector lanes only if
# **nothing** in it insists on being done one by one. Free of both, *that* is the loop that we had
# hoped for. (The library's kernel is this one, with a mask, and rows shared out to all cores.)
#
# The order of a hunt: count the bytes; measure; if it is slower than the bytes allow, something
# waits; find out what, one suspect at a time.
#
# ## The other roof: a matrix product
#
# Two matrices of n rows: 2n³ operations on 3n² numbers, so n/8 operations for each byte of the 16n²
# that must pass. Far to the right: memory is not the limit, and still there are bad ways to do it.
#
# **Predict:** the definition, three loops; and the same with the two inner loops swapped. Which
# share of the roof does each reach?


# %%
@njit
def three_loops(a, b):
    """Multiply matrices by the definition: each element is a sum of products."""
    y = np.empty((a.shape[0], b.shape[1]), a.dtype)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            total = np.float32(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            y[i, j] = total
    return y


@njit
def swapped(a, b):
    """The same sums, in another order of loops."""
    y = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(y.shape[0]):
        for k in range(a.shape[1]):
            for j in range(y.shape[1]):
                y[i, j] += a[i, k] * b[k, j]
    return y


a, b = rng.standard_normal((2, SIDE, SIDE), np.float32)
points["product"] = []
for name, product in {
    "three loops": three_loops,
    "swapped": swapped,
    "OpenBLAS": np.matmul,
}.items():
    seconds = fastest(product, a, b)
    points["product"].append((SIDE / 8, 2 * SIDE**3 / seconds))
    print(f"{name:12} {1e3 * seconds:6.2f} ms, {2 * SIDE**3 / seconds / FLOPS:4.0%} of the roof")

# %% [markdown]
# The definition walks down a column of b: each step fetches a line of 64 bytes for the sake of 4,
# and every addition waits for the last. Swapped, the innermost loop walks along rows, and its sums
# do not depend on each other: whole vectors are multiplied at a time.
#
# What is left to OpenBLAS, and to the library's kernel, is to use what was loaded *often*: to take
# tiles, to lay them out in the order of their use, and to keep a tile of y in **registers**. The
# ladders in `benchmarks/LADDERS.md` climb there rung by rung.
#
# ## The picture to think with: the roofline
#
# Across, operations for each byte; up, operations in a second. Under the slope one waits for
# memory, under the flat part for arithmetic. To **fuse** is to move right, to use **vector lanes**
# is to move up.
#
# **Predict** before you look: where does each climb begin, where does it end?

# %%
corner = FLOPS / BANDWIDTH
show.curves(
    {
        "roof": ("neutral", [(0.05, 0.05 * BANDWIDTH), (corner, FLOPS), (100, FLOPS)]),
        "Adam": ("green", points["Adam"]),
        "softmax": ("forward", points["softmax"]),
        "product": ("backward", points["product"]),
    },
    "operations for each byte through memory",
    "operations in a second",
    log_x=True,
)

# %% [markdown]
# Adam goes right, and up to the roof. Softmax goes right and *down*, then up; it ends below the
# roof, as an exponential counts as one operation here and costs a dozen. The product goes straight
# up: nothing was wrong with its bytes.
#
# ## Online softmax: know the end before it comes
#
# A row that fits into a cache may be walked over three times for nothing. What if it does not fit,
# or the scores are *thrown away* as soon as they are used? Then there is one walk, and softmax
# needs the largest score **before** it can begin. Or does it?
#
# By hand. The scores are 0, then log 3; keep the largest so far and the sum of exp(score −
# largest).
#
# | comes | largest | sum |
# |---|---|---|
# | 0 | 0 | 1 |
# | log 3 | log 3 | 1 · e^(0 − log 3) + 1 = 1/3 + 1 = 4/3 |
#
# When a larger one comes, **every summand shrinks by the same factor**, e^(old − new); so their sum
# does, and no summand is needed again. The probabilities are 1/3 and 1, over 4/3: a quarter and
# three quarters.
#
# **Predict** `total` after each of the scores 0, log 3, 0:

# %%
show.step_through(softmax_online.py_func, np.array([[0.0, np.log(3.0), 0.0]]))

# %% [markdown]
# ## Flash attention, derived
#
# Attention does throw its scores away: of T · S of them, only the mean of the values is kept.
# Written as one fraction, y = Σ e^score v / Σ e^score, it has *two* sums, and both shrink by the
# same factor. So take a block of keys at a time, and keep for each query three things:
#
#     top     the largest score so far
#     total   Σ e^(score − top)
#     sums    Σ e^(score − top) · v
#
# At the end y = sums / total. Here it is in NumPy, for one head, the whole idea in ten lines.


# %%
def flash(q, k, v, block):
    """Attention of one head, without ever having all scores at once."""
    top = np.full((len(q), 1), -np.inf)
    total = np.zeros((len(q), 1))
    sums = np.zeros((len(q), v.shape[1]))
    for s in range(0, len(k), block):
        scores = q @ k[s : s + block].T / math.sqrt(q.shape[1])
        highest = np.maximum(top, scores.max(axis=1, keepdims=True))
        shrink = np.exp(top - highest)
        weights = np.exp(scores - highest)
        total = shrink * total + weights.sum(axis=1, keepdims=True)
        sums = shrink * sums + weights @ v[s : s + block]
        top = highest
    return sums / total, top + np.log(total)


q, k, v = (rng.standard_normal(shape) for shape in ((2, 4), (6, 4), (6, 5)))
show.step_through(flash, q, k, v, 3, axes={"q": "T D", "k": "S D", "v": "S Dv", "sums": "T Dv"})

# %% [markdown]
# **Predict** before the next cell: `shrink` of the first block is 0. Why is that right? And is the
# result that of chapter 06, or nearly?

# %%
q, k, v = rng.standard_normal((3, 200, 16))
y, cache = ops.attention_forward(q[None, None], k[None, None], v[None, None])
for block in (1, 32, 64, 200):
    print(f"block {block:3}: largest difference {np.abs(flash(q, k, v, block)[0] - y).max():.0e}")

# %% [markdown]
# The same, in another order of additions. But backward wants the probabilities, and they are gone!
# They need not be kept: each is e^(score − log Σ e^score), and the logarithm is **one number for
# each query**, the second thing that `flash` returns. Backward computes the scores again, block by
# block.

# %%
_, logsumexp = flash(q, k, v, 64)
again = np.exp(q @ k.T / math.sqrt(16) - logsumexp)
print(f"probabilities, found again: largest difference {np.abs(again - cache.probs).max():.0e}")

# %% [markdown]
# The library's kernel is those ten lines with the scores of 64 queries and 64 keys in the nearest
# cache, matrix products by tiles, masks, and heads shared out to the cores. You can read it now:

# %%
print(source(flash_forward.forward))

# %% [markdown]
# **Predict:** how do the bytes that forward leaves for backward grow with T? And which of the two
# is faster?

# %%
kept = {"textbook": [], "flash": []}
lengths = (64, 128, 256, 512, 1024)
for T in lengths:
    q, k, v = rng.standard_normal((3, 1, 2, T, 64), np.float32)
    for name, backend in (("textbook", "numpy"), ("flash", "numba")):
        with use_backend(backend):
            _, cache = ops.attention_forward(q, k, v, causal=True)
        kept[name].append((T, sum(array.nbytes for _, array in named_arrays(cache, "cache"))))
for name, backend in (("textbook", "numpy"), ("flash", "numba")):
    with use_backend(backend):
        seconds = fastest(lambda: ops.attention_forward(q, k, v, causal=True))
    print(f"{name:9} T = {T}: {1e3 * seconds:6.1f} ms, {kept[name][-1][1] / 1e6:5.1f} MB kept")
show.curves(
    {
        "textbook": ("backward", kept["textbook"]),
        "flash": ("forward", kept["flash"]),
    },
    "tokens T",
    "bytes kept for backward, two heads",
    log_x=True,
)

# %% [markdown]
# One grows with T², the other with T. And the one that computes its scores twice is the faster one:
# arithmetic is cheap, memory is dear.
#
# ## Broken on purpose: the sum that does not shrink
#
# One of the two factors forgotten. **Predict:** for which sizes is the result right?


# %%
def broken_flash(q, k, v, block):
    """Flash attention that forgets to shrink the sum of values."""
    top = np.full((len(q), 1), -np.inf)
    total = np.zeros((len(q), 1))
    sums = np.zeros((len(q), v.shape[1]))
    for s in range(0, len(k), block):
        scores = q @ k[s : s + block].T / math.sqrt(q.shape[1])
        highest = np.maximum(top, scores.max(axis=1, keepdims=True))
        weights = np.exp(scores - highest)
        total = np.exp(top - highest) * total + weights.sum(axis=1, keepdims=True)
        sums = sums + weights @ v[s : s + block]
        top = highest
    return sums / total


for T in (8, 32, 64, 96, 128, 512):
    q, k, v = rng.standard_normal((3, T, 16))
    right, _ = ops.attention_forward(q[None, None], k[None, None], v[None, None])
    off = np.abs(broken_flash(q, k, v, 64) - right[0, 0]).max(axis=1)
    print(
        f"T = {T:3}: largest error {off.max():.0e}; {np.mean(off > 1e-12):4.0%} of the queries are wrong"
    )

# %% [markdown]
# **The symptom:** up to 64 keys there is one block, nothing ever shrinks, and *everything is
# exact*. Beyond it, more and more queries are wrong: all but those whose largest score happened to
# come in the first block. A test on a tiny example, the first thing that one writes, cannot fail.
#
# The lesson for kernels: test **sizes beyond a block**, one more than a block, and rows in which
# the largest value stands at the end. A kernel's mistakes live at its seams.
#
# ## Your turn
#
# - `minitransformer exercises` → **softmax_rows**, **softmax_online**, **matmul_tiled**: write them
#   yourself, in Numba.
# - On paper: layer norm reads a row and writes one, 7 operations a number. Which roof? What is the
#   best time for 25 MB, with the numbers at the top of this page? (`benchmarks/LADDERS.md` has the
#   answer of another machine.)
# - Write a kernel for an op in one new file, as CONTRIBUTING.md says, and let `minitransformer
#   gradcheck` judge it.
# - Why is training a GPT on *short* sequences hardly helped by flash attention?
#
# ## Further reading
#
# - Williams, Waterman, Patterson (2009), *Roofline: An Insightful Visual Performance Model for
#   Multicore Architectures*, Communications of the ACM 52.
# - Milakov, Gimelshein (2018), *Online normalizer calculation for softmax*, arXiv:1805.02867.
# - Rabe, Staats (2021), *Self-attention Does Not Need O(n²) Memory*, arXiv:2112.05682.
# - Dao et al. (2022), *FlashAttention: Fast and Memory-Efficient Exact Attention with
#   IO-Awareness*, arXiv:2205.14135; Dao (2023), *FlashAttention-2*, arXiv:2307.08691.
# - Goto, van de Geijn (2008), *Anatomy of High-Performance Matrix Multiplication*, ACM Transactions
#   on Mathematical Software 34: tiles, packing, registers.
# - Lam, Pitrou, Seibert (2015), *Numba: A LLVM-based Python JIT Compiler*, LLVM-HPC.
