# %% [markdown]
# # 08 · Positions: none, sinusoidal, learned, rotary
#
# **The question.** *Dog bites man* is no news, *man bites dog* is. But attention takes a weighted mean,
# and a mean does not know in which order its numbers came. How do you tell a transformer what stands
# where? And what happens at position 25, if training never went beyond 24?
#
# Before this: chapter 07 (heads). Shape letters: B batch, H heads, T positions (S of keys), C features,
# D features of a head.

# %%
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices this small are not worth a second one
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import numpy as np

from minitransformer import AdamW, ops, set_backend, show
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
    PreNormBlock,
    RotaryPositions,
    SinusoidalPositions,
    rotary_tables,
    sinusoidal_positions,
)
from minitransformer.ops.rotary import rotate
from minitransformer.training import train

set_backend("numpy")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## None: a bag of words
#
# Three words are three vectors; q = k = v, to have it small.
#
# **Predict before you run:** what does the output for "dog" become, when dog and man change places?

# %%
dog, bites, man = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def attend(*words):
    """One head, without any weights."""
    x = np.stack(words)[None, None]
    return ops.attention_forward(x, x, x)[0][0, 0].round(2).tolist()


print("dog bites man: ", attend(dog, bites, man))
print("man bites dog: ", attend(man, bites, dog))

# %% [markdown]
# The same three rows in another order. No weights could help: whoever asks, asks a *set*.
#
# ## A first surprise, measured: the mask knows something
#
# A GPT hides the future, and that is not symmetric. **Predict:** words 0 to 4 are put into another
# order, word 5 stays. By how much does the output at word 5 change, with one causal block? With two?

# %%
C = 32


def block(rng, rotary=None, heads=2):
    """Attention and feed-forward, weights large enough to see something."""
    return PreNormBlock(
        LayerNorm(C),
        MultiHeadAttention(C, heads, rng, rotary=rotary, std=0.18, projection_std=0.18),
        LayerNorm(C),
        FeedForward(C, 2 * C, rng, activation=Gelu(), std=0.18, projection_std=0.18),
    )


rng = np.random.default_rng(0)
first, second = block(rng), block(rng)
x = rng.standard_normal((1, 6, C)).astype(np.float32)
shuffled = x[:, [3, 0, 4, 2, 1, 5]]
one = [first(each, causal=True)[0] for each in (x, shuffled)]
two = [second(each, causal=True)[0] for each in one]
for name, (before, after) in {"one block ": one, "two blocks": two}.items():
    print(name, f"change at the last word: {np.abs(before - after)[0, -1].max():.1e}")

# %% [markdown]
# One block: nothing but rounding. Two blocks: a real change. In the first block word 3 has seen three
# others and word 1 only one, so their outputs now tell how far along they stand. **A deep causal
# model without positions is not blind to order.** It is only very short-sighted.
#
# ## Sinusoidal: clock hands
#
# Give position t the vector (sin t, cos t): a clock hand that has turned by t. **Predict** the dot product of
# the hands of positions 3 and 5, of 103 and 105. (You need a single cosine for both.)

# %%
hands = np.array([[np.sin(t), np.cos(t)] for t in (3, 5, 103, 105)])
print(
    f"3 · 5: {hands[0] @ hands[1]:.4f}   103 · 105: {hands[2] @ hands[3]:.4f}   cos 2: {np.cos(2):.4f}"
)

# %% [markdown]
# sin s sin t + cos s cos t = cos(t − s). **A product of two positions depends on their distance alone**,
# and products are what attention is made of. One hand comes round every 2π positions, so take many
# hands, the slow ones 10,000 times as slow. Left the fast hands, right the slow ones:

# %%
table = sinusoidal_positions(32, 32)
show.heatmap(table, "sinusoidal positions", ("position", "C"))

# %%
show.heatmap(table @ table.T, "position · position", ("position s", "position t"))

# %% [markdown]
# Every diagonal has one colour: distance. But these vectors are *added* to the words, and a product
# of sums has four terms; three of them are not of this kind.
#
# ## Rotary: turn the words themselves
#
# So do not add: **turn** q and k like clock hands, by an angle that grows with the position. A dot product
# of two arrows depends on their lengths and on the angle between them. Turn one by t and the other
# by s, and that angle grows by t − s, whatever the words are.
#
# By hand: the arrow (1, 0) at positions 0 to 3, turned by 30° per position. **Predict** the rows of y, and
# the product of row 1 with row 3.

