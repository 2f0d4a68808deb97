# %% [markdown]
# # 15 · Encoder and decoder: where to look while writing
#
# **The question.** `March 7, 2024` is to become `2024-03-07`. What comes last is written first, a
# word becomes two digits, and nobody tells the model which letters belong to which. How does it know
# where to look? And how does the part that *reads* learn, when the error is made by the part that
# *writes*?
#
# Before this: chapters 06 (attention), 09 (the block), 12 (next tokens). Shape letters: B batch,
# T positions of the target, S positions of the source, H heads.

# %%
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices this small are not worth a second one
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import datetime

import numpy as np

from minitransformer import AdamW, CharTokenizer, generate, ops, set_backend, show, warmup_cosine
from minitransformer.data import pair_batch
from minitransformer.models import EncoderDecoder, EncoderDecoderConfig
from minitransformer.nn import MultiHeadAttention
from minitransformer.training import train

set_backend("numpy")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand first
#
# The encoder has read three letters, and its **memory** has a vector for each. The decoder writes, and
# asks: *cross-attention* is attention whose queries come from the target, and whose keys and values
# come from the memory. One query, three keys; the scores are log 8, 0, 0. The values are 5, 0, 10.
#
# **Predict before you run:** y. And then, for dy = 1: how much of the gradient does each of the three
# memory vectors get through its value?

# %%
q = np.array([[np.log(8.0), 0.0]])[None, None]
k = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])[None, None]
v = np.array([[5.0], [0.0], [10.0]])[None, None]
y, cache = ops.attention_forward(q, k, v, scale=1.0)
dq, dk, dv = ops.attention_backward(np.ones_like(y), cache)
print("T = 1, S = 3: scores", cache.q.shape, "·", cache.k.shape, "→ probs", cache.probs.shape)
print("y ", y.squeeze(), "   dv", dv.squeeze())

# %% [markdown]
# y = 0.8 · 5 + 0.1 · 0 + 0.1 · 10 = 5, and dv = 0.8, 0.1, 0.1: what was read, is taught. There is no
# other way from the loss into the encoder. **The encoder learns only through the eyes of the
# decoder.**
#
# ## The task
#
# All days of 25 years, as four languages write them. 200 days are set aside: they occur in no language.

# %%
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}
LANGUAGES = ("en", "fr", "de", "zh")


def in_words(day, language):
    """Write a date as people do."""
    if language == "zh":
        return f"{day.year}年{day.month}月{day.day}日"
    month = MONTHS[language].split()[day.month - 1]
    order = {
        "en": "{month} {day}, {year}",
        "fr": "{day} {month} {year}",
        "de": "{day}. {month} {year}",
    }
    return order[language].format(day=day.day, month=month, year=day.year)


numbers = np.random.default_rng(0).permutation(25 * 365)
days = [datetime.date(2000, 1, 1) + datetime.timedelta(int(n)) for n in numbers]
held_out, known = days[:200], days[200:]
for language in LANGUAGES:
    print(f"{in_words(held_out[0], language):20} → {held_out[0].isoformat()}")

# %% [markdown]
# Letters become numbers. A line break is the token that the decoder reads first, and says last.

# %%
pairs = [(in_words(day, language), day.isoformat()) for day in days for language in LANGUAGES]
tokenizer = CharTokenizer.train("\n" + "".join(map("".join, pairs)))
V = tokenizer.vocab_size
(EDGE,) = tokenizer.encode("\n")


def batch_of(examples):
    """Arrays of source and target, as the model reads them."""
    sources, targets = zip(*examples, strict=True)
    encode = tokenizer.encode
    return pair_batch([*map(encode, sources)], [*map(encode, targets)], EDGE, EDGE)


def batches(step):
    """32 pairs of the days that are known; the same ones, whenever this step is asked for."""
    rng = np.random.default_rng([15, step])
    chosen = [known[i] for i in rng.integers(len(known), size=32)]
    return batch_of([(in_words(day, rng.choice(LANGUAGES)), day.isoformat()) for day in chosen])


# %% [markdown]
# ## Teacher forcing
#
# Two pairs, one shorter. The decoder reads the target *moved by one*, so that each position is asked
# for what comes next: the right letters stand before it, whatever it would have said itself. So all
# positions learn at once, and none has to wait for the others.
#
# **Predict:** the shapes of `sources` and `inputs`. Which targets are -100, and why are there none
# here?

# %%
example = [("May 1, 2010", "2010-05-01"), ("2010年5月1日", "2010-05-01")]
two = batch_of(example)
for name, array in two._asdict().items():
    print(f"{name:15} {array.shape!s:8}", array[1])
print("inputs[1] and targets[1]:")
for name in ("inputs", "targets"):
    print(
        "   ", " ".join(tokenizer.decode([i]) if i != EDGE else "⏎" for i in getattr(two, name)[1])
    )

