# %% [markdown]
# # 13 · The KV cache: nothing is computed twice
#
# **The question.** To write its thousandth token a model looks back at 999 others. Must it compute
# all of them again? What has to be remembered, what may be forgotten, and who pays for the memory?
#
# Before this: chapter 06 (attention), 12 (GPT). Shape letters: T new tokens (queries), S tokens to
# look at (keys), C width.

# %%
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # what is counted is what one core does
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import inspect
from textwrap import dedent
from time import perf_counter

import numpy as np

from minitransformer import (
    GPT,
    AdamW,
    CharTokenizer,
    GPTConfig,
    kv_append,
    ops,
    set_backend,
    show,
    stream,
    use_backend,
)
from minitransformer.backend import kernel
from minitransformer.data import default_text, sample_batch, split
from minitransformer.nn import MultiHeadAttention
from minitransformer.ops.attention import AttentionCache
from minitransformer.ops.linear import LinearCache
from minitransformer.training import train

set_backend("numpy")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand first
#
# A model that forgets reads the whole text again for every token: one token, then two, then three.
# A model that remembers reads each token once.
#
# **Predict before you run:** how many tokens are read altogether to write 4? To write 1000?

# %%
for n in (4, 1000):
    print(f"{n:5} tokens:  forgetting {sum(range(1, n + 1)):7,} read,  remembering {n:5,}")

# %% [markdown]
# 10 and 500,500: n(n + 1)/2. Most of a chatbot's work would be reading what it read a moment ago.
#
# ## What is needed again?
#
# Attention of the newest token: its query meets **all** keys and fetches from **all** values.
#
# **Predict:** which of the older tokens' q, k, v does it need? And could these have changed since
# they were computed?

# %%
text = default_text()
tokenizer = CharTokenizer.train(text)
training_ids, held_out = split(np.array(tokenizer.encode(text)))
model = GPT(
    GPTConfig(vocab_size=tokenizer.vocab_size, context=64, layers=2, heads=2, width=48), seed=0
)


def batches(step):
    """Draw the windows of a step."""
    return sample_batch(training_ids, 16, 32, seed=0, step=step)


for _ in train(
    model, AdamW(model.parameters(), lr=4e-3), batches, lambda step: 4e-3, 400, clip=1.0
):
    pass  # a little training, so that heads have something to look for

phrase = "the list"
ids = np.array([tokenizer.encode(phrase)])
shorter, longer = (model(ids[:, :T])[1].blocks[1].attention.mix.attention for T in (7, 8))
for name in ("q", "k", "v"):
    change = getattr(longer, name)[:, :, :7] - getattr(shorter, name)
    print(f"{name} of the first 7 changes by at most {np.abs(change).max():.0e}")
show.attention(longer, list(phrase.replace(" ", "␣")))

# %% [markdown]
# But for rounding, nothing of the past has changed: the newcomer is hidden from it. The eighth
# token adds **one row** at the bottom of each head, and for that row one needs the new query, all
# keys, and all values. Old queries have done their work. So two arrays are remembered, which give
# the cache its name:

# %%
keys, values = np.zeros((2, 1, 1, 4, 2))
keys[:, :, :2], values[:, :, :2] = 1.0, 2.0
k, v = np.full((1, 1, 1, 2), 3.0), np.full((1, 1, 1, 2), 8.0)
show.step_through(kv_append, keys, values, 2, k, v)

# %% [markdown]
# The buffers are allocated once, for the whole context (4 places here, two filled before), and
# never copied. In the model it takes two lines. Here they are, in their surroundings:

# %%
source, _ = inspect.getsourcelines(MultiHeadAttention.__call__)
(at,) = (i for i, line in enumerate(source) if "kv.append" in line)
print(dedent("".join(source[at - 4 : at + 3])))

# %% [markdown]
# ## Does it give the same?
#
# Token by token with memory, against all at once without. **Predict** the shapes of the logits of
# one step, and the largest difference.

# %%
everything, _ = model(ids)
kv = model.new_kv(1)
steps = np.hstack([model(ids[:, t : t + 1], kv=kv)[0] for t in range(8)])
print("all steps", steps.shape, "  held", kv.length, "tokens")
print(f"largest difference {np.abs(steps - everything).max():.0e}, largest logit {steps.max():.1f}")

# %% [markdown]
# Rounding, and no more. It is not an approximation.
#
# ## Counted: operations
#
# The caches of forward know every shape, so multiplications can be counted instead of estimated: in
# a linear layer, inputs times columns; in attention, q times keys, and probabilities times values.
#
# **Predict:** one more token, when n are there. How does its cost grow with n, with and without
# memory?


# %%
def multiplications(cache):
    """Count those of all matrix products of a forward pass."""
    match cache:
        case LinearCache(x=x, w=w, transposed=transposed):
            return x.size * w.shape[0 if transposed else 1]
        case AttentionCache(q=q, k=k, v=v, probs=probs):
            return q.size * k.shape[2] + probs.size * v.shape[3]
        case tuple():
            return sum(map(multiplications, cache))
    return 0


