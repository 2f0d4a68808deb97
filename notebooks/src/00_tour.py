# %% [markdown]
# # 00 · A tour: train, generate, look inside
#
# **The question.** Give a model English, hide the next character, and ask for it: nothing else, some
# hundred thousand times. What does it have to learn? And can we *see* what it learned?
#
# Five minutes, a laptop, no GPU, no download. If you do not understand a word of what happens inside:
# good, that is what the other chapters are for.

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
    AdamW,
    CharTokenizer,
    GPTConfig,
    generate,
    ops,
    set_backend,
    show,
    warmup_cosine,
)
from minitransformer.data import Batch, default_text, sample_batch, split, unigram_entropy
from minitransformer.training import train

set_backend("numpy")  # the textbook itself; "numba" is several times faster, once compiled
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## The text, and what is asked
#
# The English is Python's own language reference, which every Python brings along. Each different
# character has a number. A training example is a window of the text; its targets are the same window,
# one character later.

# %%
text = default_text()
tokenizer = CharTokenizer.train(text)
training_ids, validation_ids = split(np.array(tokenizer.encode(text)))
V = tokenizer.vocab_size

example = sample_batch(training_ids, batch=1, context=16, seed=1, step=0)
print(f"{len(text):,} characters, {V} of them different")
print("inputs ", repr(tokenizer.decode(example.inputs[0])))
print("targets", repr(tokenizer.decode(example.targets[0])))

# %% [markdown]
# At every one of the 16 places the model gives a probability to each of the V characters, looking
# only at what stands to the left. The **loss** is the mean surprise, −log of the probability of what
# really came.
#
# **Predict before you run:** the loss of a model that has learned nothing. (You need V, and a
# calculator.)

# %%
CONTEXT = 32
model = GPT(GPTConfig(vocab_size=V, context=CONTEXT, layers=2, heads=2, width=48), seed=0)
loss, _ = model.loss(sample_batch(training_ids, 16, CONTEXT, seed=0, step=0))
print(f"{sum(p.data.size for p in model.parameters()):,} parameters")
print(f"loss {loss:.3f};  ln V = {np.log(V):.3f}")

# %% [markdown]
# Every character equally likely: −log(1/V) = ln V, nearly. What does it *say*?


# %%
def speak(model, prompt="The ", length=150, temperature=0.5):
    """Continue a prompt."""
    (new,) = generate(
        model,
        tokenizer.encode(prompt),
        max_new_tokens=length,
        do_sample=True,
        temperature=temperature,
    )
    return prompt + tokenizer.decode(new)


print(speak(model, length=60))

# %% [markdown]
# ## Train
#
# `train` is a generator: it takes one step each time you ask. Forward, backward, clip, update; every
# one of these gradients was derived by hand, and proved.
#
# **Predict:** how low will the loss be after 700 steps, on the way from ln V to 0? If the model only
# learned *how frequent* each character is, it would come
# to rest at about 3.2.

# %%
STEPS = 700


def batches(step):
    """Draw the windows of a step; the same ones, whenever it is asked for."""
    return sample_batch(training_ids, 16, CONTEXT, seed=0, step=step)


def rate(step):
    """Warm up, then decay to nothing."""
    return warmup_cosine(step, peak=4e-3, warmup=20, total=STEPS)


losses = []
for step in train(model, AdamW(model.parameters(), lr=rate(1)), batches, rate, STEPS, clip=1.0):
    losses.append(step.loss)
    if step.index in (30, 200, 700):
        print(f"step {step.index}: {np.mean(losses[-20:]):.2f}   {speak(model, length=55)!r}")

# %%
smooth = np.exp(np.reshape(losses, (-1, 10)).mean(axis=1))
frequencies = np.exp(unigram_entropy(training_ids))
show.curves(
    {
        "this model": ("forward", list(zip(range(1, STEPS, 10), smooth, strict=True))),
        "frequencies only": ("neutral", [(1, frequencies), (STEPS, frequencies)]),
    },
    "step",
    "perplexity: as unsure as among so many equally likely characters",
)

# %% [markdown]
# (Drawn is e to the loss, the **perplexity**: a loss of ln 8 means "as unsure as with an eight-sided
# die".) A steep fall to the line of the frequencies (chapter 02 shows why it is a landmark), then the slow
# part: letters that follow letters, endings, words. Let it speak:

# %%
for temperature in (0.2, 0.6, 1.5):
    print(f"temperature {temperature}:\n{speak(model, temperature=temperature)}\n")

