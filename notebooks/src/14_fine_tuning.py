# %% [markdown]
# # 14 · Hide and ask: masked language modelling, fine-tuning, freezing, LoRA
#
# **The question.** Labels are dear, text is free. What can be learned from text that nobody has
# labelled, and how does it help when there are four labels of a kind and no more? And must a whole
# model learn again, only because the question has changed?
#
# Before this: chapters 06 (attention), 09 (the block), 12 (next tokens). Shape letters: B batch,
# T positions, C features, I inputs, O outputs, R rank.

# %%
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices this small are not worth a second one
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import numpy as np

from minitransformer import AdamW, ops, set_backend, show, warmup_cosine
from minitransformer.data import EncoderBatch, mask_tokens, masked_lm_batch, objective_rng
from minitransformer.models import BertConfig, BertForMaskedLM, Classifier, ClassifierConfig
from minitransformer.nn import add_lora, freeze, lora_layers, merge_lora, unmerge_lora
from minitransformer.training import train

set_backend("numpy")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand first
#
# Five tokens. Four are chosen, and asked for; of these, `action` says what the model gets to see: below 8
# a mask (99), at 8 another token (42), at 9 the token itself.
#
# **Predict before you run:** inputs and targets. A target of −100 costs nothing.

# %%
ids = np.array([10, 11, 12, 13, 14])
chosen = np.array([True, True, True, True, False])
action = np.array([0, 7, 8, 9, 0])
masked = mask_tokens(ids, chosen, action, np.full(5, 42), mask_id=99)
print("inputs ", masked.inputs)
print("targets", masked.targets)

# %% [markdown]
# Why not hide all four? When the model is put to use, nothing is hidden. A model that was asked at masks
# only would learn good vectors at masks only.
#
# ## Five secret orders
#
# A language: the letters A to L stand in a secret order, and a text walks along it, round and round. There
# are five such languages. Nobody says which text is in which language; there is only text.

# %%
LANGUAGES, LETTERS, T = 5, 12, 12
MASK = LETTERS
ORDERS = [np.random.default_rng(i).permutation(LETTERS) for i in range(LANGUAGES)]


def write(rows, rng):
    """Texts (rows, T), and the language of each."""
    languages, starts = rng.integers(LANGUAGES, size=rows), rng.integers(LETTERS, size=rows)
    places = (starts[:, None] + np.arange(T)) % LETTERS
    return np.array([ORDERS[k][row] for k, row in zip(languages, places, strict=True)]), languages


def read(tokens):
    """Letters; a mask is a dot."""
    return "".join("ABCDEFGHIJKL·"[token] for token in tokens)


some, languages = write(4, np.random.default_rng(0))
for row, language in zip(some, languages, strict=True):
    print(read(row), " language", language)

# %% [markdown]
# To name a hidden letter one must know the letter before it *and* the language. So whoever learns to fill
# gaps has to find out that there are five languages, without ever being told.
#
# **Predict:** the loss of a model that knows nothing (12 letters), and of one that knows the letter before
# and has five languages to choose from.


# %%
def hidden_batch(step, rows=32):
    """Texts of one step, a quarter of their letters asked for."""
    rng = objective_rng(0, step)
    return masked_lm_batch(write(rows, rng)[0], rng, MASK, LETTERS, probability=0.25)


batch = hidden_batch(0)
for inputs, targets in zip(batch.inputs[:3], batch.targets[:3], strict=True):
    asked = "".join(read([t]) if t >= 0 else " " for t in targets)
    print(read(inputs), "  asked:", asked)
print(f"knows nothing: {np.log(LETTERS):.2f} nats, one of five: at most {np.log(LANGUAGES):.2f}")

# %% [markdown]
# ## Pre-training
#
# BERT: token, place and segment are added and normalised; a block attends to **both** sides; the vectors
# at the places asked for go through a small head, and the token embedding names the letter. The other
# places are not even scored.

