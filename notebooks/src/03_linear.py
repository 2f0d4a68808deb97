# %% [markdown]
# # 03 · Linear maps: broadcasting, and why gradients sum
#
# **The question.** A bias of O numbers is added to a batch of B · T · O numbers. Each of its numbers
# was used B · T times. When the gradient comes back there are B · T complaints about the same number.
# Take the mean? The largest? Their sum? And why does backward transpose matrices?
#
# You need to know the product of two matrices. Shape letters: B sequences, T positions, I inputs,
# O outputs; N = B · T rows.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import numpy as np

from minitransformer import gradcheck, ops, show

np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## By hand first
#
# `y = x w + b` with two rows, two inputs, one output:
#
#     x = 1  2      w = 10      b = 5       dy = 1
#         3  4          20                       100
#
# **Predict before you run:** y. Then, for every number of w and b: if it rises by 1, how much does
# y₀ + 100 · y₁ rise?

# %%
x = np.array([[1.0, 2.0], [3.0, 4.0]])
w = np.array([[10.0], [20.0]])
b = np.array([5.0])
dy = np.array([[1.0], [100.0]])
y, cache = ops.linear_forward(x, w, b)
dx, dw, db = ops.linear_backward(dy, cache)
print("y ", y.ravel())
print("db", db)
print("dw", dw.ravel())
print("dx", dx.tolist())

# %% [markdown]
# b stands in both rows, so it moves both: 1 + 100 = 101. The first weight met a 1 in the first row and
# a 3 in the second: 1 · 1 + 3 · 100 = 301. **A number that is used twice acts twice, and small effects
# add up.** That is the whole reason for the sum: it is the chain rule, with one path for each use.
#
# ## The source, line by line
#
# The same with lengths that all differ: B = 2, T = 3, I = 4, O = 5.
#
# **Predict:** the shapes of `rows`, `dw`, `db`, `dx`. What has been summed away in each?

# %%
rng = np.random.default_rng(3)
x = np.round(rng.standard_normal((2, 3, 4)), 1)
w = np.round(rng.standard_normal((4, 5)), 1)
b = np.round(rng.standard_normal(5), 1)
dy = np.round(rng.standard_normal((2, 3, 5)), 1)
show.step_through("linear", x, w, b, dy=dy, axes={"x": "B T I", "w": "I O", "dy": "B T O"})

# %% [markdown]
# ## The transposes need no memory
#
# Write forward for one entry, `y[n, o] = Σ_i x[n, i] w[i, o] + b[o]`. Each gradient multiplies dy by
# **the other factor** and sums over **whatever letter its owner does not have**:
#
# | | has | sums over | | as matrices |
# |---|---|---|---|---|
# | `dx[n, i]` | n, i | o | `Σ_o dy[n, o] w[i, o]` | `dy wᵀ` |
# | `dw[i, o]` | i, o | n | `Σ_n x[n, i] dy[n, o]` | `xᵀ dy` |
# | `db[o]` | o | n | `Σ_n dy[n, o]` | `dy` added up over rows |
#
# A transpose is only the way to bring the letter that is summed to the inside. With einsum there is
# none to be seen. **Predict:** do the two agree?

# %%
_, cache = ops.linear_forward(x, w, b)
dx, dw, db = ops.linear_backward(dy, cache)
print("dx", np.allclose(dx, np.einsum("bto,io->bti", dy, w)))
print("dw", np.allclose(dw, np.einsum("bti,bto->io", x, dy)))
print("db", np.allclose(db, np.einsum("bto->o", dy)))

# %% [markdown]
# ## Broadcasting is a copy that nobody makes
#
# NumPy lets a small array take part in a large sum by reading it again and again. A copy in forward
# is a sum in backward; that holds for every op that broadcasts. Here, a number for each row of a
# matrix:
#
#     y[t, c] = x[t, c] + s[t, 0]     so     ds[t, 0] = Σ_c dy[t, c]
#
# **Predict:** along which axes must the gradient be summed for arrays of these shapes, added to one
# of shape (2, 3, 4): (4,), (3, 1), (2, 1, 1), (1,)?


# %%
def summed_axes(small, large):
    """Axes along which an array of shape ``small`` is read again and again."""
    missing = len(large) - len(small)
    padded = (1,) * missing + small
    return tuple(
        axis
        for axis, (have, need) in enumerate(zip(padded, large, strict=True))
        if axis < missing or (have == 1 and need > 1)
    )


