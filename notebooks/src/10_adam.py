# %% [markdown]
# # 10 · Adam from first principles
#
# **The question.** The gradient tells you which way is down, and how steep it is *here*. It does not
# say how far to go. One number, the learning rate, must serve every parameter of a model, whose
# gradients differ a thousandfold. Which step would be right for all of them?
#
# Before this: chapter 09 (the block). All there is here are numbers p with gradients g, no shapes.

# %%
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices this small are not worth a second one
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import numpy as np

from minitransformer import (
    GPT,
    SGD,
    Adam,
    CharTokenizer,
    GPTConfig,
    ops,
    set_backend,
    show,
    warmup_cosine,
)
from minitransformer.data import default_text, sample_batch, split
from minitransformer.schedules import constant, warmup_inverse_sqrt
from minitransformer.training import train

set_backend("numpy")
np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## How different are they?
#
# A small GPT, its first batch, one backward. **Predict:** the root mean square of the gradients, parameter
# by parameter. How much larger is the largest than the smallest?

# %%
text = default_text()
tokenizer = CharTokenizer.train(text)
ids, _ = split(np.array(tokenizer.encode(text)))
CONFIG = GPTConfig(tokenizer.vocab_size, context=32, layers=2, heads=2, width=32)


def batches(step):
    """Eight windows of the text."""
    return sample_batch(ids, 8, 32, seed=0, step=step)


