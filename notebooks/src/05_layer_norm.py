# %% [markdown]
# # 05 · Layer norm: one backward, derived three times
#
# **The question.** Layer norm takes the mean from each row and divides by the spread. So every
# output depends on *every* input, by three paths: directly, through the mean, through the variance.
# The backward looks as if it must be a page of algebra. Why does it fit in one line?
#
# Before this: chapter 04 (how to prove a gradient). Shape letters: C features; all else is rows.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import numpy as np

from minitransformer import gradcheck, ops, show
from minitransformer.testing.differences import central_difference

np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## By hand first
#
# One row, x = (1, 1, 3, 3), with gamma = 1, beta = 0 and (for once) eps = 0.
#
# **Predict before you run:** mean, variance, y. Then: if you want only the first output to rise,
# `dy = (1, 0, 0, 0)`, which inputs should move?

# %%
x = np.array([1.0, 1.0, 3.0, 3.0])
y, cache = ops.layer_norm_forward(x, np.ones(4), np.zeros(4), eps=0.0)
dx, dgamma, dbeta = ops.layer_norm_backward(np.array([1.0, 0.0, 0.0, 0.0]), cache)
print("y ", y)
print("dx", dx + 0.0)

# %% [markdown]
# The mean is 2, the variance 1, y = (−1, −1, 1, 1). To raise the first output, raise the first input
# **and lower its twin by as much**. The sum of dx is 0, and the last two inputs are left alone. We
# shall see why, three times.
#
# ## The source
#
# The library's own lines, on a row with other numbers and with a gamma.
#
# **Predict:** which two arrays of backward are a single number for each row?

# %%
x = np.array([[0.5, -1.0, 2.0, 0.0], [3.0, 1.0, 1.5, -2.0]])
gamma, beta = np.array([1.0, 0.5, 2.0, -1.0]), np.array([0.0, 0.1, 0.2, 0.3])
dy = np.array([[1.0, -0.5, 0.5, 2.0], [0.5, 1.5, -1.0, 1.0]])
show.step_through("layer_norm", x, gamma, beta, dy=dy)

# %% [markdown]
# `along_one` and `along_xhat`. Their names are the second derivation. First the honest toil.
#
# ## Derivation 1: by the chain rule
#
# Cut forward into steps so small that each derivative is known by heart, and walk back. `centred`
# is used twice (in the product and in the variance), so its gradient is a **sum** of two parts; and
# so is x's.
#
# | forward | backward |
# |---|---|
# | `centred = x − mean(x)` | `dx = dcentred − mean(dcentred)` |
# | `variance = mean(centred²)` | `dcentred += 2/C · centred · dvariance` |
# | `rstd = (variance + eps)^(−1/2)` | `dvariance = −1/2 · rstd³ · drstd` |
# | `xhat = centred · rstd` | `drstd = Σ dxhat · centred`, and `dcentred = dxhat · rstd` |
# | `y = gamma · xhat + beta` | `dxhat = dy · gamma` |
#
# Read the right column from the bottom upwards. Here it is, with nothing simplified; watch it run.


# %%
def by_the_chain_rule(dy, cache):
    """Layer norm's dx, one small step at a time."""
    xhat, rstd, gamma = cache
    centred = xhat / rstd
    dxhat = dy * gamma
    drstd = (dxhat * centred).sum(axis=-1, keepdims=True)
    dvariance = -0.5 * rstd**3 * drstd
    dcentred = dxhat * rstd
    dcentred += 2.0 / dy.shape[-1] * centred * dvariance
    return dcentred - dcentred.mean(axis=-1, keepdims=True)


y, cache = ops.layer_norm_forward(x, gamma, beta)
chain = show.step_through(by_the_chain_rule, dy, cache, axes={"dy": "T C"})
chain