# %% [markdown]
# Short words are real, long ones only look like it; sense there is none. A low temperature repeats
# what is safest, a high one gambles. A minute on the fast backend (`minitransformer train`) goes much
# further.
#
# ## Look inside: who looks at whom?
#
# Nothing is hidden. The cache of a forward pass holds every intermediate array under the name of its
# part. Here is how much each character (row) looks at those before it (columns), one panel for each
# head.
#
# **Predict:** what is the first row? Why is the upper right empty?

# %%
phrase = "the statement is"
ids = np.array([tokenizer.encode(phrase)])
logits, cache = model(ids)
letters = list(phrase.replace(" ", "␣"))
show.attention(cache.blocks[0].attention, letters)

# %% [markdown]
# The first character has only itself to look at: 1. The future is hidden (chapter 06 takes it
# apart). The heads are not alike, and nobody told them their roles.
#
# And what does it take to go back? Sizes of everything that backward must remember, for one batch of
# 16 windows:

# %%
show.memory(model, batches(0))

# %% [markdown]
# ## A surprise, measured: where in a word is the model unsure?
#
# **Predict:** which character of a word is hardest to guess: the first, the second, the last?

# %%
T = CONTEXT
rows = len(validation_ids) // T - 1
inputs = validation_ids[: rows * T].reshape(rows, T)[:400]
targets = validation_ids[1 : rows * T + 1].reshape(rows, T)[:400]
logits, _ = model(inputs)
probs, _ = ops.softmax_forward(logits)
surprise = -np.log(np.take_along_axis(probs, targets[..., None], axis=-1)[..., 0])

is_letter = np.array([tokenizer.decode([i]).isalpha() for i in range(V)])
place = np.zeros((len(inputs), T), int)  # of the target within its word; 0: not a letter
for t in range(T):
    before = place[:, t - 1] if t else 0
    place[:, t] = np.where(is_letter[targets[:, t]], before + 1, 0)

second_half = np.arange(T) >= T // 2  # with enough to the left
for n in range(1, 9):
    chosen = surprise[(place == n) & second_half]
    print(f"letter {n}   {chosen.mean():.2f} nats   {'█' * round(20 * chosen.mean())}")

# %% [markdown]
# The first letter costs far more than any other: it is the choice of the *word*. Once it is there, the
# second is among the cheapest: English likes an "h" after a "t" and a "u" after a "q". The loss is not spread evenly
# over a text: it sits where the decisions are.
#
# ## Broken on purpose: targets that were not shifted
#
# The most tempting mistake of all: the targets are the inputs. Everything runs. **Predict:** the loss
# after 100 steps, compared with the one above; and what the model says.


# %%
def unshifted(step):
    """Ask for the character that is already there."""
    inputs = batches(step).inputs
    return Batch(inputs, inputs)


cheat = GPT(model.config, seed=0)
optimizer = AdamW(cheat.parameters(), lr=rate(1))
for step in train(cheat, optimizer, unshifted, rate, 100, clip=1.0):
    if step.index in (1, 30, 100):
        print(f"step {step.index}: loss {step.loss:.3f}   (shifted: {losses[step.index - 1]:.3f})")
print(speak(cheat, prompt="The", length=60))

# %% [markdown]
# **The symptom:** a triumph. The loss drops to nearly 0 in seconds, and then the model stammers. It
# has learned to copy, as it was asked. *A loss that is too good is a mistake until proved otherwise*:
# the answer has leaked into the input. (A forgotten causal mask looks the same.)
#
# ## Your turn
#
# - `minitransformer train`, and then `minitransformer generate runs/001 --prompt "The "`.
# - Change one thing above and predict first: one layer instead of two; `heads=1`; a learning rate of
#   0.1.
# - `minitransformer exercises start my-answers`: write the parts yourself. When layer norm, attention
#   or AdamW is yours, `minitransformer train --backend student` trains on your code.
# - `minitransformer gradcheck`: see every gradient proved on your machine.
#
# Then the other chapters in their order, from 01 (softmax). Chapter 16 opens a model that others have
# trained, and finds in it what a small one invents on its own.
#
# ## Further reading
#
# - Shannon (1951), *Prediction and Entropy of Printed English*, Bell System Technical Journal 30: the
#   same guessing game, played by people. They need about one bit per letter.
# - Vaswani et al. (2017), *Attention Is All You Need*, arXiv:1706.03762.
# - Radford et al. (2019), *Language Models are Unsupervised Multitask Learners* (GPT-2): the same
#   kind of model, with twenty thousand times as many parameters.
