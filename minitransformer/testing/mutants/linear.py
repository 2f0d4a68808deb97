"""Mistakes in the affine map."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.linear_forward, ops.linear_backward

_BIAS = "    if b is not None:\n        y += b\n"
_W = "(w.T if transposed else w)"
_DB = "db = drows.sum(axis=0) if has_bias else None"
_DW = "dw = drows.T @ rows if transposed else rows.T @ drows"
_DX = "dx = drows @ (w if transposed else w.T)"
_RETURN = "return dx.reshape(x.shape), dw, db"

MUTANTS = (
    Mutant(
        "w_transposed",
        FORWARD,
        {_W: "(w if transposed else w.T)"},
        "w is stored with a row for each output.",
        "Here w is (in, out), unless `transposed` says otherwise.",
    ),
    Mutant(
        "transposed_ignored",
        FORWARD,
        {_W: "w"},
        "w is always (in, out).",
        "With transposed=True it is (out, in), as when an embedding serves as the output layer.",
    ),
    Mutant(
        "bias_forgotten",
        FORWARD,
        {_BIAS: ""},
        "b starts at 0 and can be left out.",
        "It is trained: it does not stay 0.",
    ),
    Mutant(
        "bias_always_there",
        FORWARD,
        {_BIAS: "    y += b\n"},
        "Every layer has a bias.",
        "b is optional: what happens when it is None?",
    ),
    Mutant(
        "bias_subtracted",
        FORWARD,
        {_BIAS: _BIAS.replace("+=", "-=")},
        "b is a threshold that has to be overcome.",
        "A threshold is subtracted; a bias is added.",
    ),
    Mutant(
        "bias_inside_the_product",
        FORWARD,
        {_BIAS: "    if b is not None:\n        y *= b\n"},
        "b weights the outputs.",
        "It shifts them: y = x w + b.",
    ),
    Mutant(
        "leading_axes_not_restored",
        FORWARD,
        {"y.reshape(*x.shape[:-1], y.shape[-1])": "y"},
        "The result is a matrix.",
        "y has x's leading axes, however many they are.",
    ),
    Mutant(
        "dw_and_dx_swapped",
        BACKWARD,
        {_RETURN: "return dw, dx.reshape(x.shape), db"},
        "The order of the gradients does not matter.",
        "They come in the order of forward's arguments: x, w, b.",
    ),
    Mutant(
        "dx_by_w_not_transposed",
        BACKWARD,
        {_DX: "dx = drows @ (w.T if transposed else w)"},
        "Backward multiplies by the same matrix.",
        "Write down the shapes: dy is (N, O), dx is (N, I), w is (I, O).",
    ),
    Mutant(
        "dw_transposed",
        BACKWARD,
        {_DW: "dw = rows.T @ drows if transposed else drows.T @ rows"},
        "dw is dy^T x.",
        "A gradient has its argument's shape: w is (in, out).",
    ),
    Mutant(
        "dw_ignores_transposed",
        BACKWARD,
        {_DW: "dw = rows.T @ drows"},
        "dw is always (in, out).",
        "A gradient has its argument's shape: with transposed=True w is (out, in).",
    ),
    Mutant(
        "dw_not_summed_over_batch",
        BACKWARD,
        {_DW: "dw = np.einsum('...i,...o->...oi' if transposed else '...i,...o->...io', x, dy)"},
        "Each position has a gradient of w.",
        "All positions use the same w: sum over all leading axes.",
    ),
    Mutant(
        "dw_of_the_first_sequence",
        BACKWARD,
        {
            _DW: "here = slice(None) if x.ndim < 3 else slice(len(rows) // len(x))\n"
            "    dw = drows[here].T @ rows[here] if transposed else rows[here].T @ drows[here]"
        },
        "One sequence of the batch is enough for dw.",
        "All positions use the same w: sum over all leading axes.",
    ),
    Mutant(
        "dw_averaged_over_rows",
        BACKWARD,
        {_DW: "dw = (drows.T @ rows if transposed else rows.T @ drows) / len(rows)"},
        "A weight's gradient is the mean over the batch.",
        "Only the loss averages, and its backward has done so already.",
    ),
    Mutant(
        "dw_divided_by_batch_size",
        BACKWARD,
        {_DW: "dw = (drows.T @ rows if transposed else rows.T @ drows) / len(x)"},
        "A weight's gradient is divided by the batch size.",
        "Only the loss averages, and its backward has done so already.",
    ),
    Mutant(
        "dw_made_of_the_output",
        BACKWARD,
        {_DX: "dx = drows @ (w if transposed else w.T)\n    dw = dw * 0 + w"},
        "dw is w times dy.",
        "y = x w: what stands beside w?",
    ),
    Mutant(
        "db_not_summed",
        BACKWARD,
        {_DB: "db = dy.copy() if has_bias else None"},
        "The slope of a sum is 1, so db is dy.",
        "b was added at every position: gradients of copies add up.",
    ),
    Mutant(
        "db_over_first_axis_only",
        BACKWARD,
        {_DB: "db = dy.sum(axis=0) if has_bias else None"},
        "db is the sum over axis 0.",
        "Only if x is a matrix: b was added at every position, so sum over all leading axes.",
    ),
    Mutant(
        "db_over_outputs",
        BACKWARD,
        {_DB: "db = drows.sum(axis=-1) if has_bias else None"},
        "db is the sum over the last axis.",
        "b has one number for each output: which axes are left to sum over?",
    ),
    Mutant(
        "db_over_everything",
        BACKWARD,
        {_DB: "db = np.full(drows.shape[1], drows.sum()) if has_bias else None"},
        "db is the sum of dy.",
        "Over the positions: each output keeps its own.",
    ),
    Mutant(
        "db_averaged_over_rows",
        BACKWARD,
        {_DB: "db = drows.mean(axis=0) if has_bias else None"},
        "A bias's gradient is the mean over the batch.",
        "b was added to every row: gradients of copies add up.",
    ),
    Mutant(
        "db_without_b",
        BACKWARD,
        {_DB: "db = drows.sum(axis=0)"},
        "db can be computed in any case.",
        "What was not given has no gradient: None.",
    ),
)
