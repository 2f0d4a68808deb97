"""The models that a test tries: GPT always, the others with ``-m systems``."""

import pytest

from minitransformer.testing import MODELS

GPT_FIRST = [
    pytest.param(name, marks=[] if name == "GPT" else pytest.mark.systems) for name in MODELS
]
