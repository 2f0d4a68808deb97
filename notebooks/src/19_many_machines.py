# %% [markdown]
# # 19 · Many machines: one step, taken by all
#
# **The question.** Four workers read a batch, each a quarter of it. None has seen what the others
# saw. How can all four take *the very step* that one worker would have taken who read it all? What
# must they tell each other, and when does telling take longer than reading?
#
# Before this: chapter 10 (Adam). A worker is called a **rank**: one process, on the same machine or
# another. Here the ranks take turns inside this notebook; the arithmetic is the same. Letters: n
# ranks, N parameters, D tokens.

# %%
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices this small are not worth a second one
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import numpy as np

from minitransformer import GPT, AdamW, CharTokenizer, GPTConfig, set_backend, show
from minitransformer.data import IGNORE, default_text, sample_batch
from minitransformer.distributed import average_gradients
from minitransformer.nn import flatten_parameters
from minitransformer.show.sources import source
from minitransformer.training import add_gradients, shares, train

set_backend("numpy")
np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## By hand first
#
# One parameter, two ranks. Rank 0 has three targets, and the gradient of its mean loss is 1. Rank 1
# has one target, gradient 5.
#
# **Predict:** the gradient of the mean loss over all four targets.

# %%
print(average_gradients([np.array([1.0]), np.array([5.0])], counts=[3, 1]))

# %% [markdown]
# (3 · 1 + 1 · 5) / 4 = 2, and not 3. A loss is a mean over *targets*, so a rank speaks for as many
# as it has. That is the whole mathematics of this chapter: **a gradient is a sum over targets, and
# a sum may be made in parts**, by anyone, anywhere.
#
# ## Two ranks and the large batch
#
# Eight texts of unequal length, sorted, as is usual: rows of similar length waste less padding. The
# first half goes to rank 0, the second to rank 1.

# %%
text = default_text()
tokenizer = CharTokenizer.train(text)
ids = np.array(tokenizer.encode(text))
LENGTHS = np.array([2, 3, 4, 6, 12, 18, 24, 32])


def windows(step=0, rows=8):
    """Pieces of the text, all equally long."""
    return sample_batch(ids, rows, 32, seed=0, step=step)


def ragged(step=0):
    """The same, but nothing is asked behind a text's end."""
    batch = windows(step)
    inside = np.arange(32) < LENGTHS[:, None]
    return batch._replace(targets=np.where(inside, batch.targets, IGNORE))


def tiny(dropout=0.0):
    """A model that is equal on every rank: its parameters depend on the seed alone."""
    config = GPTConfig(tokenizer.vocab_size, 32, layers=2, heads=2, width=12, dropout=dropout)
    return GPT(config, dtype=np.float64, seed=0)


experienced = tiny()
optimizer = AdamW(experienced.parameters(), lr=0.01)
for _ in train(experienced, optimizer, lambda i: windows(i, 16), lambda i: 0.01, steps=100):
    pass  # a little training, so that there is something to see in a gradient


def trained(dropout=0.0):
    """The same, with some experience."""
    model = tiny(dropout)
    model.load_state_dict(experienced.state_dict())
    return model


def gradient_of(part):
    """The flat gradient of a part's mean loss, and its number of targets."""
    model = trained()
    _, cache = model.loss(part)
    model.backward(cache)
    return flatten_parameters(model.parameters()).grad, np.count_nonzero(part.targets != IGNORE)


def gradients_of(batch, n):
    """What each of n ranks finds."""
    return zip(*(gradient_of(part) for part, _ in shares(batch, n)), strict=True)


whole, _ = gradient_of(ragged())
gradients, counts = gradients_of(ragged(), 2)
print("targets of each rank:", *counts, "  values in a gradient:", whole.size)

# %% [markdown]
# **Predict:** whose gradient will the mean resemble? And the last row, in which both ranks count
# alike: will it be a little off, or much? (Twelve of the values, times 100: the gain of the last
# norm.)

