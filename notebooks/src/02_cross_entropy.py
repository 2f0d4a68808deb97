# %% [markdown]
# # 02 · Cross-entropy: the joy of p − y
#
# **The question.** A model gave probabilities to V words, and then the true word came. How bad was
# that, as one number? And what should each of the V scores hear about it?
#
# Before this: chapter 01 (softmax). Shape letters: T positions, V classes, N positions that count.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import numpy as np

from minitransformer import gradcheck, ops, show
from minitransformer.data import default_text, unigram_entropy
from minitransformer.tokenizers import CharTokenizer

np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## By hand first
#
# The loss is the **surprise** at what came: −log p(target). It is 0 if the model was certain and
# right; log 2 if it was a coin toss; without limit if it was certain and wrong.
#
# Take the logits (log 1, log 2, log 1), so that p = (1/4, 1/2, 1/4).
#
# **Predict before you run:** the loss if class 1 comes, and if class 0 comes. And the gradient: which
# logits should rise, and which fall?

# %%
logits = np.log([1.0, 2.0, 1.0])
for target in (1, 0):
    loss, cache = ops.cross_entropy_forward(logits, np.array(target))
    (dlogits,) = ops.cross_entropy_backward(1.0, cache)
    print(f"class {target} came:  loss {loss:.4f}   dlogits {dlogits}")

# %% [markdown]
# log 2 and log 4. And look at the gradients: (1/4, 1/2, 1/4) with 1 taken away where the truth is.
# **p − y**: what the model said, minus what happened. A step of descent goes the other way: more for
# the truth, less for all others, each in proportion to how much was wasted on it.
#
# ## Why so simple? Two ways
#
# **The long way** goes back through two ops. The logarithm gives `dp = −1/p` at the target and 0
# elsewhere. Softmax's backward (chapter 01) is `dx = p · (dp − Σ p dp)`. The sum has one term, and it
# is −1. So
#
#     dx = p · (dp + 1) = p − 1   at the target   (the 1/p meets the p, and both are gone)
#                       = p       elsewhere
#
# **The short way** writes the loss in logits before differentiating:
#
#     −log( exp(x[t]) / Σ exp(x) )  =  log Σ exp(x) − x[t]
#
# The gradient of log-sum-exp is softmax; that of x[t] is 1 at the target. Done. The two derivations
# are equal on paper. **Predict:** are they in a computer?

