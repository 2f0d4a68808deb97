"""The errors that tell a user what to do next."""


class InputError(ValueError):
    """Bad input from outside: a file, a flag, a run folder. The message says how to go on."""


class NonFiniteError(ArithmeticError):
    """Training met NaN or infinity; the message names the step and the first parameter hit."""