# %%
rows = {
    "rank 0": gradients[0],
    "rank 1": gradients[1],
    "weighted mean": average_gradients(gradients, counts),
    "large batch": whole,
    "plain mean": sum(gradients) / 2,
}
gain = slice(-24, -12)  # the last are the norm's beta, before them its gamma
show.heatmap(
    100 * np.stack([row[gain] for row in rows.values()]),
    "100 × gradient of norm.gamma",
    ("whose", "C"),
    "backward",
    rows=list(rows),
)

# %%
for name in ("weighted mean", "plain mean"):
    error = np.linalg.norm(rows[name] - whole) / np.linalg.norm(whole)
    print(f"{name:14} differs from the large batch's gradient by {error:.0e} of its length")

# %% [markdown]
# The third row **is** the fourth, in all parameters, up to rounding. The batch was not
# approximated: it was read in two places.
#
# In the library no rank ever knows another's count. Every rank draws the *same* batch from the same
# seed, so each knows how many targets there are in all; it weighs its own part before backward, and
# what is left to do is **one sum**:

# %%
print(source(shares))
print()
print(source(add_gradients))

# %% [markdown]
# ## Broken on purpose: the mean of means
#
# "Average the gradients of all ranks" is what many a program says, and the plain mean above is what
# it does. **Predict:** does it get better or worse with more ranks? What if the rows were shuffled
# before they are shared out? And if all were equally long?


# %%
def reordered(batch, order):
    """The same rows, in another order."""
    return batch._replace(inputs=batch.inputs[order], targets=batch.targets[order])


shuffled = np.random.default_rng(1).permutation(8)
batches = {
    "sorted": ragged(),
    "shuffled": reordered(ragged(), shuffled),
    "equally long": windows(),
}
print("relative error of the plain mean, and the loss that it reports")
print("ranks       " + "".join(f"{n:>16}" for n in (1, 2, 4, 8)))
for name, batch in batches.items():
    exact, _ = gradient_of(batch)
    cells = []
    for n in (1, 2, 4, 8):
        gradients, _ = gradients_of(batch, n)
        error = np.linalg.norm(sum(gradients) / n - exact) / np.linalg.norm(exact)
        loss = np.mean([trained().loss(part)[0] for part, _ in shares(batch, n)])
        cells.append(f"{error:8.0%} {loss:7.3f}")
    print(f"{name:12}" + "".join(cells))

# %% [markdown]
# **The symptom:** nothing crashes, all ranks agree, and with full rows, which is what most tests
# use, the error is 0. With ragged rows a target in a short text counts many times more than one in
# a long text, and *the loss of the very same batch depends on the number of ranks*. A curve that
# changes when only n changes is the thing to look for. The test to write: **n ranks take the step
# of one, on a batch whose parts have unequal counts.**
#
# ## All-reduce: a sum that nobody makes
#
# All ranks must end with the sum of all arrays. The obvious way: everybody sends to rank 0, which
# adds and sends back. **Predict:** with n ranks and an array of one gigabyte, how much passes
# through rank 0's cable?
#
# The better way is a **ring**. Cut the array into n pieces. Each rank sends one piece to its right
# neighbour, all at the same time, and adds what came from the left to its own. What it has just
# added to is what it sends next.


# %%
def ring(pieces):
    """All-reduce the pieces (rank, piece, ...) in place, and show them after every message."""
    n = len(pieces)
    rank = np.arange(n)
    yield pieces.copy()
    for step in range(2 * (n - 1)):
        piece = (rank - step) % n
        sent, right = pieces[rank, piece], (rank + 1) % n
        if step < n - 1:
            pieces[right, piece] += sent  # reduce-scatter
        else:
            pieces[right, piece] = sent  # all-gather
        yield pieces.copy()


# %% [markdown]
# Four ranks. Rank 0 has a 1 in every piece, rank 1 a 2, rank 2 a 4, rank 3 an 8, so that every sum
# tells who is in it: 15 is everyone. **Predict:** after three messages, who has a 15, and where?

# %%
states = list(ring(np.array([[1], [2], [4], [8]]) * np.ones((1, 4), int)))
show.heatmap(
    np.stack(states[:4]),
    "reduce-scatter: at first, and after each message",
    ("messages", "rank", "piece"),
)

