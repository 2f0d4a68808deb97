# %% [markdown]
# # 11 · Tokenizers: where does a text break?
#
# **The question.** A model reads numbers. Give one to each letter, and every text is long; give one
# to each word, and most words of the world have none. Is there something between, and *who decides
# where to cut*?
#
# Nothing has to be known before this.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("minitransformer") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "minitransformer"], check=True)

from collections import Counter
from itertools import pairwise

import numpy as np

from minitransformer import BPETokenizer, CharTokenizer, bpe_merge, show
from minitransformer.data import default_text
from minitransformer.errors import InputError
from minitransformer.tokenizers import bert_document, bpe_encode, from_document, learn_merges
from minitransformer.tokenizers.bpe import WORDS

# %% [markdown]
# ## Characters
#
# The simplest tokenizer is an alphabet: a character's number is its place. **Predict:** the ids of
# "hole", if the alphabet was learned from "hello". And of "hold"?

# %%
alphabet = CharTokenizer.train("hello")
print(alphabet.characters, alphabet.encode("hole"))
try:
    alphabet.encode("hold")
except InputError as error:
    print("hold:", error)

# %% [markdown]
# Simple, short to write, and deaf to all that it has not met. There is a way out that never fails:
# in a computer every text is already **bytes**, 256 different ones.
#
# **Predict:** how many bytes are "Zurich", "Zürich" and "🙂"?

# %%
for text in ("Zurich", "Zürich", "🙂"):
    print(f"{text:8}", list(text.encode()))

# %% [markdown]
# Nothing is unknown to bytes, but texts are longer than ever. So begin with bytes, and make them
# **grow together**.
#
# ## By hand first
#
# Byte-pair encoding, once an algorithm for compressing files: *find the pair of neighbours that
# occurs most often, give it a number of its own, and begin again.* Four words, with how often they
# occur:
#
#     hat 3    that 2    the 2    cat 1
#
# | pair | where | count |
# |---|---|---|
# | a t | hat, that, cat | 3 + 2 + 1 = **6** |
# | h a | hat, that | 5 |
# | t h | that, the | 4 |
# | h e | the | 2 |
# | c a | cat | 1 |
#
# So "at" becomes one piece. **Predict before you run:** the next piece; and how often the pair "t
# h" is left after it, which occurred 4 times.

# %%
counts = {"hat": 3, "that": 2, "the": 2, "cat": 1}
words = {word: list(word.encode()) for word in counts}
vocab = {byte: bytes([byte]) for byte in range(256)}


def pair_counts(words, counts):
    """Count the neighbours in all words."""
    total = Counter()
    for word, ids in words.items():
        for pair in pairwise(ids):
            total[pair] += counts[word]
    return total


for new_id in range(256, 260):
    pairs = pair_counts(words, counts)
    most = max(pairs, key=lambda pair: (pairs[pair], -pair[0], -pair[1]))
    vocab[new_id] = vocab[most[0]] + vocab[most[1]]
    words = {word: bpe_merge(ids, most, new_id) for word, ids in words.items()}
    shown = "  ".join("·".join(vocab[i].decode() for i in ids) for ids in words.values())
    th = pairs[ord("t"), ord("h")]
    print(f"{vocab[new_id].decode():4} occurs {pairs[most]} times (t h: {th})   {shown}")

# %% [markdown]
# "t h" fell from 4 to 2 when its "h" went away into "hat": merges compete. That is why one cannot
# take the pairs from one list of counts, and why training counts again after each. (Equal counts
# need a rule, or two runs may differ: here the smaller ids win.)
#
# You have just trained a tokenizer. The library's way does the same and only keeps the counts up to
# date instead of counting anew:

# %%
print("ours       ", [piece.decode() for i, piece in vocab.items() if i >= 256])
merges = learn_merges(counts, 4)
print("the library", [piece.decode() for piece in BPETokenizer(merges).vocab[256:]])

# %% [markdown]
# ## Encoding: replay the merges
#
# What was learned is a *list of merges, in order*. A new word goes through the same history: of all
# merges that apply, the one learned first, until none applies.
#
# **Predict:** how is "thatch" cut? It contains "that", and "hat", and "at".

# %%
merged_ids = {pair: 256 + i for i, pair in enumerate(merges)}
show.step_through(bpe_encode, b"thatch", merged_ids)

# %%
pieces = BPETokenizer(merges).vocab
print([pieces[i].decode() for i in bpe_encode(b"thatch", merged_ids)])

