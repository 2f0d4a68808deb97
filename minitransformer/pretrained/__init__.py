"""Public checkpoints of GPT-2, BERT, Llama and Whisper: loaded into models here, and saved."""

from minitransformer.pretrained.chat import ChatTemplate, load_chat_template
from minitransformer.pretrained.conversation import Conversation
from minitransformer.pretrained.loading import from_pretrained, save_pretrained
from minitransformer.pretrained.sentences import embed
from minitransformer.pretrained.transcription import transcribe

__all__ = [
    "ChatTemplate",
    "Conversation",
    "embed",
    "from_pretrained",
    "load_chat_template",
    "save_pretrained",
    "transcribe",
]