# %% [markdown]
# Three messages, and every rank holds **one piece that is finished**, each another one. That half
# is called *reduce-scatter*. The other half, *all-gather*, hands the finished pieces round, without
# adding:

# %%
show.heatmap(
    np.stack(states[3:]),
    "all-gather: at first, and after each message",
    ("messages", "rank", "piece"),
)

# %% [markdown]
# Counted: 2 (n − 1) messages of an n-th each, so every rank sends **2 (n − 1)/n** of the array,
# which is less than twice, *however many ranks there are*. Fewer is impossible: each rank's numbers
# must leave it once and the sums must come back. Rank 0 above would carry 2 (n − 1) arrays.

# %%
ranks = [2, 4, 8, 16, 32]
show.curves(
    {
        "all to rank 0": ("backward", [(n, 2 * (n - 1)) for n in ranks]),
        "ring": ("forward", [(n, 2 * (n - 1) / n) for n in ranks]),
    },
    "ranks",
    "arrays through the busiest cable",
    log_y=False,
)

# %% [markdown]
# **A surprise, and a promise.** Additions of floats may not be reordered: `(a + b) + c` is not
# `a + (b + c)`. **Predict:** do all ranks end with the same bits? The same bits as a sum from rank
# 0 to rank 3?

# %%
values = np.random.default_rng(0).standard_normal((4, 4, 10_000), np.float32)
*_, summed = ring(values.copy())
print("all ranks the same bits:", all(np.array_equal(summed[0], other) for other in summed))
in_order = values[0] + values[1] + values[2] + values[3]
print(f"same bits as from 0 to 3: {np.mean(summed[0] == in_order):.0%} of all values")
for piece in range(4):
    print(f"   piece {piece}: {np.mean(summed[0, piece] == in_order[piece]):.0%}")

# %% [markdown]
# Every piece is added up **once**, in one order, and then copied. So the ranks stay equal to the
# last bit, for ever, and nobody ever has to send parameters. The order is the ring's: piece 0
# starts at rank 0 and goes round, piece 1 starts at rank 1. Another number of ranks means another
# order, other last bits, and after some thousand steps another curve, just as good. *Same seed,
# same n: same bits.* Other n: the same up to rounding.
#
# ## Sharding the optimizer: put AdamW in the middle
#
# After an all-reduce all ranks hold the same sum and all make the same AdamW step, on all N
# parameters, with m and v of all N. They do n times the same work, and remember it n times.
#
# But between the halves of the ring every rank has one finished piece. **Let it update just that
# piece**, and pass *parameters* round instead of gradients. The same bytes travel; m and v of a
# piece live on one rank only. Here it is, the ranks taking turns:


# %%
def ready(n):
    """A model, its optimizer, and its flat buffer, on each of n ranks."""
    models = [tiny() for _ in range(n)]
    optimizers = [AdamW(model.parameters(), lr=1e-3) for model in models]
    return models, optimizers, [flatten_parameters(model.parameters()) for model in models]


def train_sharded(n, steps):
    """Train on n ranks, each of which remembers the moments of its part."""
    models, optimizers, flats = ready(n)
    borders = np.linspace(0, flats[0].data.size, n + 1).astype(int)
    for rank, optimizer in enumerate(optimizers):
        optimizer.own(slice(borders[rank], borders[rank + 1]))
    for step in range(steps):
        parts = shares(ragged(step), n)
        for rank, model in enumerate(models):
            model.zero_grad()
            add_gradients(model, parts[rank::n])
        for mine, optimizer in zip(flats, optimizers, strict=True):
            own = optimizer.owned
            mine.grad[own] = sum(flat.grad[own] for flat in flats)  # reduce-scatter
            optimizer.step()
            for flat in flats:
                flat.data[own] = mine.data[own]  # all-gather
    return flats[-1].data, sum(buffer.nbytes for buffer in optimizers[0].buffers.values())


# %% [markdown]
# **Predict:** the bytes of the moments on one rank of n (a model of this size, float64), and the
# difference from training alone after 20 steps.

# %%
(model,), (optimizer,), (alone,) = ready(1)
for _ in train(model, optimizer, ragged, lambda step: 1e-3, steps=20):
    pass
