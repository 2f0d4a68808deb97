# %% [markdown]
# # 12 · GPT: guess the next letter, and the next, and the next
#
# **The question.** A model gives a probability to each thing that may come next. How does *text*
# come out of a table of probabilities? Does one take the likeliest each time? Why does the most
# probable text read like none?
#
# Before this: chapter 02 (the loss), 06 (attention), 09 (the block), 10 (Adam).

# %%
import importlib.util
import os
import re
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices this small are not worth a second one
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

from collections import Counter

import numpy as np

from minitransformer import (
    GPT,
    AdamW,
    CharTokenizer,
    GPTConfig,
    generate,
    ops,
    set_backend,
    show,
    stream,
    top_k,
    top_p,
    warmup_cosine,
)
from minitransformer.data import default_text, sample_batch, split
from minitransformer.generation import apply_temperature
from minitransformer.training import train

set_backend("numpy")
np.set_printoptions(precision=3, suppress=True)


def probabilities(logits):
    """Softmax, without its cache."""
    return ops.softmax_forward(logits)[0]


# %% [markdown]
# ## By hand first: four knobs on one distribution
#
# Three tokens with the logits (log 4, log 2, log 1), so p = (4/7, 2/7, 1/7). **Temperature** τ
# divides the logits before softmax. Dividing a logarithm takes a root: p becomes p^(1/τ), made to
# sum to 1 again.
#
# **Predict before you run:** the distribution at τ = 1/2. At τ = 2. And in the limits 0 and ∞?

# %%
logits = np.log([4.0, 2.0, 1.0])
for temperature in (0.01, 0.5, 1.0, 2.0, 100.0):
    print(f"τ = {temperature:<6}", probabilities(apply_temperature(logits, temperature)))
print("16/21, 4/21, 1/21:", np.array([16, 4, 1]) / 21)

# %% [markdown]
# At 1/2 the odds are squared, 16 : 4 : 1. At 0 only the likeliest is left (*greedy*), at ∞ all are
# equal. The order never changes.
#
# Two other knobs cut off the tail. **Top-k** keeps the k likeliest. **Top-p** keeps the fewest that
# have at least mass p together, the *nucleus*. What is cut gets the logit −∞, and softmax shares
# its mass among the others.
#
# **Predict:** how many tokens are left for p = 0.5? For p = 0.6? (4/7 = 0.571)

# %%
print("k = 2  ", probabilities(top_k(logits, 2)))
for p in (0.5, 0.6, 0.9):
    print(f"p = {p}", probabilities(top_p(logits, p)))

# %% [markdown]
# The source of the nucleus, line by line. A token stays while the mass of those *before* it is
# below p: so the one that crosses the line is in. Keep an eye on that line; somebody will break it
# below.

# %%
show.step_through(top_p, np.array([0.0, np.log(4.0), np.log(2.0)]), 0.6)

# %% [markdown]
# ## A text of 27 signs
#
# In 1948 Shannon wrote English with 26 letters and the blank, and asked how much of it can be
# guessed. We do the same with the language reference that Python ships. The landmarks are his: the
# surprise at a letter, in bits, if one knows nothing, the frequencies, the letter before, or the
# two before.

# %%
text = re.sub("[^a-z]+", " ", default_text().lower())
tokenizer = CharTokenizer.train(text)
V = tokenizer.vocab_size
training_ids, held_out = split(np.array(tokenizer.encode(text)))


def counted(order):
    """Entropy of a letter in bits, the `order - 1` letters before it being known."""
    longer = Counter(text[i : i + order] for i in range(len(text) - order + 1))
    before = Counter()
    for letters, n in longer.items():
        before[letters[:-1]] += n
    return (
        -sum(n * np.log2(n / before[letters[:-1]]) for letters, n in longer.items())
        / longer.total()
    )


landmarks = {
    "nothing": np.log2(V),
    "frequencies": counted(1),
    "one before": counted(2),
    "two before": counted(3),
}
print(text[1000:1080], "…")
for name, bits in landmarks.items():
    print(f"{name:12} {bits:.2f} bits")

# %% [markdown]
# ## The model
#
# Letters become rows of a table, places too; blocks of attention and feed-forward (a single one
# here) add to them; the table, used once more, turns the result into 27 scores.
#
# **Predict** the number of parameters, roughly. (A block of width C has 4C² in attention and 8C² in
# feed-forward; biases and gains are small.)

# %%
CONTEXT = 32
model = GPT(GPTConfig(vocab_size=V, context=CONTEXT, layers=1, heads=4, width=64), seed=0)
sizes = Counter()
for name, parameter in model.named_parameters():
    sizes[re.match(r"blocks\.\d+\.\w+|\w+", name).group()] += parameter.data.size
for name, size in sizes.items():
    print(f"{name:27} {size:7,}")
