"""Public checkpoints: GPT-2, BERT and Llama, loaded into the models here and saved from them."""

from minitransformer.pretrained.chat import ChatTemplate, load_chat_template
from minitransformer.pretrained.loading import from_pretrained, save_pretrained
from minitransformer.pretrained.sentences import embed

__all__ = ["ChatTemplate", "embed", "from_pretrained", "load_chat_template", "save_pretrained"]
