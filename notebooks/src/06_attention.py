# %% [markdown]
# # 06 · Scaled dot-product attention: forward, then backward, every array
#
# **The question.** Every position of a sequence may fetch something from every other. What does it
# fetch? And when the result was wrong, who has to change: the one who asked (q), the one who was
# found (k), or what was handed over (v)?
#
# Before this: chapter 01 (softmax). Shape letters: B batch, H heads, T queries, S keys,
# D features of a query or key, Dv features of a value.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import numpy as np

from minitransformer import gradcheck, ops, show
from minitransformer.ops.softmax import SoftmaxCache

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand first
#
# One query, two keys, two values. With `scale=1` the scores are the plain dot products
# `q · k₁ = log 3` and `q · k₂ = 0`. The values are 4 and 8.
#
# **Predict before you run:** the two probabilities, and y.

# %%
q = np.array([[np.log(3.0), 0.0]])[None, None]
k = np.array([[1.0, 0.0], [0.0, 1.0]])[None, None]
v = np.array([[4.0], [8.0]])[None, None]
y, cache = ops.attention_forward(q, k, v, scale=1.0)
print("shapes: q", q.shape, " k", k.shape, " v", v.shape, " y", y.shape)
print("probs ", cache.probs.squeeze())
print("y     ", y.squeeze())

# %% [markdown]
# Three quarters of 4 and one quarter of 8: y is a **mean of the values**, weighted by how well the
# keys match. It can never leave the range of the values.
#
# Backward by hand, for `dy = 1`, from the end to the beginning:
#
# | | formula | numbers |
# |---|---|---|
# | what was handed over | `dv = probsᵀ dy` | 3/4, 1/4 |
# | had the weights been others | `dprobs = dy vᵀ` | 4, 8 |
# | their mean under probs | `Σ probs · dprobs` | 3/4 · 4 + 1/4 · 8 = 5 |
# | the scores | `dscores = probs (dprobs − 5)` | −3/4, +3/4 |
# | who asked | `dq = dscores k` | −3/4, +3/4 |
# | who was found | `dk = dscoresᵀ q` | −3/4 log 3, +3/4 log 3 |
#
# To raise y, look less at the 4 and more at the 8. Of course.

# %%
dq, dk, dv = ops.attention_backward(np.ones_like(y), cache)
print("dv", dv.squeeze(), "  dq", dq.squeeze())
print("dk", dk.squeeze().tolist(), "  3/4 log 3 =", 0.75 * np.log(3.0))

# %% [markdown]
# ## The source
#
# This is all of it: the library's own text, forward and backward next to each other, and between
# them what backward remembers.

# %%
show.pair("attention")

# %% [markdown]
# ## Every array
#
# Three queries, three keys, causal: query t may see keys 0 to t. All lengths differ where they can
# (D = 2, Dv = 4), so that no two axes can be confused.
#
# **Predict:** which entries of `probs` are 0? Which of `dscores`? What does each row of `dscores`
# sum to? Which row of dv gets the most?
#
# Read the left column down. Then start at the bottom right and read the groups upwards: beside each
# forward line stand the backward lines that differentiate it.

# %%
rng = np.random.default_rng(6)
q, k, v = (rng.standard_normal((1, 1, 3, features)) for features in (2, 2, 4))
dy = np.round(rng.standard_normal((1, 1, 3, 4)), 1)
steps = show.step_through("attention", q, k, v, causal=True, dy=dy)
steps

# %% [markdown]
# Check your predictions against the recorded arrays:

# %%
seen = steps.backward.final()
probs, dscores = steps.forward.final()["probs"].data, seen["dscores"].data
print("dscores is 0 wherever probs is 0:", np.all(dscores[probs == 0.0] == 0.0))
print("rows of dscores sum to", dscores.sum(axis=-1).squeeze().round(12) + 0.0)
print("columns of probs sum to", probs.sum(axis=-2).squeeze(), "← what each value gave away")

# %% [markdown]
# Every masked score has gradient 0 without a line of code about it: its probability is 0, and that is
# the factor in front. Query 0 can see only key 0, so its probability is 1 whatever the score is, and
# its row of dscores is 0: **the first token learns nothing about where to look.**
#
# ## The two lines to remember
#
# `dv = probsᵀ dy`: a value gets the gradient of every query that read it, as much as it was read.
#
# `dscores = probs (dprobs − mean)`: a score rises if its value points more along dy than the average
# value that this query received.
#
# All else is two matrix products, and the rule for those is chapter 03: *the other factor, transposed*.
#
# ## A surprise, measured: why divide by √D
#
# q and k have entries of variance 1. **Predict:** how does the typical largest probability of
# a query change from D = 4 to D = 1024, with and without the scale? And the gradient of the scores?


