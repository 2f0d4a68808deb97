"""Tasks: what a run learns from, in which batches, and how its success is measured."""

from minitransformer.tasks.base import Task
from minitransformer.tasks.classify import ClassifyTask
from minitransformer.tasks.dates import DatesTask
from minitransformer.tasks.languages import LanguagesTask
from minitransformer.tasks.masked_text import MaskedTextTask
from minitransformer.tasks.multi_task import MultiTaskTask
from minitransformer.tasks.numbers import NumbersTask
from minitransformer.tasks.prefix_text import PrefixTextTask
from minitransformer.tasks.span_text import SpanTextTask
from minitransformer.tasks.tag import TagTask
from minitransformer.tasks.text import TextTask
from minitransformer.tasks.text2text import Text2TextTask

TASKS: dict[str, type[Task]] = {
    "classify": ClassifyTask,
    "dates": DatesTask,
    "languages": LanguagesTask,
    "masked-text": MaskedTextTask,
    "multi-task": MultiTaskTask,
    "numbers": NumbersTask,
    "prefix-text": PrefixTextTask,
    "span-text": SpanTextTask,
    "tag": TagTask,
    "text": TextTask,
    "text2text": Text2TextTask,
}
"""What ``task`` may be in a recipe."""

__all__ = [
    "TASKS",
    "ClassifyTask",
    "DatesTask",
    "LanguagesTask",
    "MaskedTextTask",
    "MultiTaskTask",
    "NumbersTask",
    "PrefixTextTask",
    "SpanTextTask",
    "TagTask",
    "Task",
    "Text2TextTask",
    "TextTask",
]
