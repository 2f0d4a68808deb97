# %% [markdown]
# # 07 · Many heads, masks, cross-attention
#
# **The question.** Attention gives each query one weighted mean. But a word often needs two things at
# once: a verb wants its subject *and* its object, and a mean of the two is neither. Would a wider
# head do? And who decides what must not be seen?
#
# Before this: chapter 06 (attention). Shape letters: B batch, T queries, S keys, C features, H heads,
# D = C / H features of a head.

# %%
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices this small are not worth a second one
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import functools

import numpy as np

from minitransformer import AdamW, ops, set_backend, show
from minitransformer.data import Batch
from minitransformer.nn import (
    CrossAttention,
    Embedding,
    LearnedPositions,
    Linear,
    Module,
    MultiHeadAttention,
)
from minitransformer.nn.attention import multi_head_attention_backward
from minitransformer.training import train

set_backend("numpy")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand first
#
# Heads cost nothing new: cut the C features of every position into H slices, and let each slice
# attend on its own. Here T = 3 positions have C = 4 features; feature c of position t is the number
# 10 t + c, so that you can see where each one goes.
#
# **Predict before you run:** the shape for H = 2, and the three rows of head 1.

# %%
x = (10.0 * np.arange(3)[:, None] + np.arange(4))[None]
(heads,), _ = ops.split_heads_forward(x, (2,))
show.heatmap(x, "x", ("B", "T", "C"))

# %%
show.heatmap(heads, "heads", ("B", "H", "T", "D"))

# %% [markdown]
# A head is a *vertical* slice: all positions, some features. The position stays a row, because
# attention mixes rows. (The library's own two lines for this are `ops.split_heads_forward`: a reshape and
# a **transpose**. Remember the transpose. It is the hero of the last section.)
#
# ## The whole of it, line by line
#
# One linear map makes q, k and v of all heads at once; attention; merge; one more linear map.
# B = 1, T = 3, C = 4, H = 2.
#
# **Predict** the shapes of `fused`, `q` and, inside `_mix`, of the probabilities. How many weights
# has the layer, and how does that depend on H?

# %%
attention = MultiHeadAttention(
    4, 2, np.random.default_rng(7), std=0.5, projection_std=0.5, dtype=np.float64
)
x = np.array([[[1.0, 0.0, -1.0, 0.5], [0.0, 2.0, 0.5, -0.5], [-1.0, 0.5, 1.0, 1.5]]])
axes = {
    "x": "B T C",
    "y": "B T C",
    "q": "B H T D",
    "k": "B H S D",
    "v": "B H S D",
    "fused": "B T F",
}
steps = show.step_through(attention.__call__, x, causal=True, axes=axes)
steps

# %%
y, cache = steps.forward.result
print(f"{attention.parameter_count()} weights: 4 C² + 4 C = {4 * 4 * 4 + 4 * 4}, whatever H is")
show.attention(cache, ["t=0", "t=1", "t=2"])

# %% [markdown]
# Backward is the same road in the other direction, and there is nothing on it that you have not seen:
# linear (03), a permutation, attention (06), linear.

