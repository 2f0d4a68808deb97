"""Passages of the language reference that Python ships, and the section that each is from."""

import hashlib
from typing import NamedTuple

from minitransformer.errors import InputError

SECTIONS = (
    "specialnames",
    "compound",
    "types",
    "formatstrings",
    "string-methods",
    "typesseq",
    "typesmapping",
    "debugger",
)
"""Topics of ``pydoc`` that are long, and of which none contains another."""

PARTS = ("validation", "held out", *("train", "held out") * 3)
"""What an eighth of the passages each is for."""

SHORTEST = 120
"""Paragraphs are put together until a passage has as many characters."""


class Passage(NamedTuple):
    """Some paragraphs of a section."""

    section: int  # place in SECTIONS
    text: str
    part: str  # "train", "validation" or "held out"


def read_topics() -> dict[str, str]:
    """The language reference by topic, and in its order.

    Raises
    ------
    InputError
        If this Python was installed without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise InputError("this Python has no pydoc_data, whose text is learned from") from error
    return {name: topics[name] for name in sorted(topics)}


def read_passages() -> list[Passage]:
    """All passages of all sections: 3/8 to learn from, 1/8 to choose settings by, half held out.

    What a passage is for depends on nothing but its text, so that it is the same in every run.

    Raises
    ------
    InputError
        If a section has no passage in one of the parts.
    """
    topics = read_topics()
    found: dict[str, Passage] = {}
    for section, name in enumerate(SECTIONS):
        for text in _passages(topics.get(name, "")):
            part = PARTS[hashlib.sha256(text.encode()).digest()[0] % len(PARTS)]
            found.setdefault(text, Passage(section, text, part))
    passages = list(found.values())
    kinds = {(passage.section, passage.part) for passage in passages}
    for section, name in enumerate(SECTIONS):
        if not {(section, part) for part in PARTS} <= kinds:
            raise InputError(
                f"the class {name!r} is missing in the data: this Python's pydoc_data has too "
                "little text on it"
            )
    return passages


def unlabelled_text() -> str:
    """The whole language reference but for the paragraphs of held-out passages."""
    topics = read_topics()
    held_out = {
        paragraph
        for passage in read_passages()
        if passage.part == "held out"
        for paragraph in passage.text.split("\n\n")
    }
    return "\n".join(
        "\n\n".join(p for p in text.split("\n\n") if p.strip() not in held_out)
        for text in topics.values()
    )


def _passages(text: str) -> list[str]:
    passages, current = [], ""
    for paragraph in text.split("\n\n"):
        current = f"{current}\n\n{paragraph.strip()}".strip()
        if len(current) >= SHORTEST:
            passages.append(current)
            current = ""
    return passages