# %%
x = np.tile([1.0, 0.0], (1, 1, 4, 1))
angles = np.radians(30.0) * np.arange(4)[:, None]
cos, sin = np.cos(angles).round(9), np.sin(angles).round(9)
axes = {"x": "B H T D", "cos": "T 1", "sin": "T 1"}
steps = show.step_through(rotate, x, cos, sin, False, axes=axes)
steps

# %%
y = steps.forward.result[0, 0]
print(f"row 1 · row 3 = {y[1] @ y[3]:.3f} = cos 60°")

# %% [markdown]
# D features are D / 2 pairs, each with a clock of its own. And backward? A rotation's transpose is the
# rotation back: turn dy by the negative angle. That is the whole op:

# %%
show.pair("rotary")

# %% [markdown]
# One query vector and one key vector, both random, stand at every position in turn:

# %%
q, k = np.random.default_rng(5).standard_normal((2, 1, 1, 1, 16))
cos, sin = rotary_tables(16, 16, dtype=np.float64)
turned_q, turned_k = (
    ops.rotary_forward(np.tile(each, (16, 1)), cos, sin)[0][0, 0] for each in (q, k)
)
show.heatmap(turned_q @ turned_k.T, "scores", ("T", "S"))

# %% [markdown]
# Diagonals again, and this time of the real scores, words included.
#
# ## Learned: a row for each position
#
# The simplest of all: a table of T rows, trained like the embedding of the words. GPT-2 and BERT do
# it. (There is nothing to derive: backward adds each row's gradient, chapter 03.)
#
# ## The surprise, measured: nobody wins
#
# Two tasks that a single block can solve, on random letters:
#
# - **3 back**: say the letter that stands 3 places before this one. (*Relative.*)
# - **the third**: say the letter at position 2, wherever you are. (*Absolute.*)
#
# We train on 24 positions and then ask at 96. **Predict** a table: four kinds of positions, two tasks,
# and for each: does it work up to 24? And beyond?

# %%
V, T, LONG = 12, 24, 96


