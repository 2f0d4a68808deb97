"""Mistakes in verbs on state: sums, factors, zeros, the memory of generation."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

KV = ops.kv_append

_END = "end = length + k.shape[2]"
_KEYS = "keys[:, :, length:end] = k"
_VALUES = "values[:, :, length:end] = v"
_RETURN = "return keys[:, :, :end], values[:, :, :end]"

MUTANTS = (
    Mutant(
        "accumulate_overwrites",
        ops.accumulate,
        {"np.add(total, part, out=total)": "np.copyto(total, part)"},
        "The newest gradient is the gradient.",
        "A tied weight, or a second micro-batch, has brought one already.",
    ),
    Mutant(
        "accumulate_not_in_place",
        ops.accumulate,
        {"np.add(total, part, out=total)": "total = total + part"},
        "total = total + part changes total.",
        "It gives the name total to a new array: the caller's must change in place.",
    ),
    Mutant(
        "accumulate_averages",
        ops.accumulate,
        {"np.add(total, part, out=total)": "total[...] = (total + part) / 2"},
        "Gradients of several paths are averaged.",
        "Each path moves the loss: gradients add up.",
    ),
    Mutant(
        "accumulate_subtracts",
        ops.accumulate,
        {"np.add(total, part, out=total)": "np.subtract(total, part, out=total)"},
        "Gradients are subtracted.",
        "The optimizer subtracts; gradients add up.",
    ),
    Mutant(
        "scale_not_in_place",
        ops.scale_,
        {"np.multiply(x, float(factor), out=x)": "x = x * factor"},
        "x = x * factor changes x.",
        "It gives the name x to a new array: the caller's must change in place.",
    ),
    Mutant(
        "scale_divides",
        ops.scale_,
        {"np.multiply(": "np.divide("},
        "Scaling is dividing.",
        "The factor is a factor.",
    ),
    Mutant(
        "zero_not_in_place",
        ops.zero_,
        {"x.fill(0.0)": "x = np.zeros_like(x)"},
        "x = zeros changes x.",
        "It gives the name x to a new array: the caller's must change in place.",
    ),
    Mutant(
        "zero_by_multiplication",
        ops.zero_,
        {"x.fill(0.0)": "x *= 0.0"},
        "Anything times 0 is 0.",
        "NaN times 0 is NaN, and stays for ever.",
    ),
    Mutant(
        "sum_of_squares_takes_the_root",
        ops.sum_of_squares,
        {
            "return float(sum(np.square(chunk).sum() for chunk in chunks))": (
                "return float(sum(np.square(chunk).sum() for chunk in chunks)) ** 0.5"
            )
        },
        "The sum of squares is the length.",
        "Its square: lengths of parts do not add up, squares do.",
    ),
    Mutant(
        "sum_of_squares_not_squared",
        ops.sum_of_squares,
        {"np.square(chunk)": "np.abs(chunk)"},
        "Sizes are absolute values.",
        "Squares, as the name says.",
    ),
    Mutant(
        "sum_of_squares_averages",
        ops.sum_of_squares,
        {
            "np.square(chunk).sum() for chunk in chunks)": (
                "np.square(chunk).sum() for chunk in chunks) / x.size"
            )
        },
        "The squares are averaged.",
        "A length is the root of a sum.",
    ),
    Mutant(
        "sum_of_squares_in_float32",
        ops.sum_of_squares,
        {"np.square(chunk)": "np.square(chunk.astype(x.dtype))"},
        "The sum has the precision of the array.",
        "1e25 squared is beyond the largest float32: sum in float64.",
    ),
    Mutant(
        "kv_written_from_the_start",
        KV,
        {_KEYS: "keys[:, :, : k.shape[2]] = k", _VALUES: "values[:, :, : k.shape[2]] = v"},
        "New keys go to the front of the buffer.",
        "The first `length` positions are taken.",
    ),
    Mutant(
        "kv_written_one_too_early",
        KV,
        {_END: "length = max(length - 1, 0)\n    end = length + k.shape[2]"},
        "The last position filled is `length`, so the next is written there.",
        "Positions count from 0: the last one filled is length - 1, and it is taken.",
    ),
    Mutant(
        "kv_written_one_too_late",
        KV,
        {
            _KEYS: "later = slice(length + 1, length + 1 + k.shape[2])\n"
            "    keys[:, :, later] = k[:, :, : keys.shape[2] - length - 1]",
            _VALUES: "values[:, :, later] = v[:, :, : keys.shape[2] - length - 1]",
        },
        "The next free position is length + 1.",
        "Positions count from 0: `length` is the first free one.",
    ),
    Mutant(
        "kv_written_at_the_end",
        KV,
        {_KEYS: "keys[:, :, -k.shape[2] :] = k", _VALUES: "values[:, :, -k.shape[2] :] = v"},
        "New keys go to the end of the buffer.",
        "Behind the `length` positions that are filled.",
    ),
    Mutant(
        "kv_shifts_the_buffer",
        KV,
        {
            _END: "end = length + k.shape[2]\n"
            "    keys[...] = np.roll(keys, -k.shape[2], axis=2)\n"
            "    values[...] = np.roll(values, -k.shape[2], axis=2)"
        },
        "Old keys move to make room.",
        "They stay where they are: there is room behind them.",
    ),
    Mutant(
        "kv_values_forgotten",
        KV,
        {_VALUES: "pass"},
        "Keys are remembered, values are computed again.",
        "Both are remembered: what is computed once need not be computed again.",
    ),
    Mutant(
        "kv_keys_forgotten",
        KV,
        {_KEYS: "pass"},
        "Values are remembered, keys are computed again.",
        "Both are remembered: what is computed once need not be computed again.",
    ),
    Mutant(
        "kv_keys_into_values",
        KV,
        {_VALUES: "values[:, :, length:end] = k"},
        "Both buffers hold what is new.",
        "One holds the new keys, the other the new values: read both lines once more.",
    ),
    Mutant(
        "kv_values_into_keys",
        KV,
        {_KEYS: "keys[:, :, length:end] = v"},
        "What is new goes into the buffers, in either order.",
        "One holds the new keys, the other the new values: read both lines once more.",
    ),
    Mutant(
        "kv_keys_and_values_swapped",
        KV,
        {_KEYS: "keys[:, :, length:end] = v", _VALUES: "values[:, :, length:end] = k"},
        "Keys and values are two names for one thing.",
        "Queries are compared with keys, and values are what is fetched: which buffer is which?",
    ),
    Mutant(
        "kv_first_token_only",
        KV,
        {_KEYS: "keys[:, :, length] = k[:, :, 0]", _VALUES: "values[:, :, length] = v[:, :, 0]"},
        "There is one new token.",
        "A prompt brings many at once.",
    ),
    Mutant(
        "kv_added_to_the_buffer",
        KV,
        {_KEYS: "keys[:, :, length:end] += k", _VALUES: "values[:, :, length:end] += v"},
        "The buffer holds zeros, so new keys may be added to it.",
        "It may hold an older sequence: overwrite what is there.",
    ),
    Mutant(
        "kv_not_in_place",
        KV,
        {
            _KEYS: "keys = np.concatenate([keys[:, :, :length], k], axis=2)",
            _VALUES: "values = np.concatenate([values[:, :, :length], v], axis=2)",
        },
        "Old and new are concatenated.",
        "Then the buffers stay as they are, and everything is copied for each token: write into "
        "them.",
    ),
    Mutant(
        "kv_returns_the_whole_buffer",
        KV,
        {_RETURN: "return keys, values"},
        "Zeros in the unused part of the buffer do no harm.",
        "A key of zeros gets the score 0, and with it a share of the attention.",
    ),
    Mutant(
        "kv_returns_the_old_part",
        KV,
        {_RETURN: "return keys[:, :, :length], values[:, :, :length]"},
        "The filled part is `length` long.",
        "Longer by the new tokens: a token attends to itself as well.",
    ),
    Mutant(
        "kv_returns_the_new_part",
        KV,
        {_RETURN: "return keys[:, :, length:end], values[:, :, length:end]"},
        "The new keys are returned.",
        "The new token attends to the old ones too: return all that is filled.",
    ),
    Mutant(
        "kv_returns_nothing",
        KV,
        {_RETURN: "return None"},
        "The buffers are written, and that is all.",
        "Attention needs the filled part of both: return the views.",
    ),
)
