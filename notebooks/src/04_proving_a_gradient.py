# %% [markdown]
# # 04 · How to prove a gradient
#
# **The question.** You derived a backward, and it runs. How do you *know* that it is right? A wrong
# gradient does not crash: the model trains a little worse, and nobody ever finds out.
#
# The idea is as old as the derivative: move an input a little, and see how much the output moves.
# The details decide whether it finds mistakes or waves them through.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import numpy as np

from minitransformer import gradcheck, ops, show
from minitransformer.testing import SPECS
from minitransformer.testing.differences import central_difference, cotangent
from minitransformer.testing.mutants import MUTANTS

np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## By hand first
#
# Take f(x) = x³ at x = 1; the slope is 3.
#
# **Predict** both differences for h = 0.1: to one side, `(f(1.1) − f(1)) / 0.1`, and central,
# `(f(1.1) − f(0.9)) / 0.2`.

# %%
h = 0.1
print("one-sided", ((1 + h) ** 3 - 1) / h)
print("central  ", ((1 + h) ** 3 - (1 - h) ** 3) / (2 * h))

# %% [markdown]
# 3.31 and 3.01: the error of one side is 3h + h², of the central difference h² alone. The even
# powers of h cancel. So make h tiny?
#
# ## A surprise, measured: smaller is not better
#
# **Predict:** which h gives the best central difference in float64? And how good can float32 be?

# %%
show.gradcheck_curve("attention")

# %% [markdown]
# Each curve is a U. On the right the function bends: halve h, and the error falls to a quarter (to
# a half, if one-sided). On the left two nearly equal numbers are subtracted, and what remains is
# rounding: halve h, and the error doubles. float32 has so few digits that the two sides meet at an
# error that also a *wrong* gradient can have. **Check in float64**, with h near 1e-5.
#
# ## One number for a whole tensor: the cotangent
#
# y has many entries. To get one number, weigh them: `Σ dy · y`. The gradient of that
# number is exactly what `backward(dy)` returns. Many tests take the plain sum, `dy = ones`.
#
# **Predict** the true gradient of `sum(softmax(x))`.

# %%
x = np.random.default_rng(0).standard_normal((2, 3))
_, cache = ops.softmax_forward(x)
print("dy = ones:   ", ops.softmax_backward(np.ones((2, 3)), cache)[0].ravel() + 0.0)

# %% [markdown]
# Zero: the rows sum to 1, whatever x is. A backward that returns zeros passes. So does one with the
# wrong sign, or a wrong factor. Layer norm with its initial gain of 1 has the same blind spot.
#
# ## How many wrong gradients does a test accept?
#
# The library keeps a collection of mistakes that people make, each a small edit of the real source.
# Here we take those in the backward of six ops, see that they really are wrong on our inputs, and let
# four tests judge them. **Predict** the order.

# %%
OPS = ("softmax", "layer_norm", "linear", "attention", "gelu", "rms_norm")


def numeric_gradients(spec, arguments, dy, dtype, h):
    """Central differences of <dy, forward>, one array for each differentiable argument."""
    cast = {n: a.astype(dtype) if n in spec.wrt else a for n, a in arguments.items()}

    def weighed(name):
        def function(moved):
            y, _ = spec.forward(**{**cast, name: moved.astype(dtype)})
            return float(np.sum(dy.astype(dtype) * y, dtype=dtype))

        return function

    return [central_difference(weighed(name), cast[name], h) for name in spec.wrt]


def worst_error(gradients, expected):
    """Largest difference, relative to the largest entry of each true gradient."""
    return max(
        np.inf
        if got.shape != true.shape
        else np.abs(got - true).max() / max(np.abs(true).max(), 1e-8)
        for got, true in zip(gradients, expected, strict=True)
    )


