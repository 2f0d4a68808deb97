"""The proof: specifications, laws, finite differences and a diagnosis.

Tests, the command line, the grader and notebooks share it. ``gradcheck`` tries anyone's function;
``check_op``, ``check_function`` and ``check_model`` try the library's own.
"""

from minitransformer.testing.checks import (
    Row,
    check_all,
    check_function,
    check_model,
    check_op,
    checkable,
    prove,
)
from minitransformer.testing.functions import FUNCTIONS, FunctionSpec
from minitransformer.testing.gradient_check import GradcheckReport, GradientError, gradcheck
from minitransformer.testing.laws import LAWS
from minitransformer.testing.models import MODELS
from minitransformer.testing.specs import SPECS, OpSpec
from minitransformer.testing.subject import LawError, Subject

__all__ = [
    "FUNCTIONS",
    "LAWS",
    "MODELS",
    "SPECS",
    "FunctionSpec",
    "GradcheckReport",
    "GradientError",
    "LawError",
    "OpSpec",
    "Row",
    "Subject",
    "check_all",
    "check_function",
    "check_model",
    "check_op",
    "checkable",
    "gradcheck",
    "prove",
]
