"""Explanations of a gradient that is right in part: what is special where it is wrong."""

from typing import Any

import numpy as np

from minitransformer.testing.evidence import Evidence, Mask, agree


def sign_flipped_in_part(e: Evidence) -> str | None:
    """Right size everywhere, wrong sign somewhere."""
    if not agree(np.abs(e.analytic), np.abs(e.numeric)):
        return None
    return f"{e.gradient} has the right size everywhere and the wrong sign in {where_wrong(e)}"


def mask_inverted(e: Evidence) -> str | None:
    """Gradient flows exactly where it must not."""
    for label, mask in e.masks():
        if e.vanishes(e.analytic, mask) and e.vanishes(e.numeric, ~mask):
            return (
                f"{e.gradient} is zero where {label} is True and not where it is False: the "
                "mask is used upside down"
            )
    return None


def leaks_into_masked(e: Evidence) -> str | None:
    """Right where the mask is True, but not zero where it is False."""
    for label, mask in e.masks():
        if not (e.wrong & mask).any() and e.vanishes(e.numeric, ~mask):
            return (
                f"{e.gradient} is right where {label} is True, but it must be zero where {label} "
                "is False: gradient leaks into masked positions"
            )
    return None


def wrong_only_where_masked(e: Evidence) -> str | None:
    """Right where the mask is True, wrong where it is False."""
    for label, mask in e.masks():
        if not (e.wrong & mask).any():
            return (
                f"{e.gradient} is right where {label} is True and wrong only where it is False: "
                "backward must treat masked positions as forward does"
            )
    return None


def repeated_ids(e: Evidence) -> str | None:
    """A row that was looked up several times got only one contribution."""
    for name, ids in e.inputs.items():
        if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or not e.numeric.ndim:
            continue
        rows = e.numeric.shape[0]
        if not ids.size or ids.min() < 0 or ids.max() >= rows:
            continue
        counts = np.bincount(ids.ravel().astype(np.int64), minlength=rows)
        wrong_rows = e.wrong.reshape(rows, -1).any(1)
        if wrong_rows.any() and (counts[wrong_rows] > 1).all() and (counts == 1).any():
            return (
                f"{e.gradient} is wrong only in rows that occur more than once in {name}: the "
                "contributions of all occurrences add up (an assignment through repeated indices "
                "keeps only the last one)"
            )
    return None


def right_only_when(e: Evidence) -> str | None:
    """Right for other inputs."""
    if not e.right_when:
        return None
    return (
        f"{e.gradient} is right when {' or '.join(e.right_when)} and wrong otherwise; here it is "
        f"wrong in {where_wrong(e)}"
    )


def wrong_where_not_sampled(e: Evidence) -> str | None:
    """All entries that were compared one by one are right."""
    if e.known.all() or np.nanmax(np.abs(e.difference)) > 1e-8 * np.nanmax(np.abs(e.numeric)):
        return None
    return (
        f"the {e.known.sum()} entries of {e.gradient} that were compared one by one are right, so "
        f"some of the other {(~e.known).sum()} are wrong: compare more elements, or a smaller array"
    )


def unknown(e: Evidence) -> str:
    """Describe where it is wrong, for want of a reason."""
    zero_there = " (there it is zero)" if not e.analytic[e.wrong].any() else ""
    return f"no known explanation; {e.gradient} is wrong in {where_wrong(e)}{zero_there}"


def where_wrong(e: Evidence) -> str:
    """Say in which entries a gradient is wrong: all, one index of an axis, or how many."""
    wrong, known = e.wrong, e.known
    if np.array_equal(wrong, known):
        return "every entry"
    for axis in range(wrong.ndim):
        hit = _indices_hit(wrong, axis)
        if len(hit) == 1 and wrong.shape[axis] > 2:
            last = ", the last one" if hit[0] == wrong.shape[axis] - 1 else ""
            return f"index {hit[0]} of {e.axis_name(axis)} only{last}"
    return f"{wrong.sum()} of {known.sum()} entries"


def _indices_hit(wrong: Mask, axis: int) -> list[int]:
    others: Any = tuple(i for i in range(wrong.ndim) if i != axis)
    return [int(i) for i in np.flatnonzero(wrong.any(others))]