# %% [markdown]
# "c" and "h" were never neighbours while training, so they stay alone.
#
# ## Real text
#
# Now the language reference that every Python ships. First the text is cut into words, each with
# the blank before it, and no merge crosses a border: else "dog.", "dog!" and "dog?" would be three
# pieces. The last tenth is kept for questions.
#
# **Predict:** the first merge of English? (Think of "e", "t", "th". Then remember what programs
# look like.)

# %%
text = default_text()
training, held_out = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
tokenizer = BPETokenizer.train(training, vocab_size=4096)
for first in (256, 276, 1000, 4076):
    print(
        f"{first:5} …",
        [tokenizer.vocab[i].decode(errors="replace") for i in range(first, first + 12)],
    )

# %% [markdown]
# Two blanks: the text is full of indented examples. A tokenizer has no opinions about language; it
# has counts. Then come blanks with a letter, "in", "he", " the"; at a thousand whole words, at four
# thousand the words of *this* text.

# %%
show.tokens(
    tokenizer, "The function returns a list. It never hallucinates unbelievable tokenizations."
)

# %% [markdown]
# Common words are one piece, rare ones a few, and **nothing is ever unknown**: at worst a word
# falls into bytes.
#
# **Predict:** which of these numbers are one piece? Would you like to learn adding from this?

# %%
show.tokens(tokenizer, "7 + 12 = 19, 64 + 64 = 128, 2024 - 1000 = 1024, 12345 * 10 = 123450")

# %% [markdown]
# ## A surprise, measured: a model of language, without a model
#
# A longer vocabulary makes shorter texts. What does it do to the **loss**? Take the poorest model
# of all, the frequencies of the pieces (chapter 02), learned on the training text and judged on the
# rest.
#
# **Predict:** as the vocabulary grows from 256 to 4096, does its loss for each piece rise or fall?
# And for each *character*?


# %%
def unigram_loss(tokenizer):
    """Mean surprise at a held-out piece, in bits, and characters of a piece."""
    seen = np.bincount(tokenizer.encode(training), minlength=tokenizer.vocab_size) + 1
    ids = tokenizer.encode(held_out)
    return -np.log2(seen / seen.sum())[ids].mean(), len(held_out) / len(ids)


print("vocabulary   characters a piece   bits a piece   bits a character")
for size in (256, 300, 512, 1024, 2048, 4096):
    bits, length = unigram_loss(BPETokenizer(tokenizer.merges[: size - 256]))
    print(
        f"{size:10}   {length:18.2f}   {bits:12.2f}   {bits / length:10.2f}   {'█' * round(8 * bits / length)}"
    )

# %% [markdown]
# Each piece becomes *harder* to guess, and each character far easier: the bits for a character are
# halved, and nothing was trained but a list of pairs. The tokenizer itself has learned which
# letters belong together.
#
# Two things to take away. A loss or a perplexity **for each token says nothing unless the tokenizer
# is named**; compare bits for each character (or byte). And merges are a beginning of modelling,
# which is why they help.
#
# (Shorter lists are beginnings of the longer ones, so one training gave all six tokenizers.)
#
# ## Who pays?
#
# The merges were counted in English. The first sentence of the Universal Declaration of Human
# Rights, in six languages. **Predict:** how many times as many pieces does the most expensive one
# need?

# %%
sentences = {
    "English": "All human beings are born free and equal in dignity and rights.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Finnish": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "Japanese": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
}
for language, sentence in sentences.items():
    n = len(tokenizer.encode(sentence))
    print(f"{language:9} {len(sentence):3} characters, {n:3} pieces  {'█' * (n // 4)}")

# %% [markdown]
# The same thought, ten times the price: in time, in money, and in how much of it fits into the
# context. Vocabularies of a hundred thousand pieces narrow the gap, and do not close it.
#
# ## Broken on purpose: the longest piece first
#
# Replaying merges is slow. Why not cut off, again and again, the longest piece that is in the
# vocabulary? **Predict:** does decoding give the text back? Does anything change?

# %%
ids_of = {piece: i for i, piece in enumerate(tokenizer.vocab)}


def longest_first(word):
    """Cut the longest known piece off the front, until nothing is left."""
    rest, ids = word.encode(), []
    while rest:
        n = next(n for n in range(len(rest), 0, -1) if rest[:n] in ids_of)
        ids.append(ids_of[rest[:n]])
        rest = rest[n:]
    return ids