print(f"alone: {16 * alone.data.size:,} bytes of moments")
for n in (1, 2, 4, 8):
    data, remembered = train_sharded(n, steps=20)
    off = np.abs(data - alone.data).max()
    print(f"{n} ranks: {remembered:7,} bytes on rank 0, largest difference {off:.0e}")

# %% [markdown]
# Nothing is lost, and an n-th is remembered. (In a real run:
# `mpiexec -n 4 minitransformer train … --shard-optimizer`. The library's version is as short:
# `minitransformer/distributed/strategies.py`.)
#
# Clipping needs care: the length of a gradient of which each rank has finished an n-th.
# **Predict:** what must the ranks exchange? One number each, the sum of squares.
#
# ## Seeds: what must be equal, and what must not
#
# | | on all ranks | otherwise |
# |---|---|---|
# | initial parameters | equal | they take equal steps from unequal places, and never agree |
# | the plan: which rows make the batch | equal | rows are read twice, others never |
# | dropout masks | **different** | see below |
#
# A dropout mask is noise; a batch averages it away. If all ranks draw *the same* mask, the same
# neurons are off in every part. Each rank looks right, and no average is taken. **Predict:** how
# much noisier is the gradient of 8 ranks then? And if by chance all texts were the same one?
# Measured: how far the gradients of one batch, under 48 draws of the masks, scatter around their
# mean.


# %%
def scatter(batch, seed_of):
    """Root mean square distance of gradients from their mean, when only the masks change."""
    model, found = trained(dropout=0.2), []
    for draw in range(48):
        model.zero_grad()
        for rank, share in enumerate(shares(batch, 8)):
            add_gradients(model, [share], np.random.default_rng(seed_of(draw, rank)))
        found.append(flatten_parameters(model.parameters()).grad.copy())
    return np.sqrt(np.var(found, axis=0).sum())


one_text = reordered(windows(), np.zeros(8, int))
for name, batch in {"eight texts": windows(), "one text, eight times": one_text}.items():
    apart = scatter(batch, lambda draw, rank: [draw, rank])
    equal = scatter(batch, lambda draw, rank: [draw])
    print(f"{name:22} own masks {apart:.3f}, the same {equal:.3f}: {equal / apart:.2f} times")

# %% [markdown]
# With one text it is about √8 = 2.83, as for any mean of eight equal things. With eight texts it is
# *hardly anything*: a neuron that is off matters to each text in another way, so the noise is
# averaged all the same. The mistake is real, and here so small that no curve would show it, which
# is how it stays in a program. The library seeds a mask with `[seed, step, rank]`, and pays a price
# for it: with dropout, four ranks no longer take the step of one, but one that is *distributed*
# alike.
#
# ## What it costs: alpha and beta
#
# A message takes **α + β · bytes**: a latency, and a time for each byte. A ring sends 2 (n − 1) of
# them, each an n-th of the array, one after another.
#
# By hand: Ethernet, α = 30 µs, 10 Gbit/s, so β = 0.8 ns. **Predict:** from which size on is a
# message worth its latency? And how long do two ranks take for 124 million float32 (GPT-2 small)?

# %%
NETWORKS = {"Ethernet": (30e-6, 8 / 10e9), "InfiniBand": (1.5e-6, 8 / 200e9)}  # α, β; assumed


def ring_seconds(network, n, size):
    """Time of an all-reduce of so many bytes."""
    alpha, beta = network
    return 2 * (n - 1) * (alpha + beta * size / n)


SIZE = 4 * 124e6
for name, (alpha, beta) in NETWORKS.items():
    times = [ring_seconds((alpha, beta), n, SIZE) for n in (2, 8, 64, 1024)]
    print(
        f"{name:10} α/β = {alpha / beta / 1e3:4.1f} KB; 0.5 GB with 2, 8, 64, 1024 ranks: "
        + ", ".join(f"{1e3 * t:.0f}" for t in times)
        + " ms"
    )