# %%
shape = BertConfig(vocab_size=LETTERS + 1, context=T, layers=1, heads=4, width=32)
bert = BertForMaskedLM(shape)
optimizer = AdamW(bert.parameters(), lr=5e-3)
STEPS = 500
losses = [
    step.loss
    for step in train(
        bert,
        optimizer,
        hidden_batch,
        lambda i: warmup_cosine(i, 5e-3, 50, STEPS, 1e-4),
        STEPS,
        clip=1.0,
    )
]
smooth = np.reshape(losses, (-1, 20)).mean(axis=1)
print(f"loss: {losses[0]:.2f} at first, {smooth[-1]:.2f} at last")
show.curves(
    {"loss": ("forward", list(zip(range(10, STEPS, 20), smooth, strict=True)))},
    "step",
    "nats for each letter asked for",
)

# %% [markdown]
# Below log 5: it knows the language, too. Look at a text with two gaps, and at what it puts there:

# %%
text, _ = write(1, np.random.default_rng(7))
gaps = text.copy()
gaps[0, [3, 8]] = MASK
whole = EncoderBatch(gaps, np.array([T]), gaps)
logits, cache = bert(whole)
print("text  ", read(text[0]))
print("hidden", read(gaps[0]))
print("filled", read(np.where(gaps == MASK, logits.argmax(axis=-1), gaps)[0]))

# %% [markdown]
# ## Few labels
#
# Now somebody tells the language of four texts of each kind: twenty labels. A classifier reads the mean of
# the vectors. Four ways to learn from the same twenty:
#
# | | trunk starts | trunk learns |
# |---|---|---|
# | from scratch | at random | all of it |
# | full | pre-trained | all of it |
# | frozen | pre-trained | nothing: the head alone learns |
# | LoRA | pre-trained | thin matrices beside its weights |
#
# **Predict:** their order on 500 texts that none has seen, and how many values each has to learn.

# %%
pool, pool_languages = write(400, np.random.default_rng(5))
rows = np.concatenate([np.flatnonzero(pool_languages == k)[:4] for k in range(LANGUAGES)])
few = EncoderBatch(pool[rows], np.full(len(rows), T), pool_languages[rows])
texts, truth = write(500, np.random.default_rng(99))
test = EncoderBatch(texts, np.full(500, T), truth)


def fine_tune(kind, steps=60, lr=3e-3):
    """A classifier, trained on the few labels."""
    model = Classifier(ClassifierConfig(shape, outputs=LANGUAGES))
    if kind != "from scratch":
        model.trunk.load_state_dict(bert.trunk.state_dict())
    if kind == "frozen":
        freeze(model, "trunk")
    if kind == "LoRA":
        add_lora(model.trunk, "*.query_key_value", "*.projection", rank=4)
    optimizer = AdamW(model.parameters(), lr)
    for _ in train(model, optimizer, lambda i: few, lambda i: lr * min(1.0, i / 10), steps):
        pass
    return model, optimizer


tuned = {}
print(f"{'':13} {'learns':>7} {'moments':>9} {'right':>7}")
for kind in ("from scratch", "full", "LoRA", "frozen"):
    tuned[kind], optimizer = fine_tune(kind)
    right = (tuned[kind](test)[0].argmax(axis=-1) == truth).mean()
    moments = sum(buffer.nbytes for buffer in optimizer.buffers.values())
    learns = tuned[kind].trainable_count()
    print(f"{kind:13} {learns:7,} {moments / 1024:6.0f} KiB {right:7.1%}")

# %% [markdown]
# Guessing would be right in 20%. The pre-trained trunk has told the five groups apart already, and only
# their *names* are missing. **A surprise:** with labels as few as these, the less may change, the better.
# A model that may change everything learns the twenty texts by heart, and spoils what it knew.
#
# ## Freezing: where the backward pass ends
#
# A frozen parameter has no gradient; not a gradient of zero, but none at all, and the optimizer does not
# know of it. And below the lowest part that learns, nobody needs a gradient.
#
# **Predict:** how many matrix products for weights (`dw`) does backward make, in full, and with a frozen
# trunk? The block has 4 linear layers, the head 2.

# %%
honest = ops.linear_backward


def counted(dy, cache):
    """The op, and a count of its calls."""
    counted.calls += 1
    return honest(dy, cache)


ops.linear_backward = counted
for kind in ("full", "LoRA", "frozen"):
    _, cache = tuned[kind].loss(few)
    counted.calls = 0
    tuned[kind].backward(cache)
    print(f"{kind:7} {counted.calls} calls")
