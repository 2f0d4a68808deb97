"""Checkpoints of the Hugging Face hub: downloaded once, resumed where a download broke off."""

from pathlib import Path

from minitransformer.errors import InputError

FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
)


def download(hub_id: str) -> Path:
    """Folder with the files of a checkpoint, downloaded unless it was before.

    Raises
    ------
    InputError
        If it cannot be had: says which files to download by hand.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(
            f"{hub_id} does not exist here; to download it from the Hugging Face hub: "
            'pip install "minitransformer[hub]"'
        ) from None
    try:
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=list(FILES)))
    except Exception as error:  # of this library, and of the HTTP and system libraries below it
        raise InputError(
            f"cannot download {hub_id}: {type(error).__name__}. Is there a network, and is the id "
            f"right? By hand: from https://huggingface.co/{hub_id}/tree/main take config.json, "
            "model.safetensors (or model.safetensors.index.json and all files that it names), and "
            "tokenizer.json (or vocab.txt, or vocab.json and merges.txt) into one folder, and give "
            "that folder instead"
        ) from error
