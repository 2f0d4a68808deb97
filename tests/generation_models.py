"""Models to generate with: one that does what it is told, and small real ones."""

from dataclasses import dataclass

import numpy as np

from minitransformer.models import GPT, GPTConfig


@dataclass
class FakeConfig:
    vocab_size: int
    context: int
    eos_id: int | None = None


class FakeKeyValues:
    """Remembers the ids themselves."""

    def __init__(self, rows, padding):
        self.rows = rows
        self.padding = padding

    @property
    def length(self):
        return len(self.rows[0])

    def select(self, rows):
        return FakeKeyValues([list(self.rows[i]) for i in rows], [self.padding[i] for i in rows])


class FakeModel:
    """Its logits are any function of the ids in view; ``calls`` are the ids it was given."""

    def __init__(self, logits_of, vocab_size=5, context=100, eos_id=None):
        self.config = FakeConfig(vocab_size, context, eos_id)
        self.logits_of = logits_of
        self.calls = []

    def new_kv(self, batch, padding=None):
        return FakeKeyValues(
            [[] for _ in range(batch)], [0] * batch if padding is None else padding
        )

    def __call__(self, ids, *, kv):
        self.calls.append(ids.tolist())
        start = kv.length
        for seen, row in zip(kv.rows, ids.tolist(), strict=True):
            seen += row
        assert kv.length <= self.config.context
        ends = range(start + 1, kv.length + 1)
        logits = [
            [self.logits_of(seen[padding:end]) if end > padding else [0.0] * 5 for end in ends]
            for seen, padding in zip(kv.rows, kv.padding, strict=True)
        ]
        return np.array(logits, np.float32), None


def counting(ids):
    """The next token is the last one plus 1."""
    return -np.abs(np.arange(5) - (ids[-1] + 1) % 5)


def shaken(model, seed=0, scale=0.3):
    """A model that is neither sure nor indifferent, as if it were trained."""
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.data += (scale * rng.standard_normal(parameter.shape)).astype(
            parameter.data.dtype
        )
    return model


def small_gpt(vocab_size=11, context=6, dtype=np.float64):
    shape = GPTConfig(vocab_size=vocab_size, context=context, layers=2, heads=2, width=8)
    return shaken(GPT(shape, dtype=dtype))


def uncached(model, prompt, count, choose):
    """Generation as it is explained on a blackboard: read all that fits, again and again."""
    ids = list(prompt)
    for _ in range(count):
        logits, _ = model(np.array([ids[-model.config.context :]]))
        ids.append(choose(logits[0, -1]))
    return ids[len(prompt) :]
