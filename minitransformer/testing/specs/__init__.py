"""One specification for each op, from which tests, benchmarks and grader draw their inputs."""

from minitransformer.testing.specs.attention import ATTENTION
from minitransformer.testing.specs.base import Arguments, Cases, Dims, OpSpec
from minitransformer.testing.specs.elements import ELEMENTS
from minitransformer.testing.specs.losses import LOSSES
from minitransformer.testing.specs.products import PRODUCTS
from minitransformer.testing.specs.rows import ROWS

__all__ = ["SPECS", "Arguments", "Cases", "Dims", "OpSpec"]

SPECS: dict[str, OpSpec] = {
    spec.name: spec for spec in (*PRODUCTS, *ROWS, *ELEMENTS, *ATTENTION, *LOSSES)
}
"""The specification of every op by name."""