lengths = (1, 2, 4, 8, 16, 32, 64)
window = held_out[None, :64]
forgetting, remembering = [], []
for n in lengths:
    forgetting.append(multiplications(model(window[:, :n])[1]))
    kv = model.new_kv(1)
    if n > 1:
        model(window[:, : n - 1], kv=kv)
    remembering.append(multiplications(model(window[:, n - 1 : n], kv=kv)[1]))
show.curves(
    {
        "forgetting": ("backward", list(zip(lengths, forgetting, strict=True))),
        "remembering": ("forward", list(zip(lengths, remembering, strict=True))),
    },
    "tokens so far",
    "multiplications for one more token",
    log_x=True,
)

# %%
matrices = sum(p.data.size for p in model.parameters() if p.data.ndim == 2)
matrices -= model.positions.weight.data.size  # looked up, not multiplied
print(f"numbers in matrices {matrices:,}")
for n, count in zip(lengths, remembering, strict=True):
    print(f"token {n:3}: {count:,} = {matrices:,} + {count - matrices:6,} for looking back")

# %% [markdown]
# The blue line is nearly flat. A token costs **one multiplication for every number in the
# matrices**, a fact worth knowing by heart, plus a little that grows with S: each key and each
# value once. Without memory all of it is paid n times over.
#
# ## Counted: bytes
#
# Nothing is free. **Predict** the bytes that one token leaves behind: layers · (k and v) · C
# numbers of 4 bytes each, for C = 48 and 2 layers. And for the whole context of 64?

# %%
kv = model.new_kv(1)
model(window, kv=kv)
held = sum(layer.keys.nbytes + layer.values.nbytes for layer in kv.layers)
print(f"{held:,} bytes for {kv.length} tokens, {held // kv.length} for each")
print("2 layers · 2 arrays · 48 · 4 bytes =", 2 * 2 * 48 * 4)

# %% [markdown]
# On paper, with two bytes a number, for models of which the shapes are public. **Predict:** which
# of them has a cache that is larger than itself, for a single conversation of full length?

# %%
models = {  # layers, key heads, features of a head, context, parameters
    "GPT-2": (12, 12, 64, 1024, 124e6),
    "GPT-2 XL": (48, 25, 64, 1024, 1.56e9),
    "Llama 2 7B": (32, 32, 128, 4096, 6.7e9),
    "Llama 3.1 8B": (32, 8, 128, 131_072, 8.0e9),
    "… with 32 key heads": (32, 32, 128, 131_072, 8.0e9),
}
print("                     a token   full context    the weights")
for name, (layers, heads, features, context, parameters) in models.items():
    token = 2 * layers * heads * features * 2
    print(
        f"{name:19} {token / 1024:5.0f} KiB   {token * context / 1e9:9.2f} GB"
        f"   {2 * parameters / 1e9:9.2f} GB   {'█' * round(token * context / 2e9)}"
    )

# %% [markdown]
# The fourth is as large as its weights, and would be four times as large if its 32 query heads did
# not share 8 key heads. **Grouped queries** exist for this one reason. And a server has many
# conversations at a time: it is the caches, not the weights, that fill a GPU.
#
# ## A surprise, measured: to read is cheap, to write is dear
#
# A larger model, freshly initialised (speed does not depend on what it knows). Read T tokens in one
# call. **Predict:** T = 32 is 32 times the multiplications of T = 1. How much longer does it take?

# %%
large = GPT(GPTConfig(vocab_size=64, context=64, layers=4, heads=8, width=512), seed=0)
size = sum(p.data.nbytes for p in large.parameters())
print(f"{size / 1e6:.0f} MB of weights\n")


def fastest(T, calls=7):
    """Seconds to read T tokens at once, of the fastest call."""
    times = []
    for _ in range(calls):
        began = perf_counter()
        large(np.ones((1, T), int), kv=large.new_kv(1))
        times.append(perf_counter() - began)
    return min(times)


fastest(1)
for T in (1, 2, 4, 8, 16, 32, 64):
    seconds = fastest(T)
    print(
        f"T = {T:2}: {1e3 * seconds:6.1f} ms, {1e3 * seconds / T:5.2f} ms a token; weights pass by at "
        f"{size / seconds / 1e9:4.1f} GB/s, {2 * T * size / 4 / seconds / 1e9:5.1f} G operations/s"
    )

# %% [markdown]
# (Measured on the machine that built this page, and while it may have had other things to do; run
# it on yours.) Far less than 32 times. For one token **every weight is fetched from memory to be
# used once**: two operations for four bytes, and the multipliers wait. For 32 tokens each weight
# that has come is used 32 times.
#
# That is why a prompt is read at once and quickly, why the answer then drips, why servers write for
# many people at the same time (their tokens share the weights on their way), and why it pays to let
# a small model guess a few tokens that the large one only has to *read*.
#
# ## When the context is full
#
# Positions are learned for places in the window. When the oldest token leaves, all others move up a
# place. **Predict:** context 12, a prompt of 4, 16 tokens to write. How many tokens does the model
# read for each?


