"""Pictures of what a decoder looked at, for every kind of example."""

from pathlib import Path
from typing import Any

from minitransformer.files import atomic_write
from minitransformer.runs import Run
from minitransformer.show import attention
from minitransformer.show.html import escape
from minitransformer.tasks.pairs import PairTask

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Alignment</title></head>
<body style="font-family:sans-serif;max-width:60em;margin:2em auto">
<h1>What the decoder looked at</h1>
<p>Each row is a token that was written, each column one that was read: the darker, the more the
last block's cross-attention took from there, on average over its heads.</p>
"""


def picture_alignments(run: Run) -> None:
    """Draw what a run's decoder looks at into its folder, if it has one, and say where."""
    if isinstance(run.task, PairTask):
        page = run.folder / "alignment.html"
        write_alignments(run.task, run.model, page)
        print(f"what the decoder looked at: {page}")


def write_alignments(task: PairTask, model: Any, path: Path) -> None:
    """Write a page with the alignment of one held-out example of each group.

    Parameters
    ----------
    task
        Whose examples are drawn.
    model
        An encoder-decoder that learned the task.
    path
        HTML to write.
    """
    sources = {pair.group: pair.source for pair in reversed(task.held_out_pairs)}
    with atomic_write(path) as file:
        file.write(HEAD.encode())
        for group, source in sorted(sources.items()):
            aligned = task.align(model, source)
            picture = attention(aligned.weights, aligned.target, aligned.source)
            written = "".join(aligned.target[:-1])
            title = f"<h2>{escape(group)}</h2><p>{escape(source)} → {escape(written)}</p>"
            file.write(f"{title}{picture.html}\n".encode())
        file.write(b"</body></html>\n")
