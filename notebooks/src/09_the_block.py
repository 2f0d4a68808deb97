# %% [markdown]
# # 09 · The block: residuals, pre-norm, post-norm
#
# **The question.** A large model has a hundred blocks, one on top of the other. On the way back the
# gradient passes through every one. If each makes it smaller by a tenth, nothing arrives; if each makes it
# larger by a tenth, everything explodes. Who takes care that it is neither?
#
# Before this: chapters 05 (layer norm) and 07 (heads). Shape letters: B batch, T positions, C features.

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

from minitransformer import AdamW, gradcheck, ops, set_backend, show
from minitransformer.data import Batch
from minitransformer.nn import (
    Embedding,
    FeedForward,
    Gelu,
    LayerNorm,
    LearnedPositions,
    Linear,
    Module,
    MultiHeadAttention,
    PostNormBlock,
    PreNormBlock,
)
from minitransformer.nn.blocks import pre_norm_block_backward
from minitransformer.training import train

set_backend("numpy")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand first
#
# Features, blocks and attention away: one number x, and 64 layers that multiply it by w. The slope from end to
# end is w⁶⁴. With a **residual**, a layer *adds* to what is there: y = x + w x, and the slope is
# (1 + w)⁶⁴.
#
# **Predict before you run** the orders of magnitude: w = 0.5 and w = 0.9 without a residual; w = 0.01
# and w = −0.01 with one.

# %%
print(f"without: 0.5 → {0.5**64:.0e}     0.9 → {0.9**64:.0e}     1.1 → {1.1**64:.0e}")
print(f"with:  −0.01 → {0.99**64:.2f}    0.01 → {1.01**64:.2f}")

# %% [markdown]
# Without a residual, a layer must be just right. With one it may do *next to nothing*, and the signal comes
# through, forward and backward. A layer that starts with small weights is harmless, and it becomes
# useful step by step.
#
# Backward, the plus sign does all the work: `y = x + f(x)` gives `dx = dy + (backward of f)(dy)`. The
# gradient goes both ways and meets again. That first dy comes through **untouched**.
#
# ## A block, line by line
#
# Two parts, attention and feed-forward, each beside the path. Where to put the layer norm? Today most
# models normalise what a part *reads* (**pre-norm**), and leave the path alone.
#
# **Predict:** which lines of backward make the two plus signs?

# %%
C = 32


def parts(rng, width=C, std=None, dtype=np.float32):
    """What a block is made of; the weights keep the size of what they are multiplied with."""
    std = width**-0.5 if std is None else std
    options = {"std": std, "projection_std": std, "dtype": dtype}
    return (
        LayerNorm(width, dtype=dtype),
        MultiHeadAttention(width, 2, rng, **options),
        LayerNorm(width, dtype=dtype),
        FeedForward(width, 2 * width, rng, activation=Gelu(), **options),
    )


small = PreNormBlock(*parts(np.random.default_rng(9), width=4, dtype=np.float64))
x = np.array([[[1.0, -0.5, 0.5, 2.0], [0.0, 1.5, -1.0, 0.5]]])
letters = dict.fromkeys(("x", "dx", "y", "dy", "normed", "update", "dnormed", "dupdate"), "B T C")
steps = show.step_through(small.__call__, x, causal=True, axes=letters)
steps