# %% [markdown]
# Now put the lines into one another. `2/C · centred · (−1/2) · rstd³ · Σ dxhat · centred` is
# `−rstd · xhat · mean(dxhat · xhat)`, because `centred · rstd = xhat`, twice. And xhat has mean 0,
# so taking the mean from it changes nothing. What is left:
#
#     dx = rstd · ( dxhat − mean(dxhat) − xhat · mean(dxhat · xhat) )
#
# ## Derivation 2: by projection, without algebra
#
# Think of a row as an arrow in C dimensions. Two movements of x change **nothing** at xhat:
#
# - add the same number to every feature: a movement along **1** = (1, 1, …, 1);
# - stretch the row about its mean: a movement along **xhat** itself.
#
# So the gradient at x has nothing to say along these two directions: take them out of dxhat.
# They are perpendicular (xhat has mean 0), both have length √C, and the part of g along an arrow a is
# `a · (g·a) / (a·a)`:
#
#     along 1:     mean(g)
#     along xhat:  xhat · mean(g · xhat)
#
# In every other direction the row just turns, magnified by rstd. So dx = rstd · (g without these two
# parts): the same line, and `along_one` and `along_xhat` are the means in it.
#
# **Predict:** the Jacobian ∂xhat/∂x of a row of six features has six eigenvalues. What are they?


# %%
def jacobian(row):
    """Differentiate xhat by x, eps being 0: row i is the gradient of output i."""
    C = len(row)
    _, cache = ops.layer_norm_forward(row, np.ones(C), np.zeros(C), eps=0.0)
    return np.stack([ops.layer_norm_backward(each, cache)[0] for each in np.eye(C)]), cache


J, row_cache = jacobian(np.array([2.0, -1.0, 0.5, 3.0, -2.0, 0.0]))
print("rstd       ", row_cache.rstd)
print("eigenvalues", np.linalg.eigvalsh(J).round(12) + 0.0)
print("symmetric  ", np.allclose(J, J.T))
show.heatmap(J, "∂xhat_i / ∂x_j", ("i", "j"), role="backward")

# %% [markdown]
# Two zeros, and rstd four times: a projection, magnified. That is also why the example by hand left
# the last two inputs alone: of (1, 0, 0, 0), the parts along (1, 1, 1, 1) and (−1, −1, 1, 1) were
# taken away.
#
# ## Derivation 3: ask the function
#
# Move each input by 1e-5 and look. No thought, many evaluations, and therefore a witness that cannot
# share our mistakes.


# %%
def without(g, *arrows):
    """Take from g its parts along arrows that are perpendicular to each other."""
    return g - sum(a * (g @ a) / (a @ a) for a in arrows)


measured = central_difference(
    lambda moved: float(np.sum(dy * ops.layer_norm_forward(moved, gamma, beta)[0])), x
)
xhat, rstd, _ = cache
g = dy * gamma
projected = rstd * np.stack([without(row, np.ones(4), a) for row, a in zip(g, xhat, strict=True)])
library, dgamma, dbeta = ops.layer_norm_backward(dy, cache)
print("library\n", library)
for name, candidate in (
    ("chain rule", chain.forward.result),
    ("projection", projected),
    ("measured", measured),
):
    print(f"{name:11} differs by at most {np.abs(candidate - library).max():.0e}")

# %% [markdown]
# The projection misses by a little, and not by rounding: with eps = 1e-5 the arrow xhat is a trifle
# shorter than √C, and stretching x does move it a trifle. The chain rule knows of eps; a picture
# does not.
#
# ## A surprise, measured: what never arrives
#
# Two directions of C are blocked. **Predict:** what share of a random gradient's square gets through
# for C = 2? For C = 3? For C = 768? And if x is made 10 times as large?

# %%
rng = np.random.default_rng(0)
print("    C   share that arrives   size of dx   … if x is 10 times as large")
for C in (2, 3, 4, 16, 128, 768):
    x_random, dy_random = rng.standard_normal((2, 2000, C))
    sizes = []
    for factor in (1.0, 10.0):
        _, c = ops.layer_norm_forward(factor * x_random, np.ones(C), np.zeros(C), eps=0.0)
        dx_random = ops.layer_norm_backward(dy_random, c)[0]
        sizes.append(np.sqrt(np.median((dx_random**2).mean(axis=-1))))
    share = np.sum((dx_random / c.rstd) ** 2) / np.sum(dy_random**2)
    print(f"{C:5}   {share:18.3f}   {sizes[0]:10.3f}   {sizes[1]:10.3f}")