# %%
class Watched(GPT):
    """A GPT that counts what it reads."""

    def __call__(self, ids, *args, **kwargs):
        reads.append(np.shape(ids)[1])
        return super().__call__(ids, *args, **kwargs)


reads = []
watched = Watched(GPTConfig(vocab_size=64, context=12, layers=1, heads=1, width=8))
list(stream(watched, [1, 2, 3, 4], max_new_tokens=16))
for place, count in enumerate(reads, start=1):
    print(f"token {place:2} read {count:3}  {'█' * count}")

# %% [markdown]
# The prompt at once; then one by one; and when the window is full, **everything, every time**. No
# array is wrong, the text is right, and it has suddenly become as slow as without any memory. If a
# model's answers slow down after so many words, this is where to look. (Rotary positions, chapter
# 08, turn keys by their distance and can avoid it; what a key *saw* of tokens that are gone stays
# in it, though.)
#
# ## Broken on purpose: a mask with the wrong corner
#
# "Query t may see keys 0 to t." While training T = S, and that is right. In generation there is one
# query (number 0!) and S keys. **Predict:** what does it see? (Here T = 2 and S = 5.)

# %%
T, S = 2, 5
top_left, bottom_right = np.tri(T, S, dtype=bool), np.tri(T, S, S - T, dtype=bool)
show.heatmap(np.stack([top_left, bottom_right]), "top left; bottom right", ("corner", "T", "S"))

# %% [markdown]
# With the wrong corner the first of two queries sees one key, and a single one would see no more.
# How does that show? A backend is a table of functions (`numba` is one), so a mistake can be
# planted in a backend of its own, and the same model runs in both.
#
# **Predict:** is the loss on whole sequences right? And token by token, with memory?


# %%
@kernel("wrong_corner", ops.attention_forward)
def attention_forward(q, k, v, mask=None, causal=False, scale=None, keep=None, p=0.0):
    """Attention in which the future is counted from the first key."""
    mask = np.tri(q.shape[2], k.shape[2], dtype=bool) if causal else mask
    return ops.attention_forward.impls["numpy"](q, k, v, mask, False, scale, keep, p)


rows = held_out[: 20 * 32].reshape(20, 32)


def loss_of(logits):
    """Mean surprise at the tokens of the rows, but for the first."""
    return ops.cross_entropy_forward(logits[:, :-1], rows[:, 1:])[0]


for backend in ("numpy", "wrong_corner"):
    with use_backend(backend):
        at_once, _ = model(rows)
        kv = model.new_kv(len(rows))
        one_by_one = np.hstack([model(rows[:, t : t + 1], kv=kv)[0] for t in range(32)])
    print(
        f"{backend:12}  at once {loss_of(at_once):.3f}   token by token {loss_of(one_by_one):.3f}"
    )

# %% [markdown]
# **The symptom:** training is perfect, the validation loss is perfect, every test on whole
# sequences passes, and what the model *writes* is worse than its loss promises. Nothing crashes.
# The gap between the two columns is the diagnosis: **the same tokens, read at once and one by one,
# must give the same logits**, and that is the test to write first.
#
# ## Your turn
#
# - `minitransformer exercises` → **kv_append**, **causal_mask**, and **attention_forward** (its
#   tests ask for S > T).
# - A server forgets to empty `kv` between two people. What does the second one get? Try it: call
#   the model on another text with the same `kv`.
# - On paper: with how many people at a time does the cache of "Llama 2 7B" outgrow its weights?
# - In which case does a *longer* prompt cost less than a shorter one? (Two questions, one prompt
#   before both.)
#
# ## Further reading
#
# - Shazeer (2019), *Fast Transformer Decoding: One Write-Head is All You Need*, arXiv:1911.02150:
#   the memory traffic of writing, counted; one key head for all.
# - Ainslie et al. (2023), *GQA*, arXiv:2305.13245: between one and all.
# - Pope et al. (2022), *Efficiently Scaling Transformer Inference*, arXiv:2211.05102: reading and
#   writing as two different problems.
# - Kwon et al. (2023), *Efficient Memory Management for Large Language Model Serving with
#   PagedAttention*, arXiv:2309.06180: whose buffer is whose.
# - Leviathan, Kalman, Matias (2022), *Fast Inference from Transformers via Speculative Decoding*,
#   arXiv:2211.17192: guess small, read large.
# - Xiao et al. (2023), *Efficient Streaming Language Models with Attention Sinks*,
#   arXiv:2309.17453: what may be thrown out of a full cache, and why not the first tokens.
