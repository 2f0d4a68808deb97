"""Whole models: ``loss, cache = model.loss(batch, rng)`` and ``model.backward(cache)``."""

from minitransformer.models.bert import Bert, BertConfig
from minitransformer.models.conditioned import ConditionedDecoder
from minitransformer.models.decoder import TransformerDecoder
from minitransformer.models.encoder import TransformerEncoder
from minitransformer.models.encoder_decoder import EncoderDecoder
from minitransformer.models.encoder_decoder_config import EncoderDecoderConfig
from minitransformer.models.gpt import GPT, GPTConfig
from minitransformer.models.heads import (
    Classifier,
    ClassifierConfig,
    Regressor,
    RegressorConfig,
    RewardModel,
    RewardModelConfig,
    SpanAnswerer,
    SpanAnswererConfig,
    TokenLabeller,
    TokenLabellerConfig,
)
from minitransformer.models.llama import Llama
from minitransformer.models.llama_config import LlamaConfig
from minitransformer.models.masked_lm import BertForMaskedLM
from minitransformer.models.model import Model
from minitransformer.models.multitask import MultiTask, MultiTaskConfig
from minitransformer.models.transformer_lm import TransformerLM, TransformerLMConfig
from minitransformer.models.whisper import SpeechBatch, Whisper
from minitransformer.models.whisper_config import WhisperConfig

__all__ = [
    "GPT",
    "Bert",
    "BertConfig",
    "BertForMaskedLM",
    "Classifier",
    "ClassifierConfig",
    "ConditionedDecoder",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "GPTConfig",
    "Llama",
    "LlamaConfig",
    "Model",
    "MultiTask",
    "MultiTaskConfig",
    "Regressor",
    "RegressorConfig",
    "RewardModel",
    "RewardModelConfig",
    "SpanAnswerer",
    "SpanAnswererConfig",
    "SpeechBatch",
    "TokenLabeller",
    "TokenLabellerConfig",
    "TransformerDecoder",
    "TransformerEncoder",
    "TransformerLM",
    "TransformerLMConfig",
    "Whisper",
    "WhisperConfig",
]
