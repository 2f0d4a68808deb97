"""When it is no longer worth while to go on training."""

from collections.abc import Sequence


def has_stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether the last validations brought nothing: early stopping.

    Parameters
    ----------
    losses
        Of all validations so far, in their order.
    patience
        How many of them in succession may be no better than the best before; 0 is any number.

    References
    ----------
    Prechelt (1998), Early Stopping - But When?
    """
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])
