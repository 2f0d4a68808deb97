# %% [markdown]
# # 01 · Softmax: from scores to probabilities, and back
#
# **The question.** A model has a score for each of S choices. It needs probabilities: positive,
# summing to 1, larger where the score is larger. And then, when the loss complains about the
# probabilities, *which score is to blame, and how much?*
#
# You need to know what a derivative is. Paper and pencil help.

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
# Softmax is `y[j] = exp(x[j]) / Σ_k exp(x[k])`. Take x = (log 1, log 2, log 1), so that the
# exponentials are 1, 2, 1.
#
# **Predict before you run:** what are the three probabilities? What happens to them if 1000 is
# added to every score?

# %%
x = np.log([1.0, 2.0, 1.0])
probs, cache = ops.softmax_forward(x)
print("softmax(x)        ", probs)
print("softmax(x + 1000) ", ops.softmax_forward(x + 1000.0)[0])

# %% [markdown]
# A quarter, a half, a quarter; and the 1000 changed nothing: numerator and denominator both
# grew by the factor exp(1000). Softmax sees **differences** of scores only. Keep that in mind: it will come
# back in the gradient.
#
# ## The whole op, line by line
#
# Here is the library's own source, run on these three scores. Blue is forward, vermilion is
# backward; negative numbers are grey. Forward reads downwards. Beside each forward line stand the
# backward lines that differentiate it. Backward starts at the bottom, with `dy`: how much the loss
# would rise per unit of each probability. We ask about the first probability only.

# %%
steps = show.step_through("softmax", x, dy=np.array([1.0, 0.0, 0.0]))
steps

# %% [markdown]
# (In a running notebook with ipywidgets, `steps.interactive()` is the same with a slider.)
#
# ## The Jacobian
#
# How does probability j react to score i? By the quotient rule
#
#     ∂y[j] / ∂x[i] = y[j] · ([i = j] − y[i])        [i = j] is 1 if i equals j, else 0
#
# **Predict:** the signs of the matrix. What does each row sum to, and why?

# %%
jacobian = np.diag(probs) - np.outer(probs, probs)
print("row sums:", jacobian.sum(axis=1))
show.heatmap(jacobian, "∂y/∂x", ("probability", "score"), role="backward")

# %% [markdown]
# Positive on the diagonal: a score raises its own probability. Negative elsewhere: the others pay.
# Rows sum to 0 because adding the same number to all scores changes nothing.
#
# Backward never builds this matrix. `dx[i] = Σ_j dy[j] · y[j] · ([i = j] − y[i])` has the common
# factor `y[i]`, and what is left is one number for the whole row:
#
#     dx[i] = y[i] · ( dy[i] − Σ_j dy[j] · y[j] )
#
# Read it aloud: *a score is pushed by how much its own dy exceeds the average dy, weighted by the
# probabilities*. For S = 50,000 words this is 50,000 numbers instead of 2.5 billion.

# %%
dy = np.array([1.0, 0.0, 0.0])
(dx,) = ops.softmax_backward(dy, cache)
print("by the formula   ", dx)
print("by the Jacobian  ", dy @ jacobian)
print("sum over the row ", dx.sum())

# %% [markdown]
# ## A surprise, measured: exp has very little room
#
# The textbook formula, written down directly, works for a while. **Predict:** from which score on
# does it fail in float32?


# %%
def naive_softmax(x):
    """As on the blackboard."""
    weights = np.exp(x)
    return weights / weights.sum(axis=-1, keepdims=True)


with np.errstate(over="ignore", invalid="ignore"):
    for score in (10, 80, 88, 89, 1000):
        pair = np.array([score, score - 1], np.float32)
        print(f"{score:5}   naive {naive_softmax(pair)}   ours {ops.softmax_forward(pair)[0]}")

# %% [markdown]
# At 89: exp(89) is larger than the largest float32, 3.4 · 10³⁸. The symptom is a NaN that
# appears suddenly, after thousands of good steps, when one score has grown. Subtracting the row's
# maximum (the line `top = …` above) costs nothing, and makes the largest exponential exactly 1.
#
# ## The mask contract
#
# Attention must hide some choices: the future, or padding. Here `mask` is boolean, True = may take
# part. A hidden choice has probability **exactly** 0. And if all are hidden?

# %%
scores = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
mask = np.array([[True, True, True], [True, True, False], [False, False, False]])
show.step_through(ops.softmax_forward, scores, mask, axes={"x": "T S"})

# %% [markdown]
# The last row may look at nothing, so it is zeros: not NaN, and not a guess. The two `np.where` in
# the source are there for this row alone.
#
# ## Broken on purpose: −1e9
#
# A popular shortcut adds −1e9 to hidden scores. **Predict** the last row.


# %%
def softmax_with_minus_1e9(scores, mask):
    """Hide by a large negative number."""
    return naive_softmax(scores + np.where(mask, 0.0, -1e9) - scores.max(axis=-1, keepdims=True))


def softmax_with_minus_1e9_stable(scores, mask):
    """The same, with the maximum taken after masking."""
    hidden = scores + np.where(mask, 0.0, -1e9)
    return naive_softmax(hidden - hidden.max(axis=-1, keepdims=True))


print("maximum before masking\n", end="")
with np.errstate(invalid="ignore"):
    print(softmax_with_minus_1e9(scores, mask))
print("maximum after masking")
print(softmax_with_minus_1e9_stable(scores, mask))

# %% [markdown]
# One version gives NaN. The other is worse, because it looks healthy: a query that may see
# **nothing** attends to everything it must not see, as if the mask were not there. No error, no NaN,
# just padding that leaks into the mean. You notice when the same sentence gives different results in
# batches of different lengths.
#
# And a broken backward: the row's sum forgotten. Run, compare, and let `gradcheck` find it.


# %%
def forgetful_backward(dy, cache):
    """Softmax's backward without the weighted mean."""
    return (cache.probs * dy,)


report = gradcheck(ops.softmax_forward, forgetful_backward, {"x": np.array([[0.2, -1.0, 0.7]])})
print(report)

# %% [markdown]
# Its symptom: the rows of dx no longer sum to 0, so all scores drift together. Nothing crashes, and
# nothing is NaN. Hence the checker.
#
# ## Your turn
#
# - `minitransformer exercises` → **softmax_forward**, **softmax_backward**: write both yourself.
# - Without running: what is dx if all entries of dy are equal? (Then see why a test with
#   `dy = ones` can accept a wrong backward: chapter 04.)
# - In attention (chapter 06) softmax stands between two matrix products.
#
# ## Further reading
#
# - Bridle (1990), *Probabilistic Interpretation of Feedforward Classification Network Outputs*:
#   where the name comes from.
# - Blanchard, Higham, Higham (2021), *Accurately computing the log-sum-exp and softmax functions*,
#   IMA Journal of Numerical Analysis 41: what the shift costs, and that it is safe.