# %% [markdown]
# (α/β, the size that takes as long as its latency, is the same for both by chance. Below it, send
# fewer and larger messages.) A gradient lies far above: beta is what counts.
#
# Say one rank computes 1 s for a batch. Two ways to use n of them:
#
# - **strong scaling**: the same batch for all, each computes 1/n s;
# - **weak scaling**: a batch for each, n times as large, 1 s.
#
# **Predict:** how much faster than one rank can n ranks ever be, over Ethernet, when the batch
# stays the same?

# %%
ranks = [2**k for k in range(11)]
lines = {"perfect": ("neutral", [(n, n) for n in ranks])}
for (name, network), roles in zip(
    NETWORKS.items(), (("backward", "pink"), ("forward", "green")), strict=True
):
    talking = {n: ring_seconds(network, n, SIZE) for n in ranks}
    lines[f"{name}, weak"] = (roles[0], [(n, n / (1 + talking[n])) for n in ranks])
    lines[f"{name}, strong"] = (roles[1], [(n, 1 / (1 / n + talking[n])) for n in ranks])
show.curves(lines, "ranks", "texts in a second, one rank = 1", log_x=True)

# %%
print("strong scaling:   " + "".join(f"{n:>8}" for n in (2, 4, 8, 64, 1024)))
for name in NETWORKS:
    points = dict(lines[f"{name}, strong"][1])
    print(f"{name:18}" + "".join(f"{points[n]:8.2f}" for n in (2, 4, 8, 64, 1024)))

# %% [markdown]
# Over Ethernet **no number of ranks gains more than a quarter**: computing shrinks with n, sending
# does not. A network 20 times as fast moves the wall 20 times as far, and it is still a wall. Weak
# scaling has none, but it trains with another batch: twice as large is not twice as good (what a
# batch is worth ends at some size; McCandlish et al. below).
#
# What helps: send 16 bits instead of 32; compute several parts between two sums; send the last
# layers' gradients while the first are still being computed.
#
# ## A large training, on paper
#
# Everything above, for one plan: a GPT with 24 layers of width 2048 and 16 heads, windows of 2048
# tokens. First the parameters: a block has 12 C² weights (4 in attention, 8 in the feed-forward
# part). Checked on a model that fits here:


# %%
def parameters(layers, width, vocabulary, context):
    """Parameters of a GPT, biases and gains included."""
    block = 12 * width**2 + 13 * width
    return layers * block + 2 * width + (vocabulary + context) * width


print(tiny().parameter_count(), "=", parameters(2, 12, tokenizer.vocab_size, 32))
L, C, H, V, T = 24, 2048, 16, 50_257, 2048
N = parameters(L, C, V, T)
print(f"N = {N / 1e9:.2f} billion")

# %% [markdown]
# **FLOPs.** A token is multiplied with every weight once: 2 operations (chapter 13). Backward does
# it twice more, for dx and dw: **6 N for each token** (Kaplan et al. 2020, section 2.1, who do not
# count embeddings; here these are 8 % of N). Attention comes on top: scores and mixing are T C
# multiplications each, in each layer; so 12 L T C operations in all, half of it if hidden keys are
# skipped.
#
# **Tokens.** Hoffmann et al. 2022 ("Chinchilla") trained over 400 models and fitted
#
#     loss(N, D) = E + A / N^α + B / D^β    E 1.69, A 406.4, B 410.7, α 0.34, β 0.28 (appendix D.3)
#
# Their advice is often put as *20 tokens for each parameter*: D = 26 billion.
#
# **Predict:** which share is attention? How long would one core take that does 50 G operations a
# second?

# %%
D = 26e9
linear, attention = 6 * N * D, 6 * L * T * C * D
FLOPS = linear + attention
print(f"6 N D {linear:.2e} + attention {attention:.1e} ({attention / FLOPS:.0%}) = {FLOPS:.2e}")
print(f"one core: {FLOPS / 50e9 / 3.15e7:.0f} years")

# %% [markdown]
# Is it a good plan? With the same operations one could train a smaller model on more text, or a
# larger one on less. **Predict** where the least loss is, and how sharp the minimum.
#
# (The second curve: Besiroglu et al. 2024 fitted the same data again, and found E 1.8172, A 482.01,
# B 2085.43, α 0.3478, β 0.3658. Both speak of *their* text and tokenizer: read the differences, not
# the values.)