# %%
for gap in (1.0, 50.0, 800.0):
    x = np.array([gap, 0.0])  # and class 1 comes
    p, softmax_cache = ops.softmax_forward(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        long_loss = -np.log(p[1])
        long_way = p * (np.array([0.0, -1.0]) / p - (-1.0))
    loss, cache = ops.cross_entropy_forward(x, np.array(1))
    (short_way,) = ops.cross_entropy_backward(1.0, cache)
    print(
        f"gap {gap:4.0f}   long way {long_loss:6.2f} {long_way}   short way {loss:6.2f} {short_way}"
    )

# %% [markdown]
# At a gap of 800 the probability is smaller than any float64, so it is 0: the long way takes its
# logarithm, and divides by it. The short way never sees it. That is why cross-entropy takes
# **logits**, not probabilities.
#
# ## The source, line by line
#
# Three positions, four classes. The last target is −100, which means "do not count this one" (padding,
# or a word that was not to be guessed).
#
# **Predict:** by which N does the mean divide? What is in the last row of dlogits?

# %%
logits = np.array([[2.0, 0.0, 1.0, -1.0], [0.0, 0.0, 0.0, 0.0], [3.0, -1.0, 0.5, 1.0]])
targets = np.array([0, 2, -100])
show.step_through("cross_entropy", logits, targets, dy=1.0)

# %% [markdown]
# Rows of dlogits sum to 0: p sums to 1 and y sums to 1. The second row knew nothing, and got
# (1/4, 1/4, 1/4, 1/4) − (0, 0, 1, 0), halved, as N = 2.
#
# ## Why not the squared error?
#
# One could also ask for (p − y)² to be small. **Predict:** a model is *certain and wrong*. Which of
# the two losses gives it the larger push?

# %%
print(" p(truth)   push on the true logit: cross-entropy   squared error")
for gap in (0.0, 2.0, 5.0, 10.0):
    x = np.array([gap, 0.0])  # class 1 comes
    p, softmax_cache = ops.softmax_forward(x)
    _, cache = ops.cross_entropy_forward(x, np.array(1))
    (by_cross_entropy,) = ops.cross_entropy_backward(1.0, cache)
    (by_squares,) = ops.softmax_backward(2.0 * (p - np.array([0.0, 1.0])), softmax_cache)
    print(f"{p[1]:9.5f}   {-by_cross_entropy[1]:37.5f}   {-by_squares[1]:13.5f}")

# %% [markdown]
# The squared error falls silent just where the model is most wrong: it still has softmax's factor p
# in it, and p is nearly 0. Cross-entropy's 1/p cancels that factor. The surer a model was of the wrong
# thing, the louder it hears; and never louder than 1.
#
# ## A surprise, measured: the gradient counts letters
#
# Take real English, 1000 characters drawn from the language reference that Python ships, and the
# poorest model of all: one logit for each character, the same at every position. All start at 0.
#
# **Predict:** the loss at the start. Then the gradient for the space and for "q": signs? And where
# does the loss end?

# %%
text = default_text()
tokenizer = CharTokenizer.train(text)
ids = np.array(tokenizer.encode(text))
V = tokenizer.vocab_size
print(f"{len(ids):,} characters, {V} different; ln V = {np.log(V):.3f}")


def loss_and_gradient(shared_logits, targets):
    """Predict every position by the same logits: the rows' gradients are summed."""
    loss, cache = ops.cross_entropy_forward(np.tile(shared_logits, (len(targets), 1)), targets)
    return loss, ops.cross_entropy_backward(1.0, cache)[0].sum(axis=0)


sample = np.random.default_rng(0).choice(ids, 1000)
loss, gradient = loss_and_gradient(np.zeros(V), sample)
counted = np.bincount(sample, minlength=V) / len(sample)
print(f"loss at the start {loss:.3f}")
print("  character   gradient   1/V − frequency")
for character in " eq":
    i = tokenizer.encode(character)[0]
    print(f"  {character!r:9}   {gradient[i]:+.4f}    {1 / V - counted[i]:+.4f}")

# %% [markdown]
# The mean of p − y over a text is *what the model says on average* minus *how often it happened*. The
# gradient has counted the letters. It is 0 only when the two agree, so descent must arrive at the
# frequencies, without anybody having told it to count:

# %%
learned = np.zeros(V)
for step in range(301):
    loss, gradient = loss_and_gradient(learned, sample)
    if step in (0, 10, 100, 300):
        print(f"step {step:4}   loss {loss:.4f}")
    learned -= 5.0 * gradient
print(f"entropy of the frequencies   {unigram_entropy(sample):.4f}")
print(f"… of the whole text          {unigram_entropy(ids):.4f}")
share = ops.softmax_forward(learned)[0]
i = tokenizer.encode("e")[0]
print(f"p('e') learned {share[i]:.4f}, counted {counted[i]:.4f}")

# %% [markdown]
# From ln V down to the **entropy**, and no model that ignores its context can go lower. That is the
# first landmark on every loss curve: a transformer has learned something only when it is below this
# line. The initial loss is a landmark too: ln V. If yours starts elsewhere, look for a mistake first.
#
# ## Broken on purpose: softmax twice
#
# The classic. Somebody gives **probabilities** to a loss that wants logits, "because the loss needs
# probabilities". **Predict:** does it crash? Does `gradcheck` find it? Does it train?


# %%
def twice_forward(logits, targets):
    """Cross-entropy of the softmax of the softmax."""
    probs, inner = ops.softmax_forward(logits)
    loss, outer = ops.cross_entropy_forward(probs, targets)
    return loss, (inner, outer)


def twice_backward(dy, cache):
    """Its backward, and a right one."""
    inner, outer = cache
    return ops.softmax_backward(ops.cross_entropy_backward(dy, outer)[0], inner)


arguments = {"logits": np.array([[0.5, -1.0, 2.0]]), "targets": np.array([0])}
print(gradcheck(twice_forward, twice_backward, arguments))


def trained(forward, backward, V, steps=2000):
    """Let one row learn one target."""
    logits = np.zeros((1, V))
    for _ in range(steps):
        loss, cache = forward(logits, np.array([0]))
        logits -= backward(1.0, cache)[0]
    return loss, ops.softmax_forward(logits)[0][0, 0]


print("\n     V   start    right: loss, p      twice: loss, p      ln(e + V − 1) − 1")
for V in (2, 10, 100):
    once = trained(ops.cross_entropy_forward, ops.cross_entropy_backward, V)
    twice = trained(twice_forward, twice_backward, V)
    floor = np.log(np.e + V - 1) - 1
    print(
        f"{V:6}   {np.log(V):5.3f}    {once[0]:11.3f}, {once[1]:.2f}"
        f"    {twice[0]:11.3f}, {twice[1]:.2f}    {floor:15.3f}"
    )

# %% [markdown]
# **The symptom:** everything runs, the gradient is *right* (of another function), the loss starts
# near ln V and falls a little; then it stays. Probabilities lie between 0 and 1, so the second softmax
# can never be sure: its largest share is e / (e + V − 1). A loss that comes to rest at a suspicious
# height, the higher the more classes there are, is the mark of two softmaxes.
#
# The lesson: a gradient check proves that backward fits forward. That forward is what you meant, only
# an example by hand can tell.
#
# ## Your turn
#
# - `minitransformer exercises` → **cross_entropy_forward**, **cross_entropy_backward**,
#   **perplexity**.
# - On paper: with label smoothing the target is no longer 0 or 1. What does p − y become, and at which
#   logits is it 0? (Without smoothing: at none. Why do the logits of a perfect model keep growing?)
# - What happens to the loss of a padded batch if the mean divides by T instead of N?
#
# ## Further reading
#
# - Shannon (1948), *A Mathematical Theory of Communication*, Bell System Technical Journal 27: surprise
#   as a quantity, and English letter by letter.
# - Bridle (1990), *Training Stochastic Model Recognition Algorithms as Networks can Lead to Maximum
#   Mutual Information Estimation of Parameters*, NIPS 2: why softmax and this loss belong together.
# - Szegedy et al. (2015), *Rethinking the Inception Architecture for Computer Vision*,
#   arXiv:1512.00567: label smoothing.
# - Guo et al. (2017), *On Calibration of Modern Neural Networks*, arXiv:1706.04599: when p stops
#   being how often it happens.