print(f"{'all':27} {sizes.total():7,}   12 C² = {12 * 64**2:,}")

# %% [markdown]
# Nearly everything is in the block. GPT-2 is this model with 12 blocks, 12 heads and C = 768, and
# its largest version with 48 blocks and C = 1600.
#
# One forward guesses at **all** places at once: the causal mask lets place t see places 0 to t. So
# a window of 32 letters is 32 exercises. **Predict:** the shape of the logits for 12 windows, and
# the loss of a model that has learned nothing.


# %%
def batches(step):
    """Draw the windows of a step; the same ones, whenever it is asked for."""
    return sample_batch(training_ids, 12, CONTEXT, seed=0, step=step)


untrained, _ = model(batches(0).inputs)
loss, _ = model.loss(batches(0))
print("logits", untrained.shape, f"  loss {loss:.3f} nats = {loss / np.log(2):.2f} bits")

# %% [markdown]
# ## Train
#
# **Predict:** which landmarks will it pass in 700 steps?

# %%
STEPS = 700


def rate(step):
    """Warm up, then decay to nothing."""
    return warmup_cosine(step, peak=6e-3, warmup=30, total=STEPS)


optimizer = AdamW(model.parameters(), lr=rate(1))
losses = [step.loss for step in train(model, optimizer, batches, rate, STEPS, clip=1.0)]
bits = np.reshape(losses, (-1, 14)).mean(axis=1) / np.log(2)
lines = {name: ("neutral", [(1, level), (STEPS, level)]) for name, level in landmarks.items()}
show.curves(
    {"the model": ("forward", list(zip(range(7, STEPS, 14), bits, strict=True))), **lines},
    "step",
    "surprise at a letter, in bits",
    log_y=False,
)

# %% [markdown]
# From landmark to landmark, as if it went through Shannon's table: first the frequencies, then
# pairs, then triples; slower each time. A longer training, or a larger model, goes on below.
#
# ## One step of writing
#
# What does the model expect, after each letter of a phrase? A row is the distribution *after* the
# letter at its left.
#
# **Predict:** in which rows is nearly everything in one column? In which is it spread?

# %%
letters = [c if c != " " else "␣" for c in tokenizer.characters]
phrase = "the function returns"
shown, _ = model(np.array([tokenizer.encode(phrase)]))
show.heatmap(
    probabilities(shown[0]),
    "probability of the next letter",
    ("after", ""),
    rows=[c if c != " " else "␣" for c in phrase],
    columns=letters,
)

# %% [markdown]
# Writing is a loop around this: take the last row, choose, put the choice behind the text, again.
# `stream` is that loop; each letter comes as soon as it is chosen.

# %%
for token in stream(model, tokenizer.encode(phrase), max_new_tokens=24, do_sample=True, seed=3):
    print(tokenizer.decode([token]), end="·")

# %% [markdown]
# ## The knobs, on a real distribution
#
# Where a word begins, after "the function ": every letter (columns) at four temperatures, and cut
# by top-k and top-p.
#
# **Predict:** which of the last two rows has more letters?

# %%
prompt = tokenizer.encode("the function ")
(row,) = model(np.array([prompt]))[0][:, -1]
knobs = {f"τ={t}": apply_temperature(row, t) for t in (0.3, 0.7, 1.0, 2.0)}
knobs |= {"k=8": top_k(row, 8), "p=.9": top_p(row, 0.9)}
show.heatmap(
    probabilities(np.stack(list(knobs.values()))),
    "next letter",
    ("knob", ""),
    rows=list(knobs),
    columns=letters,
)

# %%
for name, knob in {
    "greedy": {},
    "τ = 0.3": {"do_sample": True, "temperature": 0.3},
    "τ = 1": {"do_sample": True},
    "p = 0.9": {"do_sample": True, "top_p": 0.9},
    "τ = 2": {"do_sample": True, "temperature": 2.0},
}.items():
    (new,) = generate(model, prompt, max_new_tokens=70, **knob)
    print(f"{name:8} {tokenizer.decode(new)}")

# %% [markdown]
# The greedy one runs in circles. Nothing is broken: that *is* the likeliest continuation, letter by
# letter.
#
# ## A surprise, measured: likely text is not like text
#
# Give the model 8 letters of held-out text and let it write 24 more; then ask **the same model**
# how surprised it is at what it wrote. And how surprised it is at what really stood there.
#
# **Predict:** at which temperature is its own text as surprising as real text?

# %%
windows = held_out[: 96 * CONTEXT].reshape(96, CONTEXT)
starts = windows[:, :8]


def written(**knobs):
    """Let the model continue all starts; equal seeds draw alike, so every 4 have one of their own."""
    rows = [
        np.hstack([some, generate(model, some, max_new_tokens=CONTEXT - 8, seed=seed, **knobs)])
        for seed, some in enumerate(np.split(starts, 24))
    ]
    return np.vstack(rows)


