"""A class that cannot be learned is named before training."""

import pytest

from minitransformer.data.labels import require_every_class
from minitransformer.errors import InputError


def test_missing_classes_are_named():
    require_every_class([2, 0, 1, 0], ["cat", "dog", "owl"])
    with pytest.raises(InputError, match="no example of cat, owl; add some"):
        require_every_class([1, 1], ["cat", "dog", "owl"])