# %% [markdown]
# Every ISO date has ten letters; targets of unequal length would end in -100, which counts nowhere.
# Sources *are* of unequal length: `source_lengths` says what is padding, and a mask hides it.
#
# ## The model
#
# One block each. The encoder's sees the whole source. The decoder's has three parts: self-attention
# over what is written so far (causal), cross-attention over the memory (with the source's mask), and
# feed-forward. One table of embeddings serves three times: for the source, for the target, and, turned
# round, as the output layer.

# %%
config = EncoderDecoderConfig(
    vocab_size=V,
    target_vocab_size=V,
    start_id=EDGE,
    end_id=EDGE,
    context=24,
    target_context=12,
    layers=1,
    heads=4,
    width=48,
    hidden=192,
    norm="pre",
    shared_embeddings=True,
)
model = EncoderDecoder(config, seed=0)
loss, cache = model.loss(two)
print(f"{model.parameter_count():,} parameters; loss {loss:.2f}, ln V = {np.log(V):.2f}")
print("cross-attention probs (B, H, T, S):", cache.decoder.blocks[0].cross_attention.probs.shape)

# %% [markdown]
# ## Learning to look
#
# While the model learns we look over its shoulder: the cross-attention for one date that it never
# sees in training, the mean over the heads, at four moments.
#
# **Predict:** what will the picture look like before training? What should it look like at the end:
# which columns does the first row, which writes the `2`, need? And the seventh, the second digit of
# the month?


# %%
watched = held_out[4]


def alignment(model, source, target):
    """How much each letter written looks at each letter read, (T, S)."""
    _, cache = model(batch_of([(source, target)]))
    return cache.decoder.blocks[0].cross_attention.probs[0].mean(axis=0)


def picture(model, language):
    """Rows are letters to be written, columns letters of the source."""
    source, target = in_words(watched, language), watched.isoformat()
    return show.attention(
        alignment(model, source, target), [*target, "⏎"], [c.replace(" ", "␣") for c in source]
    )


STEPS = 600
PAUSES = (0, 60, 150, STEPS)


def rate(step):
    """Warm up, then decay to nothing."""
    return warmup_cosine(step, peak=6e-3, warmup=50, total=STEPS)


def learn(model, steps=STEPS):
    """Train, and keep the losses and what was seen at the pauses."""
    optimizer = AdamW(model.parameters(), lr=rate(1))
    losses, pictures = [], {0: picture(model, "en")}
    for step in train(model, optimizer, batches, rate, steps, clip=1.0):
        losses.append(step.loss)
        if step.index in PAUSES:
            pictures[step.index] = picture(model, "en")
    return losses, pictures


losses, pictures = learn(model)
pictures[0]

# %% [markdown]
# Before training: a little of everything. After 60 steps:

# %%
pictures[60]

# %%
pictures[150]

# %%
pictures[STEPS]

# %% [markdown]
# Nobody said where the year is. The rows of the year look at the end of the source, those of the day at
# the digit in front of the comma, and the first of the month at letters of the name. But the month's
# second digit, the one that matters, looks most at the **2 of the year**. Remember that 2. The hyphens
# need nothing, and look anywhere.
#
# The order was turned round, and so is the picture: the diagonal of a word-for-word translation is
# broken into three pieces. In German the same model, the same date:

# %%
picture(model, "de")

# %%
show.curves(
    {
        "loss": (
            "forward",
            list(zip(range(5, STEPS, 10), np.reshape(losses, (-1, 10)).mean(axis=1), strict=True)),
        )
    },
    "step",
    "nats for each letter",
)

# %% [markdown]
# ## Does it work?
#
# Now nobody gives the right letters: the decoder reads what it has written itself. The source is read
# *once*; keys and values of the memory are remembered, and so are those of the letters written.
#
# **Predict:** which language is the hardest?


# %%
def written(model, sources):
    """Decode greedily."""
    ids = [tokenizer.encode(source) for source in sources]
    return [tokenizer.decode(new) for new in generate(model, ids, max_new_tokens=11)]


for language in LANGUAGES:
    answers = written(model, [in_words(day, language) for day in held_out])
    right = [answer == day.isoformat() for answer, day in zip(answers, held_out, strict=True)]
    wrong = next((i for i, good in enumerate(right) if not good), None)
    note = "" if wrong is None else f"{in_words(held_out[wrong], language)} → {answers[wrong]}"
    print(f"{language}  {np.mean(right):4.0%} of days that it never saw   {note}")

# %% [markdown]
# ## A surprise, measured: to look is not to need
#
# The picture says where attention *went*. Is that where the information *was*? Test it: exchange one
# letter of the source, and see how far each output moves. (The total variation between the two
# distributions: 0 is "nothing changed", 1 is "something else altogether".)
#
# **Predict:** all years here begin with a 2, which says nothing about August. What happens to the month
# when another letter stands there? And which letters of `August` are needed?


