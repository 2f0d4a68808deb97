"""Labels to learn from."""

from collections.abc import Iterable, Sequence

from minitransformer.errors import InputError


def require_every_class(labels: Iterable[int], names: Sequence[str]) -> None:
    """See to it that there is an example of every class: of what it never saw a model says nothing.

    Parameters
    ----------
    labels
        Of the training data.
    names
        Of all classes.

    Raises
    ------
    InputError
        Names the classes that are missing.
    """
    missing = sorted(set(range(len(names))) - set(labels))
    if missing:
        raise InputError(
            f"the training data have no example of {', '.join(names[i] for i in missing)}; add "
            "some, or leave out the class"
        )
