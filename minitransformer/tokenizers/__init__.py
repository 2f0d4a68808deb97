"""From text to ids and back: by characters, byte-pair encoding or WordPiece; public ones too."""

from minitransformer.tokenizers.base import Tokenizer
from minitransformer.tokenizers.bpe import BPETokenizer
from minitransformer.tokenizers.byte_level import ByteLevelBPE
from minitransformer.tokenizers.byte_pairs import bpe_encode, bpe_merge, learn_merges
from minitransformer.tokenizers.character import CharTokenizer
from minitransformer.tokenizers.legacy_files import bert_document, gpt2_document
from minitransformer.tokenizers.loading import load_tokenizer
from minitransformer.tokenizers.pretrained import Encoding, PretrainedTokenizer
from minitransformer.tokenizers.tokenizer_json import from_document
from minitransformer.tokenizers.wordpiece import WordPiece

__all__ = [
    "BPETokenizer",
    "ByteLevelBPE",
    "CharTokenizer",
    "Encoding",
    "PretrainedTokenizer",
    "Tokenizer",
    "WordPiece",
    "bert_document",
    "bpe_encode",
    "bpe_merge",
    "from_document",
    "gpt2_document",
    "learn_merges",
    "load_tokenizer",
]
