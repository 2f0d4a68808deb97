"""What a family of public checkpoints has to tell, so that its models can be loaded and saved."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

from minitransformer.pretrained.config_json import Settings
from minitransformer.pretrained.tables import Row


class Family(ABC):
    """Models of one kind, and how they lie in files.

    Attributes
    ----------
    model : type
        Our class.
    model_type, architecture : str
        What ``config.json`` calls them.
    ignored : str
        Regular expression of tensors that are no parameters of the model.
    copies : mapping
        Tensors that may be there a second time under another name: copy to original.
    """

    model: ClassVar[type[Any]]
    model_type: ClassVar[str]
    architecture: ClassVar[str]
    ignored: ClassVar[str] = ""
    copies: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def read_config(self, settings: Settings, names: Collection[str]) -> Any:
        """Our shape of a model with these settings, and tensors of these names.

        Raises
        ------
        InputError
            If a setting asks for what our model does not do.
        """

    @abstractmethod
    def write_config(self, config: Any) -> dict[str, Any]:
        """The settings that a shape of ours has there."""

    @abstractmethod
    def rows(self, config: Any) -> Iterator[Row]:
        """The table of names."""

    @abstractmethod
    def sizes(self, config: Any) -> dict[str, int]:
        """The size that each letter in the table stands for."""

    @abstractmethod
    def name(self, stored: str) -> str:
        """The name in the table of a tensor, which some programs put a prefix before."""