large = (2, 3, 4)
dy_large = rng.standard_normal(large)
for small in ((4,), (3, 1), (2, 1, 1), (1,)):
    axes = summed_axes(small, large)
    by_hand = dy_large.sum(axis=axes).reshape(small)
    _, cache = ops.add_forward(np.zeros(large), np.zeros(small))
    library = ops.add_backward(dy_large, cache)[1]
    print(
        f"{small!s:10} sum over axes {axes!s:10} the library agrees: {np.allclose(by_hand, library)}"
    )

# %% [markdown]
# ## A surprise, measured: how large is a sum of many?
#
# Sum, not mean: so is the gradient of a weight a thousand times as large for a thousand rows?
# **Predict** how the size of dw grows with N, if the rows have nothing to do with each other; and if
# they all want the same thing.

# %%
print("      N   rows disagree   rows agree      … divided by N")
for N in (1, 16, 256, 4096):
    x_random, dy_random = rng.standard_normal((N, 32)), rng.standard_normal((N, 32))
    sizes = []
    for signal in (np.zeros((1, 32)), np.ones((1, 32))):
        _, c = ops.linear_forward(x_random + signal, np.eye(32))
        dw_random = ops.linear_backward(dy_random + signal, c)[1]
        sizes.append(np.sqrt(np.mean(dw_random**2)))
    print(f"{N:7}   {sizes[0]:13.1f}   {sizes[1]:10.1f}   {sizes[0] / N:9.3f} {sizes[1] / N:8.3f}")

# %% [markdown]
# Noise grows like √N: sixteen times the rows, four times the sum. What the rows agree on grows
# like N. The mean in the loss (chapter 02) divides by N once, for everything: then the agreement keeps
# its size, and the noise shrinks like 1/√N. **That is what a larger batch buys**, and why it buys less
# and less. So: linear's backward sums; only the loss takes a mean. Dividing here too would count twice.
#
# ## Broken on purpose: the sum over one axis only
#
# Everybody's first db: `dy.sum(axis=0)`. It is right for a matrix. Then x gets a third axis.


# %%
def first_axis_only(dy, cache):
    """Linear's backward, with db for a batch of rows but not of sequences."""
    x, w, *_ = cache
    leading = tuple(range(x.ndim - 1))
    dw = np.tensordot(x, dy, axes=(leading, leading))
    return dy @ w.T, dw, dy.sum(axis=0)


print("x is a matrix:\n")
flat = {"x": x[0], "w": w, "b": b}
print(gradcheck(ops.linear_forward, first_axis_only, flat))
print("\nx is a batch of sequences:\n")
print(gradcheck(ops.linear_forward, first_axis_only, {"x": x, "w": w, "b": b}))

# %% [markdown]
# Here the checker sees a wrong shape. But what if nobody checks? **Predict:** the update
# `b = b - 0.1 * db`, with db of shape (T, O).

# %%
wrong_db = first_axis_only(dy, cache=ops.linear_forward(x, w, b)[1])[2]
updated = b - 0.1 * wrong_db
print("b had shape", b.shape, "and now has", updated.shape)
y = x @ w + updated
print("and the next forward still runs: y", y.shape)

# %% [markdown]
# **The symptom:** nothing crashes! Broadcasting, so helpful in forward, hides the mistake: b has quietly
# become one bias *for each position*. The model trains well, on sequences of just this length. Weeks
# later somebody gives it a shorter sentence:

# %%
shorter = x[:, :2]
try:
    shorter @ w + updated
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# Hence two habits of this library: a gradient is written **into** an array of its parameter's shape,
# never over it; and each op says what shape it expected.
#
# (In place, `b -= 0.1 * wrong_db` fails at once. Try it.)
#
# ## Your turn
#
# - `minitransformer exercises` → **linear_forward**, **linear_backward**, **unbroadcast** (the sum
#   above, for any two shapes), **matmul_backward**.
# - On paper: an embedding is a linear map of one-hot rows. What does `xᵀ dy` become if a word occurs
#   three times in the batch? Then **embedding_backward**.
# - A weight that is used at two places in a model, such as an embedding that is the output layer too:
#   what is its gradient?
#
# ## Further reading
#
# - Rumelhart, Hinton, Williams (1986), *Learning representations by back-propagating errors*, Nature
#   323: the sum over uses, in two pages.
# - Giles (2008), *Collected Matrix Derivative Results for Forward and Reverse Mode Algorithmic
#   Differentiation*: the other factor, transposed, and its relatives.
# - McCandlish et al. (2018), *An Empirical Model of Large-Batch Training*, arXiv:1812.06162: agreement
#   and noise, measured in real models.