# %%
def need(model, source, target):
    """How much each letter written changes when a letter read is exchanged, (T, S)."""
    before = ops.softmax_forward(model(batch_of([(source, target)]))[0])[0][0]
    columns = []
    for place in range(len(source)):
        moved = []
        for other in "aeo":
            changed = source[:place] + other + source[place + 1 :]
            after = ops.softmax_forward(model(batch_of([(changed, target)]))[0])[0][0]
            moved.append(np.abs(after - before).sum(axis=-1) / 2)
        columns.append(np.max(moved, axis=0))
    return np.stack(columns, axis=1)


source, target = in_words(watched, "en"), watched.isoformat()
needed, looked = need(model, source, target), alignment(model, source, target)
letters = [c.replace(" ", "␣") for c in source]
show.heatmap(needed, "change", ("T", "S"), rows=[*target, "⏎"], columns=letters)

# %%
print("column   looked at   needed  (sums over the rows)")
for letter, much, mattered in zip(letters, looked.sum(axis=0), needed.sum(axis=0), strict=True):
    print(f"   {letter}      {much:5.2f}      {mattered:5.2f}   {'█' * round(8 * mattered)}")

# %% [markdown]
# Without the 2 the month is lost, though every date has it. The encoder has let all letters speak with
# one another. The vector that stands at the 2 has no news of its own to keep, so the encoder wrote the
# month there, and there the decoder fetches it. And of `August` little more is needed than its A: what
# the others say is said twice.
#
# An alignment shows *where a vector was fetched*, not *which letters it was made of*. It is a good
# instrument, and a poor proof.
#
# ## Broken on purpose: the target that sees its future
#
# The same model, but the decoder's self-attention is not causal. All shapes fit, and every gradient is
# right.
#
# **Predict:** will the training loss be higher or lower? And the dates?


# %%
def sees_everything(self, x, mask=None, causal=False, rng=None, kv=None):
    """Self-attention that forgot what causal means."""
    return honest(self, x, mask, False, rng, kv)


honest = MultiHeadAttention.__call__
MultiHeadAttention.__call__ = sees_everything
try:
    cheat = EncoderDecoder(config, seed=0)
    cheat_losses, _ = learn(cheat, steps=150)
    for name, its_losses in (("honest", losses), ("cheat", cheat_losses)):
        print(f"{name:7} loss at step 150: {np.mean(its_losses[140:150]):.4f}")
    print("the cheat writes", written(cheat, [source])[0], "for", source)
finally:
    MultiHeadAttention.__call__ = honest

# %% [markdown]
# **The symptom:** the loss is too good to be true, and nothing that is written makes sense. At each
# position the answer stands in the input, one place further on: the model learns to copy it and never
# looks at the source. When it has to write by itself, there is nothing to copy. A gradient check cannot
# find this, for the gradients are those of the wrong function, and correct; a test that changes a *later*
# letter and looks whether an *earlier* output moves finds it at once:

# %%
ids = two.inputs.copy()
ids[:, 6] = EDGE
for name, call in (("honest", honest), ("broken", sees_everything)):
    MultiHeadAttention.__call__ = call
    moved = np.abs(model(two._replace(inputs=ids))[0] - model(two)[0])[0].max(axis=-1)
    print(f"{name}: position 6 changes positions", np.flatnonzero(moved > 1e-5))
MultiHeadAttention.__call__ = honest

# %% [markdown]
# ## Your turn
#
# - `minitransformer exercises` → **padding_mask**, **sinusoidal_positions**, **multi_head_attention_backward**,
#   **post_norm_block_backward**, **label smoothing** in **cross_entropy_forward**, **beam_search**.
# - `minitransformer train --recipe dates`: thirteen locales, four styles, two blocks; it draws the
#   alignment of each language into the run folder. Then `--recipe numbers` and `--recipe text2text`.
# - Take the source mask away (`ops.padding_mask`, all True), train, and decode one date alone, and
#   then beside a longer one. What do you expect?
# - Use `norm="post"` as in 2017, and the same learning rate. Then a longer warm-up.
# - On paper: which of the three parts of a decoder block could be left out of *this* task, and would
#   it still learn?
#
# ## Further reading
#
# - Sutskever, Vinyals, Le (2014), *Sequence to Sequence Learning with Neural Networks*,
#   arXiv:1409.3215: a whole sentence in one vector.
# - Bahdanau, Cho, Bengio (2014), *Neural Machine Translation by Jointly Learning to Align and
#   Translate*, arXiv:1409.0473: the first pictures like these.
# - Vaswani et al. (2017), *Attention Is All You Need*, arXiv:1706.03762: figure 1 is this model.
# - Jain, Wallace (2019), *Attention is not Explanation*, arXiv:1902.10186; Wiegreffe, Pinter (2019),
#   *Attention is not not Explanation*, arXiv:1908.04626.
# - Bengio et al. (2015), *Scheduled Sampling*, arXiv:1506.03099: what teacher forcing does not teach.
