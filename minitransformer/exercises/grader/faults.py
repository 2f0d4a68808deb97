"""Exceptions and faults of form in a teacher's words."""

import re

from minitransformer.exercises.grader.process import AnswerError
from minitransformer.testing.diagnosis import Explanation

Rule = tuple[str, str, str, str]

_RULES: tuple[Rule, ...] = (
    (
        "input_overwritten",
        r"ValueError: .*(read-only|WRITEABLE)",
        "{where} writes into an array that it was given",
        "Work on a new array: y = x * 2 instead of x *= 2. The caller needs the old one.",
    ),
    (
        "memory_layout_assumed",
        r"(ValueError|AttributeError): .*(incompatible shape for in-place|C-contiguous)",
        "{where} only works when the numbers lie in memory one after the other",
        "reshape copies where it must; setting .shape or a view's dtype does not.",
    ),
    (
        "wrong_number_of_axes",
        r"IndexError: too many indices|AxisError|ValueError: .*(axes don't match|unpack|not enough "
        r"values)|IndexError: tuple index out of range",
        "{where} expects another number of axes",
        "Count axes from the end (axis=-1, shape[-1]), and the code works for any number in front.",
    ),
    (
        "shapes_do_not_fit",
        r"ValueError: .*(broadcast|shape|dimension|mismatch|operand|size|einstein|aligned)",
        "{where} combines arrays whose shapes do not fit ({text})",
        "Write the shape of every array behind its line, with a letter for each axis.",
    ),
    (
        "index_out_of_range",
        r"IndexError",
        "{where} takes an element that is not there ({text})",
        "Which is the largest index of an axis with n elements?",
    ),
    (
        "dtype_cannot_be_cast",
        r"UFuncTypeError|TypeError: .*(Cannot cast|ufunc)",
        "{where} computes in place with another dtype ({text})",
        "In-place operators keep the dtype of the left side: start from a float array.",
    ),
    (
        "option_missing",
        r"TypeError: .*(unexpected keyword|positional argument)",
        "the parameters are not those of the exercise ({text})",
        "Copy the def line of the stub: the same parameters in the same order, with defaults.",
    ),
    (
        "none_is_not_handled",
        r"(TypeError|AttributeError): .*NoneType",
        "{where} uses a value that is None",
        "An argument whose default is None may be None: ask `if mask is not None` first.",
    ),
    (
        "unknown_name",
        r"NameError|UnboundLocalError",
        "{where} uses a name that has no value yet ({text})",
        "Is it spelt as where it was made, is it made on every way through, is it imported?",
    ),
    (
        "cache_misread",
        r"KeyError|AttributeError|ValueError: .*unpack",
        "{where} looks for something that is not there ({text})",
        "What forward puts into the cache, and what backward takes out, must be the same things.",
    ),
    (
        "divided_by_zero",
        r"ZeroDivisionError|FloatingPointError",
        "{where} divides by zero",
        "Can a sum of weights, or a number of kept things, be 0? What is the result to be then?",
    ),
    (
        "number_beyond_its_dtype",
        r"OverflowError: Python integer .* out of bounds",
        "{where} puts a number into an array whose dtype cannot hold it ({text})",
        "A copy keeps the dtype of what is copied: which one does the result need?",
    ),
    (
        "module_missing",
        r"ModuleNotFoundError|ImportError",
        "{where} imports what is not there ({text})",
        "NumPy and Python's own modules are enough.",
    ),
    (
        "truth_of_an_array",
        r"ValueError: The truth value",
        "{where} asks whether a whole array is true",
        "Use np.where to decide for each element, or .any() or .all().",
    ),
    (
        "types_do_not_fit",
        r"TypeError",
        "{where} combines things that do not go together ({text})",
        "Print type(...) of both.",
    ),
)


def name_exception(error: AnswerError) -> tuple[Explanation, str]:
    """Say in a teacher's words what an exception in the answer means, and give a hint."""
    whole = f"{error.type}: {error.text}"
    for name, pattern, sentence, hint in _RULES:
        if re.match(pattern, whole, re.DOTALL):
            return Explanation(name, _fill(sentence, error)), hint
    sentence = _fill("{where} raises " + error.type + " ({text})", error)
    return Explanation("raises", sentence), "Run the function on the input below, line by line."


def _fill(sentence: str, error: AnswerError) -> str:
    place = f"line {error.line}, `{error.code}`," if error.line and error.code else "your answer"
    return sentence.replace("{where}", place).replace(
        "{text}", error.text.splitlines()[0] if error.text else error.type
    )


FORM_HINTS: dict[str, str] = {
    "not_a_tuple": "return (dx,) with a comma: one gradient is a tuple too.",
    "wrong_length": "One gradient for each argument that has one, in the order of forward.",
    "dtype_lost": "Make new arrays with x's dtype (np.zeros_like, x.dtype), and constants with "
    "math.sqrt rather than np.sqrt: a NumPy float64 turns float32 arrays into float64.",
    "wrong_dtype": "Make new arrays with np.zeros_like(x) or dtype=x.dtype.",
    "input_overwritten": "x -= ... changes the caller's array; x = x - ... makes a new one.",
    "dy_overwritten": "dy may be needed by another branch: work on a new array.",
    "cache_overwritten": "Backward may run twice on one cache: work on new arrays.",
    "not_repeatable": "Nothing may be remembered between calls or drawn at random inside.",
    "forward_not_repeatable": "Nothing may be remembered between calls or drawn at random inside.",
    "never_written": "Which thread is to write the entries that are NaN here? Count the blocks.",
    "not_finite": "Look for exp of a large number, the logarithm of 0, and 0 / 0.",
    "wrong_shape": "Write the shape behind every line; a gradient has its argument's shape.",
    "memory_layout_assumed": "Use reshape and indices, and leave the order in memory to NumPy.",
    "missing_gradient": "Every argument that was given has a gradient.",
    "gradient_of_absent": "Where there was no b there is no db: return None in its place.",
    "returns_nothing": "The last line of a function says what it returns.",
    "cache_not_returned": "Return y and a cache; the cache may be a tuple of what backward needs.",
    "not_an_array": "Compute with whole arrays, or end with np.array(...).",
    "wrong_type": "Return NumPy arrays.",
}
"""A hint for each fault of form."""