# %% [markdown]
# (C − 2) / C. **With two features nothing arrives**: xhat is (−1, 1) or (1, −1), whatever x is, and
# there is nothing to learn. A test of layer norm with C = 2 accepts a backward that returns zeros.
#
# And a row that is 10 times as large gets a gradient that is 10 times as small. Layer norm forgets
# the size of its input, so the weights before it may grow without changing the output, and the more
# they have grown the slower they turn. Weight decay acts against just this.
#
# ## Broken on purpose: gamma at the end
#
# y = gamma · xhat + beta, so gamma is just a factor, and one might think it can wait: take the means
# of dy, and multiply by gamma at last. Every term is there and every shape fits.


# %%
def gamma_at_the_end(dy, cache):
    """Layer norm's backward with the means taken of dy instead of dy * gamma."""
    xhat, rstd, gamma = cache
    inner = dy - dy.mean(-1, keepdims=True) - xhat * (dy * xhat).mean(-1, keepdims=True)
    rows = (-1, dy.shape[-1])
    return gamma * rstd * inner, (dy * xhat).reshape(rows).sum(0), dy.reshape(rows).sum(0)


fresh = {"x": x, "gamma": np.ones(4), "beta": np.zeros(4)}
print("A fresh model, gamma = 1:\n")
print(gradcheck(ops.layer_norm_forward, gamma_at_the_end, fresh))
print("\nA trained one:\n")
print(gradcheck(ops.layer_norm_forward, gamma_at_the_end, fresh | {"gamma": gamma}))

# %% [markdown]
# **It passes**, as long as gamma is 1, and that is how every layer norm begins. The mistake grows
# with training. **Predict:** is it noticeable when the gains differ by 10 %?

# %%
C = 64
x_random, dy_random = rng.standard_normal((2, 500, C))
spread = rng.standard_normal(C)
print("gains differ by   error of dx    sum of a row of dx, typically: right   broken")
for size in (0.0, 0.01, 0.1, 0.3, 1.0):
    _, c = ops.layer_norm_forward(x_random, 1.0 + size * spread, np.zeros(C))
    right, broken = (
        backward(dy_random, c)[0] for backward in (ops.layer_norm_backward, gamma_at_the_end)
    )
    error = np.linalg.norm(broken - right) / np.linalg.norm(right)
    sums = [np.abs(each.sum(axis=-1)).mean() for each in (right, broken)]
    print(f"{size:13.0%}   {error:11.1%}   {sums[0]:41.3f} {sums[1]:8.3f}")

# %% [markdown]
# At 10 % the gradient points 2 % beside the right one. **The symptom is none:** a loss falls along such a
# gradient too, only a little less well, and no test on a fresh model sees anything. But the projection
# gives it away at once: a row of dx must sum to 0, and this one does not.
#
# The lesson for tests: **never check a parameter at its initial value.** Ones and zeros hide factors
# and terms.
#
# ## Your turn
#
# - `minitransformer exercises` → **layer_norm_forward**, **layer_norm_backward**; then
#   **rms_norm_backward**, where one of the two directions is open again. Which?
# - **test_layer_norm_backward**: write the test that finds the mistake above, and others.
# - On paper: with eps > 0, a stretch of x does move xhat a little. By how much, when the variance is
#   as small as eps?
#
# ## Further reading
#
# - Ba, Kiros, Hinton (2016), *Layer Normalization*, arXiv:1607.06450.
# - Zhang, Sennrich (2019), *Root Mean Square Layer Normalization*, arXiv:1910.07467: without the mean.
# - Xu et al. (2019), *Understanding and Improving Layer Normalization*, arXiv:1911.07013: what the
#   gradients of mean and variance are good for.
