"""Weights that are spread over several files, with an index that says where each is."""

from collections.abc import Iterator
from pathlib import Path

from minitransformer.errors import InputError
from minitransformer.pretrained.config_json import read_json
from minitransformer.pretrained.safetensors_file import read_safetensors
from minitransformer.pretrained.stored import StoredTensor


def read_shards(index: Path) -> dict[str, StoredTensor]:
    """List the tensors of all files that an index names.

    Parameters
    ----------
    index
        A ``model.safetensors.index.json``, whose ``weight_map`` gives the file of each tensor.

    Raises
    ------
    InputError
        If a file is missing or damaged, or no plain name of a file beside the index; or lists every
        tensor in which the index and the files differ.
    """
    document = read_json(index)
    weight_map = document.get("weight_map")
    if not isinstance(weight_map, dict) or not all(
        isinstance(file, str) for file in weight_map.values()
    ):
        raise InputError(f'{index} has no "weight_map" from tensors to files')
    files = sorted(set(weight_map.values()))
    for file in files:
        _check_plain(index, file)
    found = {file: read_safetensors(index.with_name(file)) for file in files}
    problems = list(_differences(weight_map, found))
    if problems:
        raise InputError(
            f"{index} and the files beside it differ; download them again\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )
    return {name: found[file][name] for name, file in weight_map.items()}


def _check_plain(index: Path, file: str) -> None:
    """Refuse a path that leads elsewhere, or back to the index."""
    if not (file.endswith(".safetensors") and file.isprintable()) or set(file) & set("/\\:"):
        raise InputError(
            f"{index} names the file {file[:80]!r}, expected a .safetensors file beside the index"
        )


def _differences(
    weight_map: dict[str, str], found: dict[str, dict[str, StoredTensor]]
) -> Iterator[str]:
    for name, file in weight_map.items():
        if name not in found[file]:
            yield f"missing: {name} in {file}"
    for file, tensors in found.items():
        for name in tensors:
            if weight_map.get(name) != file:
                yield f"unknown: {name} in {file}"