model = GPT(CONFIG)
loss, cache = model.loss(batches(0))
model.backward(cache)
sizes = {name: np.sqrt(np.mean(p.grad**2)) for name, p in model.named_parameters()}
for name in sorted(sizes, key=sizes.get)[:: len(sizes) // 8]:
    print(f"{name:44} {sizes[name]:.4f}  {'█' * round(300 * sizes[name])}")
print(f"largest / smallest: {max(sizes.values()) / min(sizes.values()):.0f}")

# %% [markdown]
# ## A valley, by hand
#
# Two parameters are enough: loss = ½ (100 a² + b²), so the gradient is (100 a, b). Both start at 1.
#
# Gradient descent is `p ← p − lr · g`, so a is multiplied by (1 − 100 lr) in every step, and b by (1 − lr).
# **Predict:** the largest lr that does not explode. And how far b has then come after 100 steps.

# %%
for lr in (0.021, 0.019, 0.001):
    p = np.array([1.0, 1.0])
    for _ in range(100):
        p -= lr * np.array([100.0, 1.0]) * p
    print(f"lr {lr}: after 100 steps a = {p[0]:9.2g}, b = {p[1]:.2f}")

# %% [markdown]
# The steepest direction sets the speed limit, 2/100, and the flattest one pays for it. In the model above the
# steepest is not 100 times but nearly a thousand times as steep. A step that fits everywhere must not depend on how
# steep it is. The most radical way: **take only the sign of g**, a step of lr for everybody.
#
# That is nearly Adam. Two things are missing. The gradient of a batch is *noisy*: use a running mean of it,
# m. And near the bottom of a valley the sign keeps flipping, and steps should become small: so
# divide m by the running *size* of g, √v, instead of its own size. If all g agree, m/√v = ±1. If they
# contradict each other it is near 0.
#
#     m ← β₁ m + (1 − β₁) g          running mean,           β₁ = 0.9:   about the last 10 steps
#     v ← β₂ v + (1 − β₂) g²         running mean square,    β₂ = 0.999: about the last 1000
#     p ← p − lr · m̂ / (√v̂ + eps)    m̂, v̂: what m and v would be, had they not started at 0
#
# ## By hand: the first step
#
# p = 1, lr = 0.1, g = 0.2. Then m = 0.1 · 0.2 = 0.02 and v = 0.001 · 0.04 = 0.00004. Both are far too small,
# for they started at 0: after t steps the weights of all gradients seen sum to 1 − βᵗ only. **Bias correction**
# divides by just that: m̂ = 0.02 / 0.1 = 0.2 and v̂ = 0.00004 / 0.001 = 0.04.
#
# **Predict before you run:** p after this step; and after a first step with g = 2000 instead.

# %%
for g in (0.2, 2000.0, -1e-5):
    p, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    ops.adamw_step(p, np.array([g]), m, v, t=1, lr=0.1)
    print(f"g = {g:8}: m = {m[0]:8.3g}, v = {v[0]:8.3g}, p = {p[0]:.4f}")

# %% [markdown]
# m̂/√v̂ = ±1: the first step is the sign, times lr. (For g = −0.00001 eps takes off a thousandth.) **Multiply
# the loss by a thousand, and Adam takes the same steps.**
#
# ## The source, line by line
#
# Two steps have been taken with g = (0.2, −3, 0.01); now comes the third, with another sign in the middle
# and nothing at the end. `mean` and `mean_square` are m and v (of a long array, a chunk at a time), and
# the two divisions of the bias correction have become two numbers, `rate` and `root_correction`.
#
# **Predict:** the direction of each of the three updates. Does the middle one turn round?

# %%
p, m, v = np.ones(3), np.zeros(3), np.zeros(3)
for t in (1, 2):
    ops.adamw_step(p, np.array([0.2, -3.0, 0.01]), m, v, t, lr=0.1)
show.step_through(ops.adamw_step, p, np.array([0.2, 3.0, 0.0]), m, v, 3, lr=0.1)

# %% [markdown]
# The middle one still moves as before: two votes against one. The last goes on without any gradient: that is
# momentum.
#
# And the valley? **Predict:** after 100 steps of 0.05, a and b.

# %%
p, m, v = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
for t in range(1, 101):
    ops.adamw_step(p, np.array([100.0, 1.0]) * p, m, v, t, lr=0.05)
    if t in (1, 10, 30, 100):
        print(f"step {t:3}: a = {p[0]:7.4f}, b = {p[1]:7.4f}")

# %% [markdown]
# The same numbers, for a slope a hundred times as steep. (Adam is blind to the valley's shape only because its
# walls stand along the axes. Turn it by 45°, and see.)
#
# ## Does it matter for a transformer?
#
# The same GPT, 240 steps, each optimizer with the best of several learning rates, all with the same cosine
# schedule. **Predict** the order.


# %%
STEPS = 240


def losses_of(optimizer, peak, warmup=0):
    """Train the model from its beginning."""
    model = GPT(CONFIG)
    steps = train(
        model,
        optimizer(model.parameters(), lr=peak),
        batches,
        lambda step: warmup_cosine(step, peak, warmup, STEPS),
        STEPS,
    )
    return np.array([step.loss for step in steps])


def smooth(losses):
    """Points of a curve: means of ten steps."""
    return list(zip(range(5, STEPS, 10), losses.reshape(-1, 10).mean(axis=1), strict=True))


def momentum(parameters, lr):
    """Gradient descent with a running mean, but nothing that divides."""
    return SGD(parameters, lr, momentum=0.9)


runs = {
    "gradient descent, 0.3": ("neutral", losses_of(SGD, 0.3)),
    "with momentum, 0.03": ("pink", losses_of(momentum, 0.03)),
    "Adam, 0.003": ("forward", losses_of(Adam, 0.003)),
}
show.curves(
    {name: (role, smooth(values)) for name, (role, values) in runs.items()},
    "step",
    "loss",
    log_y=False,
)

# %% [markdown]
# The mean alone buys nothing here. The division does: it takes the model well below the plateau at 3.2,
# where only the frequencies of letters are known (chapter 02), and it reaches parameters whose gradients
# are small.
#
# ## A surprise, measured: warm-up
#
# It seems superstitious to begin with tiny steps: the loss falls fastest just there. And at the rate of
# 0.003 above, a warm-up makes no more difference than another seed does. **Predict:** at twice that
# rate, the loss after 240 steps, without a warm-up and with one of 60 steps.

# %%
hasty, patient = losses_of(Adam, 0.006), losses_of(Adam, 0.006, warmup=60)
print(
    f"mean of the last 40 steps: without {hasty[-40:].mean():.2f}, with {patient[-40:].mean():.2f}"
)
show.curves(
    {
        "0.006": ("neutral", smooth(hasty)),
        "0.006, with a warm-up": ("green", smooth(patient)),
        "0.003": ("forward", smooth(runs["Adam, 0.003"][1])),
    },
    "step",
    "loss",
    log_y=False,
)

# %% [markdown]
# Who begins slowly is behind at first, and far ahead at the end. The hasty model lingers where letters are only
# counted. In the first steps every parameter moves by a full lr, whether its gradient means anything or
# not: one vote is always unanimous, m̂/√v̂ = ±1. Some dozens of steps later the votes contradict each other,
# and Adam is careful by itself. Warm-up is for the time before.
#
# The usual schedules, all with the same peak:

# %%
total = 1000
shapes = {
    "constant": ("neutral", lambda step: constant(step, 1.0)),
    "warm-up, cosine": ("forward", lambda step: warmup_cosine(step, 1.0, 100, total)),
    "warm-up, 1/√step": ("green", lambda step: warmup_inverse_sqrt(step, 1, 100, factor=10.0)),
}
show.curves(
    {n: (role, [(s, f(s)) for s in range(0, total + 1, 10)]) for n, (role, f) in shapes.items()},
    "step",
    "learning rate / peak",
    log_y=False,
)

# %% [markdown]
# The end matters as much: with a constant rate the parameters keep trembling by about lr. Let the steps
# go to 0, and they come to rest in the middle.
#
# ## Weight decay: beside Adam, not through it
#
# Small weights are a modest assumption, so one likes to pull them towards 0. The textbook way is a penalty
# ½ λ p² in the loss: it adds λ p to the gradient. For gradient descent that is the same as shrinking p. For
# Adam it is not, for what stands in the gradient is *divided by √v*.
#
# Here are parameters whose gradients are pure noise, of three sizes. All start at 1, and λ · lr = 0.0001 for 3000
# steps. **Predict** where they end, if the decay is added to the gradient; and if p is shrunk beside Adam
# (AdamW).

# %%
print(f"shrinking alone: (1 − 0.0001)³⁰⁰⁰ = {(1 - 1e-4) ** 3000:.2f}\n")
print("noise of g   in the gradient   beside it")
for size in (10.0, 1.0, 0.01):
    ends = []
    for inside, beside in ((0.1, 0.0), (0.0, 0.1)):
        rng = np.random.default_rng(0)
        p, m, v = np.ones(300), np.zeros(300), np.zeros(300)
        for t in range(1, 3001):
            g = size * rng.standard_normal(300) + inside * p
            ops.adamw_step(p, g, m, v, t, lr=0.001, weight_decay=beside)
        ends.append(p.mean())
    print(f"{size:10}   {ends[0]:15.2f}   {ends[1]:9.2f}")

# %% [markdown]
# In the gradient, the decay spares the parameters with large gradients and crushes those with small ones.
# Beside it, all shrink alike. Nobody wanted the first, and everybody had it for three years.
#
# (The library decays matrices only: biases and the gains of norms are few, and set a scale.)
#
# ## Broken on purpose: the forgotten bias correction
#
# m and v start at 0, so without the correction both are too small at first. **Predict:** are the first
# steps then too small or too large? By how much, and when is it worst?

# %%
t = np.unique(np.geomspace(1, 5000, 60).astype(int))
ratio = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
print(
    f"first step: {ratio[0]:.2f} times; worst: {ratio.max():.2f} times, at step {t[ratio.argmax()]}"
)
show.curves(
    {"uncorrected": ("backward", list(zip(t, ratio, strict=True)))},
    "step",
    "step without the correction / step with it",
    log_x=True,
    log_y=False,
)

# %% [markdown]
# Too **large**: m is too small by (1 − β₁ᵗ), but √v by √(1 − β₂ᵗ), and that is far smaller. Steps of more than
# six times the learning rate, just when nothing is known. (Told that a million steps have been taken,
# the library corrects nothing: that is our broken version.)


# %%
class Uncorrected(Adam):
    """Adam that believes to be long under way."""

    def step(self):
        self.t = 10**6
        super().step()


broken = {warmup: losses_of(Uncorrected, 0.003, warmup) for warmup in (0, 40)}
show.curves(
    {
        "right": ("forward", smooth(runs["Adam, 0.003"][1])),
        "uncorrected": ("backward", smooth(broken[0])),
        "… with a warm-up": ("pink", smooth(broken[40])),
    },
    "step",
    "loss",
    log_y=False,
)

# %%
print("mean of the last 40 steps:")
print(f"right {runs['Adam, 0.003'][1][-40:].mean():.2f}")
print(f"uncorrected {broken[0][-40:].mean():.2f}, with a warm-up {broken[40][-40:].mean():.2f}")

# %% [markdown]
# **The symptom:** none at first; the loss even falls *faster* for some steps. Then it comes to rest on the plateau
# of the letter frequencies, and looks like a model that is too small. A warm-up hides some of the
# damage. Who would look for it in the optimizer?
#
# A gradient check does not help: no gradient is wrong. What helps is the step by hand from above: *after the
# first step, every parameter with a gradient must have moved by lr.*
#
# ## Your turn
#
# - `minitransformer exercises` → **sgd_step**, **adamw_step**, **clip_grad_norm**, **warmup_cosine**;
#   then **test_adamw_step**: write the test that finds the mistake above, and others.
# - On paper: g is 1 in every step. What is m̂/√v̂ after t steps, with any β? And if g is +1 and −1 in turn?
# - How many bytes does Adam need beside the model? For a model of 7 billion parameters?
# - eps stands outside the root. What would eps = 10⁻⁸ *inside* it do to a gradient of 10⁻⁵?
#
# ## Further reading
#
# - Kingma, Ba (2015), *Adam: A Method for Stochastic Optimization*, arXiv:1412.6980.
# - Loshchilov, Hutter (2019), *Decoupled Weight Decay Regularization*, arXiv:1711.05101.
# - Goyal et al. (2017), *Accurate, Large Minibatch SGD*, arXiv:1706.02677: warm-up, measured.
# - Zhang et al. (2020), *Why are Adaptive Methods Good for Attention Models?*, arXiv:1912.03194.
