"""Which files of a folder hold the weights."""

from pathlib import Path

from minitransformer.errors import InputError
from minitransformer.pretrained.safetensors_file import read_safetensors
from minitransformer.pretrained.shards import read_shards
from minitransformer.pretrained.stored import StoredTensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def read_weights(where: Path) -> dict[str, StoredTensor]:
    """List the tensors of a folder, of a ``.safetensors`` file, or of those that an index names.

    Raises
    ------
    InputError
        If there are none, or they are in a file that would have to be unpickled.
    """
    if where.suffix == ".safetensors":
        return read_safetensors(where)
    if where.suffix == ".json":
        return read_shards(where)
    if (where / SINGLE).is_file():
        return read_safetensors(where / SINGLE)
    if (where / INDEX).is_file():
        return read_shards(where / INDEX)
    found = sorted(path for path in where.iterdir() if path.suffix in PICKLES)
    if found:
        refuse_pickle(found[0])
    raise InputError(f"{where} has no weights; expected {SINGLE}, {INDEX}, or one .gguf file")


def refuse_pickle(path: Path) -> None:
    """Say how to convert a file whose loading could run any program.

    Raises
    ------
    InputError
        Always.
    """
    raise InputError(
        f"{path} is a pickle: loading it can run any program that somebody put in. If you trust "
        "it, convert it once, where PyTorch is installed:\n"
        '  python -c "import torch, safetensors.torch as s; '
        f"s.save_file({{k: v.clone().contiguous() for k, v in torch.load({path.name!r}, "
        "weights_only=True).items()}, 'model.safetensors')\"\n"
        "and give the folder of model.safetensors and config.json"
    )
