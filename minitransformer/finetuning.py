"""Fine-tuning: where a model's first parameters come from, and which of them learn."""

from pathlib import Path
from typing import Any

from minitransformer.checkpoints import load_checkpoint, newest_checkpoint
from minitransformer.configuration import TrainConfig
from minitransformer.errors import InputError
from minitransformer.models.registry import architecture_of
from minitransformer.nn.adapting import add_lora, freeze

TRUNK = "trunk."


def copy_parameters(model: Any, folder: Path) -> list[str]:
    """Start from what another run has learnt, as far as the names of parameters agree.

    A language model's parameters also fit the trunk of a model with another head.

    Parameters
    ----------
    model
        Its parameters are overwritten.
    folder
        Run folder; its newest checkpoint is read.

    Returns
    -------
    list of str
        The parameters that were found; the others stay as they are.

    Raises
    ------
    InputError
        If the architecture is another, no parameter is found, or one has another shape; nothing is
        changed then.
    """
    checkpoint = load_checkpoint(newest_checkpoint(folder))
    learnt, found = checkpoint.parameters, {}
    there, here = (_trunk(config) for config in (checkpoint.config, model.config))
    if there != here:
        raise InputError(
            f"cannot start from {folder}: its model is of architecture {there}, this one of {here}"
        )
    for name, parameter in model.named_parameters():
        for source in (name, name.removeprefix(TRUNK), TRUNK + name):
            if source in learnt:
                found[name] = (parameter, learnt[source])
                break
    wrong = [
        f"  {name} is {values.shape} there, {parameter.shape} here"
        for name, (parameter, values) in found.items()
        if values.shape != parameter.shape
    ]
    if not found or wrong:
        raise InputError(
            f"cannot start from {folder}: its model is of another shape; give both runs the same "
            "architecture, context, layers, width and vocabulary\n" + "\n".join(wrong)
        )
    for parameter, values in found.values():
        parameter.data[...] = values
    return list(found)


def _trunk(config: Any) -> str:
    return architecture_of(getattr(config, "trunk", config))


def adapt(model: Any, config: TrainConfig) -> None:
    """Let only those parameters learn that the settings say.

    Raises
    ------
    InputError
        If a pattern matches nothing.
    """
    if config.lora_rank:
        trunk = getattr(model, "trunk", model)
        add_lora(
            trunk,
            *config.lora_targets,
            rank=config.lora_rank,
            alpha=config.lora_alpha,
            seed=config.seed,
        )
    if config.freeze:
        freeze(model, *config.freeze)
    if not model.learns():
        raise InputError(f"freeze is {list(config.freeze)}: no parameter is left to be trained")
