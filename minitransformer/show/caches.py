"""What backward remembers: caches as trees, their bytes, and the attention in them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.data import Batch
from minitransformer.errors import InputError
from minitransformer.models.model import Model
from minitransformer.show import html
from minitransformer.show.all_heads import all_heads
from minitransformer.show.heatmap import heatmap, number
from minitransformer.testing.trees import named_arrays

_HEADER = ("name", "shape", "dtype", "bytes", "min", "mean", "max")


def tree(cache: Any, name: str = "cache") -> html.Picture:
    """List every array of a cache: name, shape, dtype, bytes, least, mean and largest value.

    Parameters
    ----------
    cache
        Of an op, a module or a model.
    name
        What its entries' names begin with.
    """
    rows = [_statistics(path, array) for path, array in named_arrays(cache, name)]
    return html.Picture(html.table(_HEADER, rows), html.columns_of_text(_HEADER, rows))


def memory(model: Model, batch: Batch) -> html.Picture:
    """Count the bytes of every cache entry after one forward; what is shared counts once.

    Parameters
    ----------
    model
        Any model.
    batch
        What its ``loss`` takes.
    """
    _, cache = model.loss(batch)
    sizes = dict(_bytes_by_entry(cache))
    total = sum(sizes.values()) or 1
    rows = [(path, f"{size:,}", f"{100 * size / total:.1f} %") for path, size in sizes.items()]
    rows.append(("all", f"{total:,}", "100.0 %"))
    header = ("entry", "bytes", "share")
    bars = "".join(_bar(path, size / max(sizes.values())) for path, size in sizes.items())
    return html.Picture(html.table(header, rows) + bars, html.columns_of_text(header, rows))


def attention(
    cache: Any, tokens: Sequence[str] = (), keys: Sequence[str] | None = None
) -> html.Picture:
    """Draw how much every query (row) attends to every key (column), one panel for each head.

    Parameters
    ----------
    cache
        Of an attention, such as ``cache.blocks[0].attention``, whatever the backend; or the array
        of probabilities itself; or of a whole model, of which all heads are drawn at a glance, for
        the first text of the batch; where something is read and something written, those of the
        written part.
    tokens
        Labels of the queries.
    keys
        Labels of the keys, if they are others.

    Raises
    ------
    InputError
        If the cache is of no attention, or the array has not the axes (B, H, T, S) or (T, S).
    """
    stacks = [cache, *(getattr(cache, part, None) for part in ("trunk", "decoder", "encoder"))]
    for stack in stacks:
        if hasattr(stack, "blocks"):
            return all_heads([attention_probs(block.attention) for block in stack.blocks])
    probs = cache if isinstance(cache, np.ndarray) else attention_probs(cache)
    if probs.ndim not in (2, 4):
        raise InputError(f"probs has shape {probs.shape}, expected (B, H, T, S) or (T, S)")
    axes = ("B", "H", "T", "S")[-probs.ndim :]
    columns = tokens if keys is None else keys
    return heatmap(probs, "probs", axes, rows=list(tokens), columns=list(columns))


def attention_probs(cache: Any) -> np.ndarray:
    """How much each query attends to each key, (B, H, T, S), from the cache of any backend.

    A kernel that does not keep the probabilities keeps what the textbook finds them again from.

    Raises
    ------
    InputError
        If the cache is of no attention.
    """
    inner = getattr(getattr(cache, "mix", cache), "attention", cache)
    if not hasattr(inner, "probs") and hasattr(inner, "logsumexp"):
        c = inner
        textbook = ops.attention_forward.impls["numpy"]
        _, inner = textbook(c.q, c.k, c.v, c.mask, c.causal, c.scale)
    if not hasattr(inner, "probs"):
        raise InputError(
            f"cache is a {type(cache).__name__}, expected that of an attention, such as "
            "cache.blocks[0].attention"
        )
    return inner.probs  # type: ignore[no-any-return]


def _statistics(path: str, array: np.ndarray) -> tuple[str, ...]:
    shape = " × ".join(map(str, array.shape)) or "scalar"
    head = (path, shape, str(array.dtype), f"{array.nbytes:,}")
    if not array.size or array.dtype.kind not in "biuf":
        return (*head, "", "", "")
    return (*head, number(array.min()), number(float(array.mean())), number(array.max()))


def _bytes_by_entry(cache: Any) -> Iterator[tuple[str, int]]:
    """Entries of the cache, of blocks each one of its own."""
    seen: set[int] = set()
    for name, part in zip(cache._fields, cache, strict=True):
        is_list = isinstance(part, tuple) and not hasattr(part, "_fields")
        for path, entry in (
            [(f"{name}[{i}]", each) for i, each in enumerate(part)] if is_list else [(name, part)]
        ):
            size = 0
            for _, array in named_arrays(entry, path):
                owner = array if array.base is None else array.base
                size += 0 if id(owner) in seen else array.nbytes
                seen.add(id(owner))
            yield path, size


def _bar(name: str, share: float) -> str:
    return (
        f'<div role="img" aria-label="{html.escape(name)}" style="display:flex;gap:8px;'
        f'font-size:12px;align-items:center"><span style="width:130px;text-align:right">'
        f'{html.escape(name)}</span><span style="height:11px;width:{320 * share:.0f}px;'
        f'background:{html.FORWARD}"></span></div>'
    )