def bits_a_letter(windows):
    """Mean surprise of the model at all but the first 8 letters."""
    probs = probabilities(model(windows)[0])
    each = np.take_along_axis(probs[:, 7:-1], windows[:, 8:, None], axis=-1)
    return -np.log2(each).mean()


real = bits_a_letter(windows)
print(f"real text        {real:.2f} bits  {'█' * round(12 * real)}")
for temperature in (0.0, 0.4, 0.7, 1.0, 1.3):
    knob = {"do_sample": True, "temperature": temperature} if temperature else {}
    own = bits_a_letter(written(**knob))
    print(f"written, τ = {temperature} {own:.2f} bits  {'█' * round(12 * own)}")

# %% [markdown]
# Near 1, where the model says what it believes. Real text is full of small surprises; that is what
# makes it worth reading. Below 1 the model's text is *more* probable than what people write, and
# greedy text is so probable that it carries next to no information: it repeats. So most samplers
# cut the tail, where a model's probabilities are least to be trusted, and leave the rest alone.
#
# ## How large is a nucleus?
#
# Top-k keeps as many everywhere. **Predict:** how many letters does p = 0.9 keep, at least and at
# most?

# %%
rows = model(windows)[0].reshape(-1, V)
nucleus = np.isfinite(top_p(rows, 0.9)).sum(axis=-1)
after_blank = windows.reshape(-1) == tokenizer.encode(" ")[0]
print("letters kept   inside a word   after a blank")
for low, high in ((1, 1), (2, 3), (4, 7), (8, 13), (14, 27)):
    inside, beginning = (
        ((nucleus >= low) & (nucleus <= high))[chosen].mean()
        for chosen in (~after_blank, after_blank)
    )
    print(f"{low:4} to {high:2}     {inside:12.0%}    {beginning:12.0%}")

# %% [markdown]
# A few where the word is nearly decided, half the alphabet where one begins. No k is right for
# both.
#
# ## Broken on purpose: the token that crosses the line
#
# "Keep tokens while their mass is at most p": it sounds right, and one comparison differs.
# **Predict:** when does it go wrong? More often before training, or after?


# %%
def broken_top_p(logits, p):
    """Keep tokens while the mass, their own included, is at most p."""
    order = np.argsort(-logits, axis=-1)
    mass = np.cumsum(np.take_along_axis(probabilities(logits), order, axis=-1), axis=-1)
    keep = np.zeros(logits.shape, bool)
    np.put_along_axis(keep, order, mass <= p, axis=-1)
    return np.where(keep, logits, -np.inf)


print("p = 0.5 by hand:", probabilities(broken_top_p(logits, 0.5)), "instead of [1. 0. 0.]")
for name, scores in {"untrained": untrained.reshape(-1, V), "trained": rows}.items():
    nothing_left = ~np.isfinite(broken_top_p(scores, 0.9)).any(axis=-1)
    print(f"{name:9} nothing left in {nothing_left.mean():.0%} of all places")

# %% [markdown]
# **The symptom:** while the model is unsure, none. As soon as it is *sure* of one token, that token
# alone is more than p, is thrown away, and nothing is left: an error, a NaN, or (in a hasty repair)
# token 0. The better the model, the more often; on the day of the demonstration most of all. Where
# something is left, the text is only a little too timid, and no test that looks at text will tell.
#
# The example by hand tells at once.
#
# ## Your turn
#
# - `minitransformer exercises` → **top_k**, **top_p**, **repetition_penalty**, **beam_search**.
# - On paper: temperature after top-p or before; does the order matter? (And for top-k?)
# - Train with `layers=2`, then for twice as many steps, and predict first which helps more.
# - Beam search looks for the likeliest text harder than greedy does. After this chapter: for which
#   tasks is that what you want?
#
# ## Further reading
#
# - Shannon (1948), *A Mathematical Theory of Communication*, Bell System Technical Journal 27,
#   section 3: English from nothing, from frequencies, from pairs, from words. Compare his samples
#   with ours.
# - Radford et al. (2018), *Improving Language Understanding by Generative Pre-Training*; Radford et
#   al. (2019), *Language Models are Unsupervised Multitask Learners*: GPT and GPT-2.
# - Ackley, Hinton, Sejnowski (1985), *A Learning Algorithm for Boltzmann Machines*, Cognitive
#   Science 9: where the temperature comes from.
# - Fan, Lewis, Dauphin (2018), *Hierarchical Neural Story Generation*, arXiv:1805.04833: top-k.
# - Holtzman et al. (2020), *The Curious Case of Neural Text Degeneration*, arXiv:1904.09751: top-p,
#   and the surprise above, on GPT-2.
# - Meister, Cotterell, Vieira (2020), *If Beam Search is the Answer, What was the Question?*,
#   arXiv:2010.02650.
