"""Small checkpoints in the public layout, of random models, for tests to open."""

import json

import numpy as np

from minitransformer.models import Bert, BertConfig, Llama, LlamaConfig
from minitransformer.pretrained import save_pretrained
from minitransformer.tokenizers import BPETokenizer, bert_document, gpt2_document
from minitransformer.tokenizers.byte_level import CHARACTERS
from tests.generation_models import shaken

ENGLISH = "the cat sat there and the hat was hers, that is what they said to the others\n" * 9
START, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}"
    f"{START}{{{{ message['role'] + '\\n' + message['content'] }}}}{END}\n"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{START}assistant\n{{% endif %}}"
)


def tokenizer_document():
    """A byte-level tokenizer with a few merges, and the tokens of a conversation."""
    trained = BPETokenizer.train(ENGLISH, 280)
    spelt = ["".join(CHARACTERS[byte] for byte in token) for token in trained.vocab]
    merges = [f"{spelt[first]} {spelt[second]}" for first, second in trained.merges]
    vocab = {token: i for i, token in enumerate([*spelt, START, END])}
    return gpt2_document(vocab, merges, special_tokens=[START, END])


def save_chat_model(folder, context=512, template=TEMPLATE):
    """A Llama that answers, though without sense."""
    document = tokenizer_document()
    vocab = document["model"]["vocab"]
    shape = LlamaConfig(
        vocab_size=len(vocab), context=context, layers=2, heads=2, width=16, eos_id=vocab[END]
    )
    model = shaken(Llama(shape, seed=3), scale=0.5)
    says = [token.isascii() and token != START for token in vocab]  # whole characters, mostly
    model.head.weight.data[...] *= says
    save_pretrained(model, folder)
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    if template:
        settings = {"chat_template": template, "eos_token": END}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def save_sentence_model(folder, context=12):
    """A BERT that embeds words of a few letters."""
    letters = "abcdefghijklmnopqrstuvwxyz.,"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters)]
    shape = BertConfig(vocab_size=len(tokens), context=context, layers=2, heads=2, width=16)
    model = Bert(shape, seed=1)
    for parameter in model.parameters():
        parameter.data += np.float32(0.05)
    save_pretrained(model, folder)
    document = bert_document("\n".join(tokens) + "\n", {})
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    return folder