# %%
backward = functools.partial(multi_head_attention_backward, attention)
dy = np.array([[[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]])
show.step_through(backward, dy, cache, axes={**axes, "dy": "B T C"})

# %% [markdown]
# We asked about position 1 only, so position 2, which it cannot see, gets exactly 0.
#
# ## A surprise, measured: what one head does when it needs two things
#
# A task that nothing but looking up can solve. Random letters; at every position the model must say
# *two* letters: the one 1 place back **and** the one 3 places back. One layer of attention, nothing
# else: embedding, positions, attention, and a linear readout.
#
# **Predict:** with 1 head and with 2 heads, at *the same number of weights*: how often is the first
# answer right, how often the second? (One head is not helpless. How would you cheat?)

# %%
V, T, C = 12, 12, 24
BACK = (1, 3)


class LookUp(Module):
    """One layer of attention, and for every position one answer for each place to look up."""

    def __init__(self, heads, answers, seed=2):
        rng = np.random.default_rng(seed)
        self.tokens = Embedding(V, C, rng, std=1.0)
        self.positions = LearnedPositions(T, C, rng, std=1.0)
        self.attention = MultiHeadAttention(C, heads, rng, std=0.2, projection_std=0.2)
        self.readout = Linear(C, answers * V, rng, std=0.2)

    def __call__(self, ids):
        x, tokens = self.tokens(ids)
        x, positions = self.positions(x)
        x, attention = self.attention(x, causal=True)
        y, readout = self.readout(x)
        return y.reshape(*ids.shape, -1, V), (tokens, positions, attention, readout)

    def loss(self, batch, rng=None):
        logits, cache = self(batch.inputs)
        loss, cross_entropy = ops.cross_entropy_forward(logits, batch.targets)
        return loss, (*cache, cross_entropy)

    def backward(self, cache, dloss=1.0):
        tokens, positions, attention, readout, cross_entropy = cache
        (dlogits,) = ops.cross_entropy_backward(dloss, cross_entropy)
        dx = self.readout.backward(dlogits.reshape(*dlogits.shape[:2], -1), readout)
        dx = self.attention.backward(dx, attention)
        self.tokens.backward(self.positions.backward(dx, positions), tokens)


def questions(step, back, batch=32):
    """Random letters; the answers are letters some places back, where there are any."""
    ids = np.random.default_rng([7, step]).integers(V, size=(batch, T))
    targets = np.full((batch, T, len(back)), -100)
    for answer, places in enumerate(back):
        targets[:, max(back) :, answer] = ids[:, max(back) - places : T - places]
    return Batch(ids, targets)


def learned(heads, back, steps=450):
    """Train a model."""
    model = LookUp(heads, len(back))
    optimizer = AdamW(model.parameters(), lr=0.01)
    for _ in train(
        model,
        optimizer,
        lambda step: questions(step, back),
        lambda step: 0.01 * min(1.0, step / 20) * (1 - step / (steps + 50)),
        steps,
    ):
        pass
    return model


def examine(model, back):
    """For fresh letters: all targets, and the probabilities of all letters, where there are any."""
    test = questions(10**6, back, batch=300)
    probs, _ = ops.softmax_forward(model(test.inputs)[0])
    return test.targets[:, max(back) :], probs[:, max(back) :]


models = {heads: learned(heads, BACK) for heads in (1, 2)}
print("heads   weights   answer     is right   p(right letter)   p(one of the two letters)")
for heads, model in models.items():
    targets, probs = examine(model, BACK)
    given = np.take_along_axis(probs, targets[..., None, :], axis=-1)  # one row for each answer
    differ = targets[..., 0] != targets[..., 1]
    for answer, places in enumerate(BACK):
        right = np.mean(probs[..., answer, :].argmax(axis=-1) == targets[..., answer])
        print(
            f"{heads:5} {model.parameter_count():9}   {places} back {right:12.1%}"
            f" {given[..., answer, answer].mean():17.2f}"
            f" {given[differ][:, answer].sum(axis=-1).mean():27.2f}"
        )

# %%
word = np.random.default_rng(1).integers(V, size=(1, T))
letters = [chr(97 + i) for i in word[0]]
_, (_, _, one, _) = models[1](word)
_, (_, _, two, _) = models[2](word)
show.attention(one.probs[0, 0], letters)

# %%
show.attention(two, letters)

# %% [markdown]
# Two heads divide the work, though nobody told them: one looks 1 back, the other 3 back, each
# with all its weight.
#
# One head looks at both places, half and half. Then it *knows the two letters, but not which is which*:
# of the second answer, both letters together get nearly all the probability, and it is a coin toss
# between them. A mean has forgotten its order. (Some seeds, trained for longer, get further by looking
# at one place more than at the other. Why does that help?)
#
# **Predict:** and with four things to look up?

# %%
places = (1, 2, 3, 5)
print("heads   right:", "".join(f"{n} back   " for n in places))
for heads in (1, 2, 4):
    targets, probs = examine(learned(heads, places), places)
    right = np.mean(probs.argmax(axis=-1) == targets, axis=(0, 1))
    print(f"{heads:5}        " + "".join(f"{share:6.0%}   " for share in right))

# %% [markdown]
# A head is **one softmax**: one place where the weights must sum to 1. More features make the arrow
# that it fetches richer; only more heads make more *choices*. They pay with narrower arrows,
# D = C / H, for the scores.
#
# ## Masks: three of them, one contract
#
# `True` = may be seen. The causal mask hides the future; the padding mask hides what only fills the
# batch up; together they are an *and*, by broadcasting.
#
# **Predict** the shapes of the three, and the second panel of the third (that sentence has 3 tokens).

# %%
lengths = np.array([5, 3])
causal = ops.causal_mask(5, 5)
padding = ops.padding_mask(lengths, 5)
both = causal & padding
print("causal", causal.shape, "  padding", padding.shape, "  both", both.shape)
show.heatmap(both, "both", ("B", "H", "T", "S"))

# %% [markdown]
# The contract (chapter 01): what is hidden has probability **exactly** 0. So a sentence may not notice
# who else is in its batch. **Predict:** by how much does the output of the three real tokens
# change, between a batch of its own and one where it is padded with nonsense? And what is the gradient
# at the nonsense?

# %%
rng = np.random.default_rng(0)
sentence = rng.standard_normal((1, 3, 4))
nonsense = 1000.0 * rng.standard_normal((1, 2, 4))
padded = np.concatenate([sentence, nonsense], axis=1)
mask = ops.padding_mask(np.array([3]), 5)
alone, _ = attention(sentence)
together, cache = attention(padded, mask)
print("largest change:", np.abs(alone - together[:, :3]).max())
dy = np.where(np.arange(5)[:, None] < 3, rng.standard_normal((1, 5, 4)), 0.0)
print("gradient at each position:\n", attention.backward(dy, cache)[0])

# %% [markdown]
# Rounding at most, and exactly 0. Note the second condition: `dy` is 0 at the padding. Padding cannot be
# *seen*, but it still *looks*: its own outputs are computed, and are rubbish. The loss must not count
# them (chapter 02: target −100).
#
# ## Cross-attention: ask another sequence
#
# A translator writes T words and looks at S words of another sentence, the **memory**. Queries come
# from the one, keys and values from the other. No causal mask: the memory is there already.
#
# **Predict** the shape of probs, for T = 2, S = 5; and what dmemory is at padding of the memory.

# %%
cross = CrossAttention(4, 2, np.random.default_rng(3), std=1.0, dtype=np.float64)
x = rng.standard_normal((1, 2, 4))
memory = rng.standard_normal((1, 5, 4))
y, cache = cross(x, memory, ops.padding_mask(np.array([4]), 5))
dx, dmemory = cross.backward(np.ones_like(y), cache)
print("y", y.shape, "  probs", cache.probs.shape, "  dx", dx.shape, "  dmemory", dmemory.shape)
show.attention(cache, ["x0", "x1"], ["m0", "m1", "m2", "m3", "pad"])

# %%
show.heatmap(dmemory, "dmemory", ("B", "S", "C"), role="backward")

# %% [markdown]
# `dmemory` is the sum over everybody who looked: T queries, H heads. (And over every decoder layer that
# looks at the same memory: an encoder is taught by all of them at once.)
#
# ## Fewer keys than queries
#
# While generating, keys and values of all that was written are kept (chapter 13). Let several query
# heads share one key head, and there is less to keep. Sharing is a copy that nobody makes, and so
# backward is a **sum** (chapter 03).
#
# **Predict** the shape of dk for 4 query heads and 2 key heads.

# %%
q, dy = rng.standard_normal((2, 1, 4, 3, 5))
k, v = rng.standard_normal((2, 1, 2, 3, 5))
_, cache = ops.attention_forward(q, k, v)
_, dk, _ = ops.attention_backward(dy, cache)
_, cache = ops.attention_forward(q, *(np.repeat(each, 2, axis=1) for each in (k, v)))
_, dk_of_copies, _ = ops.attention_backward(dy, cache)
print("shared", dk.shape, "  of copies", dk_of_copies.shape)
print("sum of two copies", np.allclose(dk, dk_of_copies.reshape(1, 2, 2, 3, 5).sum(axis=2)))

# %% [markdown]
# ## Broken on purpose: the forgotten transpose
#
# (B, T, C) → (B, H, T, D) could be a plain reshape: all sizes fit. So could the way back. **Predict**
# what goes wrong if the transpose is forgotten on both ways; and if on the way back only. The masks are
# right, all shapes are right, every gradient check passes.
#
# We look with the most honest instrument there is: move input s a little, and see which outputs t move.

# %%
H, D, N = 2, 3, 6


def split(x):
    """As it should be."""
    return ops.split_heads_forward(x, (H,))[0][0]


def merge(y):
    """As it should be."""
    return ops.merge_heads_forward(y)[0]


def split_by_reshape(x):
    """Without the transpose."""
    return x.reshape(1, H, N, D)


def merge_by_reshape(y):
    """Without the transpose."""
    return y.reshape(1, N, H * D)


def reach(split, merge):
    """Measure which outputs (rows) notice a change of which inputs (columns), causal mask on."""

    def attend(x):
        q = k = v = split(x)
        return merge(ops.attention_forward(q, k, v, causal=True)[0])

    x = np.random.default_rng(2).standard_normal((1, N, H * D))
    moved = np.repeat(x, N, axis=0)
    moved[np.arange(N), np.arange(N)] += 1.0
    changes = [np.abs(attend(each[None]) - attend(x))[0].max(axis=-1) for each in moved]
    return np.stack(changes, axis=1)


show.heatmap(reach(split, merge), "right", ("output", "input"))

# %%
show.heatmap(reach(split_by_reshape, merge_by_reshape), "no transpose", ("output", "input"))

# %%
show.heatmap(reach(split, merge_by_reshape), "no transpose in merge", ("output", "input"))

# %% [markdown]
# **The symptoms.**
#
# - Both forgotten: position 3 does not see positions 0 to 2. The sequence has been cut *across*: head
#   0 has the first half of the text, head 1 the second half. It trains, a little worse than it should,
#   as if the context were short; and the more heads the shorter.
# - One forgotten: there are numbers **above the diagonal**. The future leaks around a perfectly
#   correct mask. The loss falls wonderfully, and the model cannot write a sentence (chapter 00 showed
#   that triumph).
#
# Six lines of measuring find both. A causal model deserves this test: *change a token, and nothing
# before it may move*.
#
# ## Your turn
#
# - `minitransformer exercises` → **split_heads_forward**, **merge_heads_forward**, **causal_mask**,
#   **padding_mask**; then **multi_head_attention_backward**.
# - Give `LookUp` other seeds. What else may one head do? And train `learned(2, (1, 2, 3, 5))` with
#   C = 48: do two heads do better with more features?
# - On paper: what is the gradient of k's bias, summed over everything? (Softmax sees differences only.)
#
# ## Further reading
#
# - Vaswani et al. (2017), *Attention Is All You Need*, arXiv:1706.03762, section 3.2.2.
# - Michel, Levy, Neubig (2019), *Are Sixteen Heads Really Better than One?*, arXiv:1905.10650: after
#   training, many heads can be taken away.
# - Shazeer (2019), *Fast Transformer Decoding: One Write-Head is All You Need*, arXiv:1911.02150; and
#   Ainslie et al. (2023), *GQA*, arXiv:2305.13245: fewer key heads.