# %%
dy = np.array([[[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]])
backward = functools.partial(pre_norm_block_backward, small)
show.step_through(backward, dy, steps.forward.result[1], axes=letters)

# %% [markdown]
# The two lines with `accumulate`: dx += dy. Most of the 1.00 in dy is still there in dx, after everything.
#
# In 2017 the norm stood *on* the path: y = norm(x + f(x)), **post-norm**. That looks like a matter of
# taste. We shall see.
#
# ## 64 blocks
#
# A tower of blocks of any kind, with letters at the bottom and a question at the top: *which letter was one
# place before?* We build three: no residuals, post-norm, pre-norm. Nothing is trained yet.


# %%
class NoResidual(PreNormBlock):
    """The same parts, without the path beside them."""

    def __call__(self, x, mask=None, causal=False):
        x, attention_norm = self.attention_norm(x)
        x, attention = self.attention(x, mask, causal)
        x, feed_forward_norm = self.feed_forward_norm(x)
        y, feed_forward = self.feed_forward(x)
        return y, (attention_norm, attention, feed_forward_norm, feed_forward)

    def backward(self, dy, cache):
        attention_norm, attention, feed_forward_norm, feed_forward = cache
        dx = self.feed_forward.backward(dy, feed_forward)
        dx = self.feed_forward_norm.backward(dx, feed_forward_norm)
        dx = self.attention.backward(dx, attention)
        return self.attention_norm.backward(dx, attention_norm)


V, T = 12, 16


class Tower(Module):
    """Blocks of one kind on top of each other."""

    def __init__(self, kind, depth, std=None):
        rng = np.random.default_rng(0)
        self.tokens = Embedding(V, C, rng, std=1.0)
        self.positions = LearnedPositions(T, C, rng, std=1.0)
        self.blocks = [kind(*parts(rng, std=std)) for _ in range(depth)]
        self.norm = LayerNorm(C)
        self.readout = Linear(C, V, rng, std=C**-0.5)

    def embed(self, ids):
        x, tokens = self.tokens(ids)
        x, positions = self.positions(x)
        return x, (tokens, positions)

    def loss(self, batch, rng=None):
        x, embedding = self.embed(batch.inputs)
        caches = []
        for block in self.blocks:
            x, cache = block(x, causal=True)
            caches.append(cache)
        x, norm = self.norm(x)
        logits, readout = self.readout(x)
        loss, cross_entropy = ops.cross_entropy_forward(logits, batch.targets)
        return loss, (embedding, caches, norm, readout, cross_entropy)

    def backward(self, cache, dloss=1.0):
        (tokens, positions), caches, norm, readout, cross_entropy = cache
        (dlogits,) = ops.cross_entropy_backward(dloss, cross_entropy)
        dx = self.norm.backward(self.readout.backward(dlogits, readout), norm)
        for block, block_cache in zip(reversed(self.blocks), reversed(caches), strict=True):
            dx = block.backward(dx, block_cache)
        self.tokens.backward(self.positions.backward(dx, positions), tokens)


def questions(step, batch=8):
    """Random letters; the answer is the letter before."""
    ids = np.random.default_rng([9, step]).integers(V, size=(batch, T))
    return Batch(ids, np.concatenate([np.full((batch, 1), -100), ids[:, :-1]], axis=1))


KINDS = {"no residual": NoResidual, "post-norm": PostNormBlock, "pre-norm": PreNormBlock}
ROLES = {"no residual": "neutral", "post-norm": "pink", "pre-norm": "green"}
towers = {name: Tower(kind, depth=64) for name, kind in KINDS.items()}
show.gradient_flow(towers["pre-norm"], questions(0))

# %% [markdown]
# Pre-norm, forward and backward. Forward, each block adds an arrow of about the same length in
# a random direction, so the path grows like √depth; the next block has ever less to say. Backward, the
# gradient comes down through 64 blocks and arrives eight times as large as it started: next to nothing,
# for 64 blocks.
#
# **Predict** the gradients of the other two, from block 64 down to block 1. (The hand calculation says:
# without a residual, disaster.)

# %%
depths = range(1, 65)
flows = {name: show.sizes_along_depth(tower, questions(0)) for name, tower in towers.items()}
show.curves(
    {name: (ROLES[name], list(zip(depths, flows[name][1], strict=True))) for name in KINDS},
    "after block",
    "gradient: root mean square of an entry",
)

# %% [markdown]
# - **Post-norm** fades: some 50 times smaller at block 16 than at the top. Every norm stands *on* the
#   path and divides what passes by the size of x + f(x).
# - **No residual: nothing fades!** Did the hand calculation lie? No: it had no layer norm. Here each part
#   begins with one, and chapter 05 showed that layer norm forgets how large its input was. It mends the size of
#   the signal, both ways.
#
# So do we need residuals at all?
#
# ## The surprise, measured: it is not the gradient that dies
#
# Take the vectors of the 16 positions, after each block, and ask how alike they are: the mean cosine
# between any two. **Predict** the three curves.


# %%
def likeness(x):
    """Mean cosine between the vectors of two different positions, x being (T, C)."""
    unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
    cosines = unit @ unit.T
    return float((cosines.sum() - len(x)) / (len(x) * (len(x) - 1)))


def along_depth(tower):
    """Likeness before the first block and after every block."""
    x, _ = tower.embed(questions(0).inputs[:1])
    found = [likeness(x[0])]
    for block in tower.blocks:
        x, _ = block(x, causal=True)
        found.append(likeness(x[0]))
    return list(enumerate(found))


alike = {name: along_depth(tower) for name, tower in towers.items()}
show.curves(
    {name: (ROLES[name], points) for name, points in alike.items()},
    "after block",
    "mean cosine between two positions",
    log_y=False,
)

# %%
print("after block " + "".join(f"{depth:8}" for depth in (0, 1, 4, 8, 16, 64)))
for name, points in alike.items():
    print(f"{name:11} " + "".join(f"{points[d][1]:8.3f}" for d in (0, 1, 4, 8, 16, 64)))

# %% [markdown]
# Without residuals **all positions are the same vector** after eight blocks. Attention is a mean, a
# mean of means of means is grey, and layer norm restores the *length* of a vector, not what made it
# different. There is a gradient, a healthy one, and nothing left for it to be about. The residual path
# is what carries the word itself up through the averaging.
#
# Post-norm keeps a path, but divides what is on it by about √2 with each part, and goes grey a little
# later.
#
# **Predict:** which of the three learns, at 12 blocks? And with the small weights that GPT-2 starts from
# (standard deviation 0.02)?

# %%
STEPS = 60


def learn(kind, std):
    """Train 12 blocks; return the losses, ten steps at a time."""
    tower = Tower(kind, depth=12, std=std)
    optimizer = AdamW(tower.parameters(), lr=0.003)
    steps = train(
        tower, optimizer, questions, lambda step: 0.003 * min(1.0, step / 10), STEPS, clip=1.0
    )
    return np.mean(np.reshape([step.loss for step in steps], (-1, 10)), axis=1)


losses = {(name, std): learn(kind, std) for std in (None, 0.02) for name, kind in KINDS.items()}
print(f"knowing nothing: ln {V} = {np.log(V):.2f}\n")
print("weights         kind         mean loss of steps 1 to 10, 11 to 20, …")
for (name, std), values in losses.items():
    size = "1/√C = 0.18" if std is None else f"{std}"
    print(f"{size:15} {name:12}" + "".join(f"{value:6.2f}" for value in values))

# %% [markdown]
# - **No residual** learns nothing, at any size.
# - With large weights **post-norm** learns nothing either: too grey.
# - With small weights post-norm and pre-norm are *equally good*. A part that says next to nothing leaves
#   post-norm's path nearly alone, too.
#
# So the difference is not that one of them works. It is that **pre-norm forgives**, here large
# weights. Post-norm wants to be started carefully (in 2017: with a warm-up of 4000 steps).
#
# ## Broken on purpose: the forgotten plus
#
# Forward is right. In backward, the lines `dx += dy` are missing: each part's gradient is computed
# perfectly, and the path is forgotten. **Predict** the gradient at the first of 64 blocks.


# %%
class ForgottenPlus(PreNormBlock):
    """A right forward, and a backward without the path."""

    def backward(self, dy, cache):
        dnormed = self.feed_forward.backward(dy, cache.feed_forward)
        dx = self.feed_forward_norm.backward(dnormed, cache.feed_forward_norm)
        dnormed = self.attention.backward(dx, cache.attention)
        return self.attention_norm.backward(dnormed, cache.attention_norm)


_, forgotten = show.sizes_along_depth(Tower(ForgottenPlus, depth=64), questions(0))
show.curves(
    {
        "right": ("green", list(zip(depths, flows["pre-norm"][1], strict=True))),
        "forgotten": ("neutral", list(zip(depths, forgotten, strict=True))),
    },
    "after block",
    "gradient: root mean square of an entry",
)

# %% [markdown]
# There is the disaster of the hand calculation: a straight line on a logarithmic axis, until the numbers
# are too small for float32 and become 0. What does it look like to somebody who only sees the loss?

# %%
values = learn(ForgottenPlus, 0.02)
for name, each in (("right", losses["pre-norm", 0.02]), ("forgotten", values)):
    print(f"{name:12}" + "".join(f"{value:6.2f}" for value in each))


def broken(dtype):
    """One broken block."""
    return ForgottenPlus(*parts(np.random.default_rng(9), width=4, dtype=dtype))


def broken_forward(x):
    """In the precision of x."""
    return broken(x.dtype)(x)


def broken_backward(dy, cache):
    """A tuple, as of an op."""
    return (broken(dy.dtype).backward(dy, cache),)


print()
print(gradcheck(broken_forward, broken_backward, {"x": x}))

# %% [markdown]
# **The symptom** is hard to see: the loss *falls*, much more slowly, since only the top of the tower hears
# anything. In a shallow model it is harder still. Two instruments tell: `gradcheck` on one block, and the
# gradient's size along depth, which nobody should train a deep model without having looked at.
#
# ## Your turn
#
# - `minitransformer exercises` → **pre_norm_block_backward**, **post_norm_block_backward**.
# - GPT-2 divides the weights that write to the path by √(2 · layers). Build a tower so, and draw
#   `show.gradient_flow`: what happened to the activations?
# - On paper: the gradient of pre-norm's path is the sum over all ways through 64 blocks, each block
#   either skipped or passed. How many ways are there?
# - Start all weights that write to the path at 0. What does the tower compute? Does it learn?
#
# ## Further reading
#
# - He et al. (2015), *Deep Residual Learning for Image Recognition*, arXiv:1512.03385.
# - Xiong et al. (2020), *On Layer Normalization in the Transformer Architecture*, arXiv:2002.04745: why
#   post-norm needs a warm-up.
# - Dong, Cordonnier, Loukas (2021), *Attention is Not All You Need: Pure Attention Loses Rank Doubly
#   Exponentially with Depth*, arXiv:2103.03404: our grey vectors, proved.
# - Wang et al. (2022), *DeepNet: Scaling Transformers to 1,000 Layers*, arXiv:2203.00555: post-norm,
#   started carefully enough.