ops.linear_backward = honest
weight = tuned["frozen"].trunk.blocks[0].attention.projection.weight
print("a frozen weight", weight.shape, "has a gradient of shape", weight.grad.shape)

# %% [markdown]
# A frozen layer in the middle still has to pass the gradient on: `dx = dy Wᵀ` needs the weight, and not
# its gradient. In LoRA's row two of the calls of each adapted layer are for its thin matrices.
#
# ## LoRA: a change of low rank
#
# `y = x (W + s A B)` with W (I, O) frozen, A (I, R) and B (R, O) learnt, s = alpha / R. B starts at 0.
#
# **Predict:** which of A and B has a gradient in the first step?

# %%
fresh = Classifier(ClassifierConfig(shape, outputs=LANGUAGES))
before, _ = fresh(few)
add_lora(fresh.trunk, "*.query_key_value", rank=4)
print("changes the scores by", np.abs(fresh(few)[0] - before).max())
loss, cache = fresh.loss(few)
fresh.backward(cache)
(layer,) = lora_layers(fresh).values()
print("A", layer.lora_a.shape, "largest gradient", np.abs(layer.lora_a.grad).max())
print("B", layer.lora_b.shape, "largest gradient", np.abs(layer.lora_b.grad).max())

# %% [markdown]
# `dA = s xᵀ dy Bᵀ` is 0 as long as B is; `dB = s (x A)ᵀ dy` is not. Both at 0 would stay there for ever.
#
# After training the change can be written into the weight: a plain model again, no slower than before.
# And it can be taken out.

# %%
model = tuned["LoRA"]
apart, _ = model(test)
layers = merge_lora(model)
merged, _ = model(test)
print("layers:", ", ".join(layers))
print("merged differs by  ", f"{np.abs(merged - apart).max():.0e}")
unmerge_lora(model, layers)
print("unmerged differs by", f"{np.abs(model(test)[0] - apart).max():.0e}")

# %% [markdown]
# ## Break it
#
# The mask is never exchanged for the truth: the model is asked for what it can see.
#
# **Predict:** the loss, and what it puts into gaps.


# %%
def nothing_hidden(step):
    """Letters are asked for, but stand there."""
    batch = hidden_batch(step)
    asked = batch.targets >= 0
    return batch._replace(inputs=np.where(asked, batch.targets, batch.inputs))


cheat = BertForMaskedLM(shape)
steps = train(cheat, AdamW(cheat.parameters(), 5e-3), nothing_hidden, lambda i: 5e-3, 100)
print(f"loss {[step.loss for step in steps][-1]:.4f}")
print("filled", read(np.where(gaps == MASK, cheat(whole)[0].argmax(axis=-1), gaps)[0]))
print("text  ", read(text[0]))

# %% [markdown]
# **The symptom:** a loss near 0 after a hundred steps. It has learnt to copy, and in gaps it is lost. Every
# gradient is right. A loss that is too good is a fault like any other.
#
# ## Your turn
#
# - `minitransformer exercises` → **mask_tokens**, **lora_forward**, **lora_backward**.
# - `minitransformer train --recipe mlm --out runs/mlm`, then `--recipe classify --start-from runs/mlm`:
#   the same with English prose.
# - Freeze all but the biases: `freeze(model, "*.weight", "*.gamma")`. How many values learn?
# - Hide whole words or spans: `draw_masked_tokens(..., words=...)`, `span_length=3`. Why is that harder?
# - On paper: how many values has a change of rank R in a matrix (I, O)? From which R on is it no saving?
#
# ## Further reading
#
# - Devlin et al. (2018), *BERT*, arXiv:1810.04805; Joshi et al. (2019), *SpanBERT*, arXiv:1907.10529.
# - Raffel et al. (2019), *T5*, arXiv:1910.10683: many objectives compared.
# - Howard, Ruder (2018), *Universal Language Model Fine-tuning*, arXiv:1801.06146: freezing, layer by
#   layer.
# - Hu et al. (2021), *LoRA*, arXiv:2106.09685; Ben Zaken et al. (2021), *BitFit*, arXiv:2106.10199.