def wrong_backwards(spec, arguments):
    """Mutants whose gradients differ from the right ones on these arguments."""
    y, cache = spec.forward(**arguments)
    dy = cotangent(y, np.random.default_rng(1))
    right = spec.backward(dy, cache)
    for mutant in MUTANTS.values():
        if mutant.target is not spec.backward:
            continue
        backward = mutant.build()
        try:
            wrong = worst_error(backward(dy, cache), right) > 1e-6
        except (ValueError, IndexError, TypeError):
            continue  # its shapes do not even fit: any test finds it
        if wrong:
            yield mutant.name, backward


def judge(spec, arguments, backward):
    """Which of the four tests accept a backward."""
    y, cache = spec.forward(**arguments)
    rng = np.random.default_rng(2)
    ones, random = np.ones_like(y), cotangent(y, rng)
    given, summed = backward(random, cache), backward(ones, cache)
    return {
        "is not zero, has the right shape": all(
            g.shape == arguments[n].shape and np.any(g)
            for g, n in zip(given, spec.wrt, strict=True)
        ),
        "dy = ones, tolerance 1e-2": worst_error(summed, truth(spec, ones, np.float64)) < 1e-2,
        "random dy, float32": worst_error(given, truth(spec, random, np.float32)) < 5e-2,
        "random dy, float64": worst_error(given, truth(spec, random, np.float64)) < 1e-6,
    }


def truth(spec, dy, dtype):
    """Finite differences, remembered."""
    key = (spec.name, dy.tobytes(), dtype)
    if key not in remembered:
        h = 1e-5 if dtype is np.float64 else 1e-2
        remembered[key] = numeric_gradients(spec, inputs[spec.name], dy, dtype, h)
    return remembered[key]


remembered = {}
inputs = {}
for name in OPS:
    first = next(iter(SPECS[name].cases().values()))
    inputs[name] = {n: a for n, a in first.items() if n in SPECS[name].wrt}
verdicts = {
    mistake: judge(SPECS[name], inputs[name], backward)
    for name in OPS
    for mistake, backward in wrong_backwards(SPECS[name], inputs[name])
}
print(f"{len(verdicts)} wrong backwards; accepted by the test")
for test in next(iter(verdicts.values())):
    accepted = [mistake for mistake, verdict in verdicts.items() if verdict[test]]
    print(f"  {test:34} {len(accepted):3}   {100 * len(accepted) / len(verdicts):3.0f} %")
    if 0 < len(accepted) < 20:
        print("     ", "\n      ".join(accepted))

# %% [markdown]
# "It is not zero and has the right shape" accepts nearly everything, and the plain sum lets
# through what cancels when a row is added up: nearly every mistake in softmax that keeps its rows at
# 0. float32 needs a tolerance so generous that smaller mistakes fit through. What finds them all here is: **random cotangent, float64, every input, random parameters.**
#
# (A last trap: lengths. With T = S or D = Dv a transposed gradient has the right shape. Give every
# axis a length of its own.)
#
# ## Broken on purpose
#
# Layer norm's backward with mean and variance taken for constants. Every term that is there is right,
# and dgamma and dbeta are perfect; but x reaches y on three paths, and two are missing.


# %%
def hasty_backward(dy, cache):
    """Mean and variance taken for constants."""
    xhat, rstd, gamma = cache
    rows = (-1, dy.shape[-1])
    return rstd * dy * gamma, (dy * xhat).reshape(rows).sum(0), dy.reshape(rows).sum(0)


rng = np.random.default_rng(3)
arguments = {
    "x": rng.standard_normal((4, 5)),
    "gamma": rng.uniform(0.5, 1.5, 5),
    "beta": rng.standard_normal(5),
}
print(gradcheck(ops.layer_norm_forward, hasty_backward, arguments))

# %% [markdown]
# ## Your turn
#
# - `minitransformer exercises` → **central_difference**.
# - `minitransformer gradcheck` proves every op of the library on your machine.
# - Why does the check draw no entry of dy near 0, and none that is exactly 1?
#
# ## Further reading
#
# - Griewank, Walther (2008), *Evaluating Derivatives*, SIAM: adjoints, and the dot-product test.
# - Higham (2002), *Accuracy and Stability of Numerical Algorithms*, SIAM, chapter 1: why subtracting
#   nearly equal numbers hurts.