# %%
FITS = {
    "Hoffmann 2022": ("forward", (1.69, 406.4, 410.7, 0.34, 0.28)),
    "Besiroglu 2024": ("backward", (1.8172, 482.01, 2085.43, 0.3478, 0.3658)),
}


def loss(fit, n, d):
    """Nats per token, after training n parameters on d tokens."""
    e, a, b, alpha, beta = fit
    return e + a / n**alpha + b / d**beta


sizes = np.geomspace(1.5e8, 1e10, 39)
show.curves(
    {
        name: (role, [(n, loss(fit, n, linear / (6 * n))) for n in sizes])
        for name, (role, fit) in FITS.items()
    },
    "parameters, for 2·10²⁰ operations",
    "predicted loss",
    log_x=True,
    log_y=False,
)

# %%
grid = np.geomspace(1e8, 1e10, 20_001)
for name, (_, fit) in FITS.items():
    losses = loss(fit, grid, linear / (6 * grid))
    best = grid[losses.argmin()]
    good = grid[losses < losses.min() + 0.01]
    print(
        f"{name:15} least {losses.min():.3f} at {best / 1e9:.2f} billion, "
        f"{linear / 6 / best**2:.0f} tokens each; our plan {loss(fit, N, D):.3f}; "
        f"within 0.01: {good[0] / 1e9:.2f} to {good[-1] / 1e9:.2f} billion"
    )

# %% [markdown]
# **A surprise:** by the paper's own formula the best is not 20 tokens for each parameter but twice
# that; the 20 come from its two other methods, and the second fit agrees with those. And it hardly
# matters: the valley is so flat that half the size costs a hundredth of a nat. Who will *use* the
# model much takes the smaller one, and reads longer.
#
# What to do with a tenfold budget? Here two famous papers disagreed. N grows with the power 0.73 of
# the operations (Kaplan et al. 2020), or 0.50 (Hoffmann et al. 2022, method 1):

# %%
for name, power in (("Kaplan 2020", 0.73), ("Hoffmann 2022", 0.50)):
    for factor in (10, 1000):
        print(
            f"{name:14} {factor:4} times the operations: parameters × {factor**power:5.1f}, "
            f"tokens × {factor ** (1 - power):5.1f}"
        )

# %% [markdown]
# The models of 2020 and 2021 followed the first line, and were far too large for what they had
# read. One reason was a learning-rate schedule that did not end where the training ended (chapter
# 10!).
#
# **Memory** of one GPU, in mixed precision (Rajbhandari et al. 2020, section 3.1): for each
# parameter 2 bytes of weight, 2 of gradient, and 12 for AdamW (a float32 weight, m, v). And the
# activations that backward needs (Korthikanti et al. 2022): L · T · C · (34 + 5 H T / C) bytes for
# each text. The second term, the attention scores, disappears with flash attention (chapter 17).
#
# **Predict:** does it fit into 80 GB? What is the largest part?

# %%
GB = 1e9
state = {"weights": 2 * N, "gradients": 2 * N, "float32 weights, m, v": 12 * N}
text_bytes = {
    "a text, scores kept": L * T * C * (34 + 5 * H * T / C),
    "a text, flash attention": L * T * C * 34,
    "a text, blocks computed again": L * T * C * 2,
}
for name, size in {**state, **text_bytes}.items():
    print(f"{name:30} {size / GB:6.1f} GB  {'█' * round(2 * size / GB)}")
for n in (1, 8, 64):
    print(f"state on each of {n:2} ranks, optimizer sharded: {(4 + 12 / n) * N / GB:5.1f} GB")

# %% [markdown]
# **Time and energy.** The hardware, from its data sheets: NVIDIA A100, 80 GB, 312 · 10¹² operations
# a second in bfloat16; eight in a host (DGX A100) of at most 6.5 kW, joined by NVLink with 300 GB/s
# each way, and to other hosts by one InfiniBand link of 200 Gbit/s for each GPU. Assumed: 40 % of
# the peak is reached while computing; nothing overlaps; a tenth of the memory stays free; cooling
# and losses take 20 % more; the optimizer is sharded, gradients travel in 16 bits; a batch is 512
# texts, a million tokens (as for GPT-3 of this size: Brown et al. 2020, table 2.1).
#
# **Predict:** how many hours on 64 GPUs? Does four times as many take a quarter? Which plan takes
# least energy?

