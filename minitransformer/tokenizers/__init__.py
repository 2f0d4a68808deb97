"""From text to ids and back: by characters, or by byte-pair encoding."""

from minitransformer.tokenizers.base import Tokenizer
from minitransformer.tokenizers.bpe import BPETokenizer
from minitransformer.tokenizers.byte_pairs import bpe_encode, bpe_merge, learn_merges
from minitransformer.tokenizers.character import CharTokenizer
from minitransformer.tokenizers.loading import load_tokenizer

__all__ = [
    "BPETokenizer",
    "CharTokenizer",
    "Tokenizer",
    "bpe_encode",
    "bpe_merge",
    "learn_merges",
    "load_tokenizer",
]