# %%
def sharpness_and_gradient(features, scale):
    """Mean largest probability, and root mean square of dscores."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((4, 4, 32, n)) for n in (features, features, 16))
    y, cache = ops.attention_forward(q, k, v, scale=scale)
    dprobs = rng.standard_normal(y.shape) @ v.swapaxes(-1, -2)
    (dscores,) = ops.softmax_backward(dprobs, SoftmaxCache(cache.probs))
    return cache.probs.max(axis=-1).mean(), np.sqrt(np.mean(dscores**2))


print("          largest probability      size of dscores")
print("    D     scale 1   1/√D           scale 1    1/√D")
for features in (4, 16, 64, 256, 1024):
    plain = sharpness_and_gradient(features, 1.0)
    scaled = sharpness_and_gradient(features, None)
    print(
        f"{features:5}     {plain[0]:.2f}      {scaled[0]:.2f}"
        f"           {plain[1]:.3f}      {scaled[1]:.3f}"
    )

# %% [markdown]
# Without the scale a dot product of D terms has variance D. At D = 1024 a freshly initialised head
# already puts nearly all its weight on one key, chosen by chance, and the gradient that could correct
# the choice has shrunk to half: a probability near 1 is where softmax is flat. With the scale nothing
# depends on D.
#
# ## Broken on purpose: the forgotten mean
#
# Softmax's backward without the subtraction; the rest is right. All shapes fit and nothing
# crashes. Step through it: it is your function now, not the library's.


# %%
def broken_backward(dy, cache):
    """Attention's backward for as many query as key heads; one term is missing."""
    q, k, v, probs, scale, *_ = cache
    # y = dropped @ v
    dv = probs.swapaxes(-1, -2) @ dy
    dprobs = dy @ v.swapaxes(-1, -2)
    # probs = softmax(scores)
    dscores = probs * dprobs
    # scores = (scale * q) @ k^T
    dq = scale * (dscores @ k)
    dk = scale * (dscores.swapaxes(-1, -2) @ q)
    return dq, dk, dv


broken = show.step_through(broken_backward, dy, ops.attention_forward(q, k, v, causal=True)[1])
wrong = broken.forward.final()["dscores"]
show.heatmap(wrong.data, "dscores, broken", ("B", "H", "T", "S"), role="backward")

# %% [markdown]
# **The symptom:** look at the first row. Query 0 has no choice, but gets a gradient for its only
# score. Rows no longer sum to 0: all scores of a query are pushed up or down together, which changes
# nothing forward and lets q and k drift. dv is right; dq and dk are not:

# %%
inputs = {"q": q, "k": k, "v": v}
print(gradcheck(ops.attention_forward, broken_backward, inputs))

# %% [markdown]
# ## What is it that costs memory?
#
# The cache holds q, k, v and the probabilities.

# %%
long = rng.standard_normal((1, 1, 256, 16)).astype(np.float32)
_, long_cache = ops.attention_forward(long, long, long, causal=True)
show.tree(long_cache)

# %% [markdown]
# T queries times S keys: at 256 tokens the probabilities take sixteen times the bytes of q; at twice
# the length, thirty-two times. Flash attention does not keep them, and computes them again in
# backward.
#
# ## Your turn
#
# - `minitransformer exercises` → **causal_mask**, **attention_forward**, **attention_backward**, and
#   then **multi_head_attention_backward**.
# - On paper: what is dq if all keys are equal? If all values are equal?
# - Remove the scale from `dk` in `broken_backward`, repair the mean, and read what `gradcheck` says.
#
# ## Further reading
#
# - Vaswani et al. (2017), *Attention Is All You Need*, arXiv:1706.03762, section 3.2 and its
#   footnote on √D.
# - Bahdanau, Cho, Bengio (2014), *Neural Machine Translation by Jointly Learning to Align and
#   Translate*, arXiv:1409.0473: attention before transformers.
# - Dao et al. (2022), *FlashAttention*, arXiv:2205.14135.