# %%
PEAK, REACHED, ROOM, HOST_KW, OVERHEAD, TEXTS = 312e12, 0.40, 80e9, 6.5, 1.2, 512
NVLINK = (1.5e-6, 1 / 300e9)
steps = D / (TEXTS * T)
print(f"{steps:,.0f} steps\n")
print(" GPUs  state  texts at a time  computing  all-reduce  of perfect   hours     kWh")
for n in (8, 64, 128, 256, 512):
    memory = (4 + 12 / n) * N
    at_a_time = min(TEXTS // n, int((0.9 * ROOM - memory) / text_bytes["a text, flash attention"]))
    computing = FLOPS / steps / (n * PEAK * REACHED)
    talking = ring_seconds(NVLINK if n == 8 else NETWORKS["InfiniBand"], n, 2 * N)
    hours = steps * (computing + talking) / 3600
    print(
        f"{n:5} {memory / GB:3.0f} GB {at_a_time:7} of {TEXTS // n:2}   {computing:9.2f} s"
        f" {talking:9.2f} s {computing / (computing + talking):10.0%} {hours:8.1f}"
        f" {hours * n / 8 * HOST_KW * OVERHEAD:7,.0f}"
    )

# %% [markdown]
# Eight GPUs take days, 64 a working day; eight times as many again are paid for mostly to wait. A
# few hundred kilowatt-hours: a small household's electricity for some months, for one run that
# succeeds. And all of it was known **before a single GPU was rented**. Then one measures: a hundred
# steps are enough to replace "40 %" by a number.
#
# What is *not* in the table: runs that fail, the search for a learning rate (do it small), the
# evaluation, the machine that dies in the night. So checkpoints are written, and `--resume` works
# on any number of ranks.
#
# ## Your turn
#
# - `minitransformer exercises` → **average_gradients** (unit *distributed*), **adamw_step**,
#   **clip_grad_norm** (of a gradient that lies in parts).
# - With MPI (`pip install "minitransformer[mpi]"`), compare two curves:
#   `mpiexec -n 2 minitransformer train …` and `minitransformer train …` of the same seed. From
#   which step on do the printed losses differ, and why?
# - Another ring: each rank passes on *a whole array*, n − 1 times, and adds up what comes by. Which
#   array must it pass on? How many bytes are sent? Will all ranks end with the same bits?
# - A part of a batch may have no target at all. What does the plain mean do then? And the weighted
#   one?
# - Plan on paper: 7 billion parameters, 2 trillion tokens, on 512 of these GPUs. (`FLOPS` first;
#   then: does the state fit?) Which of the constants above would you check first?
#
# ## Further reading
#
# - Patarasuk, Yuan (2009), *Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations*,
#   J. Parallel Distrib. Comput. 69: the ring, and why nothing sends less.
# - Goyal et al. (2017), *Accurate, Large Minibatch SGD*, arXiv:1706.02677: section 3 lists what
#   goes wrong when means are averaged.
# - Rajbhandari et al. (2020), *ZeRO*, arXiv:1910.02054: shard the moments, then gradients, then
#   weights.
# - McCandlish et al. (2018), *An Empirical Model of Large-Batch Training*, arXiv:1812.06162.
# - Kaplan et al. (2020), *Scaling Laws for Neural Language Models*, arXiv:2001.08361.
# - Hoffmann et al. (2022), *Training Compute-Optimal Large Language Models*, arXiv:2203.15556; and
#   Besiroglu et al. (2024), *Chinchilla Scaling: A replication attempt*, arXiv:2404.10102.
# - Korthikanti et al. (2022), *Reducing Activation Recomputation in Large Transformer Models*,
#   arXiv:2205.05198.
# - Brown et al. (2020), *Language Models are Few-Shot Learners*, arXiv:2005.14165: its table 2.1 is
#   a list of plans like ours.