class Model(Module):
    """One block, and positions of some kind."""

    def __init__(self, kind, rotary=RotaryPositions, seed=0):
        rng = np.random.default_rng(seed)
        self.tokens = Embedding(V, C, rng, std=1.0)
        self.positions = None
        if kind == "sinusoidal":
            self.positions = SinusoidalPositions(LONG, C)
        if kind == "learned":
            self.positions = LearnedPositions(LONG, C, rng, std=0.5)
        self.block = block(rng, rotary(LONG, C // 2) if kind == "rotary" else None)
        self.norm = LayerNorm(C)
        self.readout = Linear(C, V, rng, std=0.18)

    def __call__(self, ids):
        x, tokens = self.tokens(ids)
        x, positions = (x, None) if self.positions is None else self.positions(x)
        x, block = self.block(x, causal=True)
        x, norm = self.norm(x)
        logits, readout = self.readout(x)
        return logits, (tokens, positions, block, norm, readout)

    def loss(self, batch, rng=None):
        logits, cache = self(batch.inputs)
        loss, cross_entropy = ops.cross_entropy_forward(logits, batch.targets)
        return loss, (*cache, cross_entropy)

    def backward(self, cache, dloss=1.0):
        tokens, positions, block, norm, readout, cross_entropy = cache
        (dlogits,) = ops.cross_entropy_backward(dloss, cross_entropy)
        dx = self.norm.backward(self.readout.backward(dlogits, readout), norm)
        dx = self.block.backward(dx, block)
        if self.positions is not None:
            dx = self.positions.backward(dx, positions)
        self.tokens.backward(dx, tokens)


def questions(task, step, batch=32, length=T):
    """Random letters; the answer from position 3 on."""
    ids = np.random.default_rng([8, step]).integers(V, size=(batch, length))
    targets = np.full_like(ids, -100)
    targets[:, 3:] = ids[:, :-3] if task == "3 back" else ids[:, 2:3]
    return Batch(ids, targets)


STEPS = 220


def learned(model, task):
    """Train; return the last loss and how often the answer is right at each of 96 positions."""
    optimizer = AdamW(model.parameters(), lr=0.01)
    losses = [
        step.loss
        for step in train(
            model,
            optimizer,
            lambda step: questions(task, step),
            lambda step: 0.01 * min(1.0, step / 20) * (1 - step / (STEPS + 20)),
            STEPS,
            clip=1.0,
        )
    ]
    test = questions(task, 10**6, batch=100, length=LONG)
    return np.mean(losses[-20:]), (model(test.inputs)[0].argmax(-1) == test.targets).mean(axis=0)


KINDS = {"none": "neutral", "sinusoidal": "green", "learned": "pink", "rotary": "forward"}
losses, right = {}, {}


def ask(task):
    """Train all four kinds; draw how often the answer is right, four positions at a time."""
    print("              up to 24   25 to 96")
    for kind in KINDS:
        losses[task, kind], right[task, kind] = learned(Model(kind), task)
        within, beyond = right[task, kind][3:T].mean(), right[task, kind][T:].mean()
        print(f"{kind:10} {within:11.0%}{beyond:11.0%}")
    lines = {
        kind: (role, [(p + 2, right[task, kind][p : p + 4].mean()) for p in range(4, LONG, 4)])
        for kind, role in KINDS.items()
    }
    label = f"{task}: share that is right"
    return show.curves(lines, "position (trained up to 24)", label, log_y=False)


ask("3 back")

# %%
ask("the third")

# %% [markdown]
# - **Learned** positions fall to chance (1/12) at position 25 in the relative task: those rows of the table
#   were never trained. But "the third" works for ever: there only the *key's* position counts, and 2 was
#   trained.
# - **Sinusoidal** ones are defined everywhere, and yet 3 back breaks at once: the model has learned to
#   read the sums of words and hands that it had seen, and nothing has made it learn the rule behind
#   them.
# - **Rotary** positions carry 3 back far beyond, fading slowly, as more and more other places want
#   some of the softmax's weight. And they **cannot do "the third" at all**, not even where they were trained:
#   they know distances, and from a distance nobody can see where the text began.
# - **None**: better than chance, for a bag of few letters is a good guess.
#
# No winner. A kind of position is a statement about *what will be the same* in texts that you have not
# seen: the place, or the distance. Language is mostly distance.
#
# ## Broken on purpose: half a rotation
#
# Rotary, but only q is turned; the line for k is forgotten. All shapes fit, the gradients are right, and q
# does know its position. **Predict** the loss for 3 back.


# %%
class OnlyTheFirst(RotaryPositions):
    """Turns what it is given first, the queries, and forgets the second, the keys."""

    calls = 0

    def __call__(self, x, start=0):
        self.calls += 1
        return super().__call__(x, start) if self.calls % 2 else (x, None)

    def backward(self, dy, cache):
        return dy if cache is None else super().backward(dy, cache)


broken, _ = learned(Model("rotary", OnlyTheFirst), "3 back")
print(f"loss for 3 back:  rotary {losses['3 back', 'rotary']:.3f}   only q turned {broken:.3f}")
print(f"                  none   {losses['3 back', 'none']:.3f}   knowing nothing {np.log(V):.3f}")

# %%
show.heatmap(turned_q @ np.tile(k[0, 0], (16, 1)).T, "scores, only q turned", ("T", "S"))

# %% [markdown]
# **The symptom:** it learns, and comes to rest exactly where the model *without positions* does. Look at
# the scores: rows differ, but along a row nothing changes. A query knows where it stands; no key does, so
# there is nothing to find.
#
# That is the general test for positions: a loss that equals the loss without them. (A cousin: while
# generating with a cache, the new token is always told "position 0". `start` is there for that.)
#
# ## Your turn
#
# - `minitransformer exercises` → **sinusoidal_positions**, **rotary_forward**, **rotary_backward**.
# - How could a rotary model solve "the third", if you may change the text? (One more token is enough.)
# - Turn v as well. What would the output then depend on?
# - Move the whole text by 50 places with `start=50`. Which of the four kinds notice? Predict, then try.
#
# ## Further reading
#
# - Vaswani et al. (2017), *Attention Is All You Need*, arXiv:1706.03762, section 3.5.
# - Su et al. (2021), *RoFormer: Enhanced Transformer with Rotary Position Embedding*,
#   arXiv:2104.09864.
# - Haviv et al. (2022), *Transformer Language Models without Positional Encodings Still Learn
#   Positional Information*, arXiv:2203.16634: our first surprise, in large models.
# - Press, Smith, Lewis (2021), *Train Short, Test Long*, arXiv:2108.12409: distance as a penalty on the
#   score, and the same measurements on real text.
