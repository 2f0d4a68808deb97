"""What the shapes of all architectures have in common."""

from minitransformer.errors import InputError


def check_shape(*, heads: int, width: int, dropout: float, **sizes: int) -> None:
    """See to it that a model can have this shape.

    Raises
    ------
    InputError
        If a size is not positive, heads do not divide width, or dropout is outside [0, 1).
    """
    for name, size in {**sizes, "heads": heads, "width": width}.items():
        if size < 1:
            raise InputError(f"{name} is {size}, expected 1 or more")
    if width % heads:
        raise InputError(
            f"width is {width} and heads {heads}, expected heads to divide width; "
            f"try width {heads * max(1, round(width / heads))}"
        )
    if not 0.0 <= dropout < 1.0:
        raise InputError(f"dropout is {dropout}, expected 0 <= dropout < 1")