words = Counter(WORDS.findall(held_out))
print("round trip right:", all(tokenizer.decode(longest_first(word)) == word for word in words))
wrong = [word for word in words if longest_first(word) != tokenizer.encode(word)]
share = sum(words[word] for word in wrong) / words.total()
print(f"cut differently: {len(wrong)} of {len(words)} words, {share:.1%} of the text, such as")
plain = [word for word in wrong if word.strip().isalpha()]
for word in sorted(plain, key=lambda word: (-words[word], word))[:6]:
    both = (tokenizer.encode(word), longest_first(word))
    merged, longest = ("·".join(tokenizer.decode([i]).strip() for i in ids) for ids in both)
    print(f"    {merged:12} longest first: {longest}")

# %% [markdown]
# **The symptom is none**, at first sight. The round trip is right, most words are the same, and the
# new cuts often look even better. But a model that was trained on one way of cutting now reads,
# every few lines, sequences that it has never seen, and is a little worse for it. A tokenizer
# belongs to its model, down to the last word; *"decode gives the text back" is no test of an
# encoder*.
#
# ## WordPiece
#
# As a convention for both training and use there is nothing wrong with the longest piece, and
# BERT's tokenizer, WordPiece, does just that. Pieces inside a word are marked with ##. A word that
# cannot be put together becomes `[UNK]`, **as a whole**.
#
# **Predict** the four words, with this vocabulary. Two of them have a surprise in store.

# %%
special = ["[UNK]", "[CLS]", "[SEP]"]
vocabulary = [*special, "un", "under", "believe", "##believ", "##able", "##dergo", "##r"]
word_piece = from_document(bert_document("\n".join(vocabulary), {}))
for word in ("unbelievable", "Believer", "believers", "undergo"):
    print(f"{word:13}", [vocabulary[i] for i in word_piece.encode(word, add_special_tokens=False)])

# %% [markdown]
# One missing `##s`, and "believers" is lost, all of it: the price of not beginning with bytes. And
# "undergo" *could* be cut, un·dergo, but the longest piece at the front is "under", and then
# nothing fits. Greed looks no further than the next cut. (Its training is different too: not the
# most frequent pair is merged, but the one that occurs more often than its parts would lead one to
# expect, count(ab) / (count(a) · count(b)).)
#
# ## A trap for users: the blank at the end
#
# A piece holds the blank *before* its word. **Predict:** a prompt ends in a blank, "The ". How
# often, in the training text, does a lone blank stand before a piece that begins with a small
# letter?

# %%
ids = tokenizer.encode(training)
(blank,) = tokenizer.encode(" ")
after = Counter(tokenizer.decode([b]) for a, b in pairwise(ids) if a == blank)
small = sum(n for piece, n in after.items() if piece[0].islower())
for prompt in ("The function", "The "):
    print(f"{prompt!r:15}", [tokenizer.decode([i]) for i in tokenizer.encode(prompt)])
print(f"lone blanks: {after.total():,} of {len(ids):,} pieces; before a small letter: {small}")

# %% [markdown]
# Almost never. Such a prompt asks the model for something that it has not seen: it should have said
# " function", blank included, and may not. Leave the blank away.
#
# ## Your turn
#
# - `minitransformer exercises` → **bpe_merge**, **bpe_encode**; and **test_bpe_merge**: write the
#   test that rejects the wrong ones. ("aaa" is a good beginning.)
# - Without running: what does BPE learn from a text in which no pair occurs twice?
# - Train on your own language (`BPETokenizer.train`), and count again who pays.
# - `minitransformer train --help`: the tokenizer is one of its options. Compare bits for each
#   character, not losses.
#
# ## Further reading
#
# - Gage (1994), *A New Algorithm for Data Compression*, The C Users Journal 12: byte pairs, for
#   files.
# - Sennrich, Haddow, Birch (2016), *Neural Machine Translation of Rare Words with Subword Units*,
#   arXiv:1508.07909: byte pairs, for words.
# - Radford et al. (2019), *Language Models are Unsupervised Multitask Learners*, section 2.2: bytes
#   first, and no merge across words.
# - Schuster, Nakajima (2012), *Japanese and Korean Voice Search*, ICASSP: WordPiece.
# - Kudo (2018), *Subword Regularization*, arXiv:1804.10959: another way, in which a text may be cut
#   in several ways.
# - Petrov et al. (2023), *Language Model Tokenizers Introduce Unfairness Between Languages*,
#   arXiv:2305.15425: who pays, measured on many tokenizers.
