"""Mistakes in products, look-up, activations and dropout."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

_GELU_DX = "dx = dy * 0.5 * (1.0 + inner + x * slope)"

LAYERS = (
    Mutant(
        "matmul_broadcast_not_summed",
        ops.matmul_backward,
        {"return unbroadcast(da, a.shape), unbroadcast(db, b.shape)": "return da, db"},
        "Gradients have the shape that the product gives them.",
        "A gradient has its argument's shape: what was repeated forward is summed backward.",
    ),
    Mutant(
        "matmul_gradients_swapped",
        ops.matmul_backward,
        {
            "da = dy @ b.swapaxes(-1, -2)": "da = a.swapaxes(-1, -2) @ dy",
            "db = a.swapaxes(-1, -2) @ dy": "db = dy @ b.swapaxes(-1, -2)",
        },
        "da is made of a.",
        "y = a b: what multiplies a, and on which side?",
    ),
    Mutant(
        "add_broadcast_not_summed",
        ops.add_backward,
        {"np.array(unbroadcast(dy, cache.b_shape))": "dy.copy()"},
        "The slope of a sum is 1, so db is dy.",
        "b was used once for every element that it was repeated for.",
    ),
    Mutant(
        "dw_averaged_over_rows",
        ops.linear_backward,
        {"else rows.T @ drows": "else rows.T @ drows / len(rows)"},
        "A weight's gradient is the mean over the batch.",
        "Only the loss averages, and its backward has done so already.",
    ),
    Mutant(
        "db_averaged_over_rows",
        ops.linear_backward,
        {"drows.sum(axis=0)": "drows.mean(axis=0)"},
        "A bias's gradient is the mean over the batch.",
        "b was added to every row: gradients of copies add up.",
    ),
    Mutant(
        "dx_by_w_not_transposed",
        ops.linear_backward,
        {"(w if transposed else w.T)": "(w.T if transposed else w)"},
        "Backward multiplies by the same matrix.",
        "Write down the shapes: dy is (N, O), dx is (N, I), w is (I, O).",
    ),
    Mutant(
        "bias_forgotten",
        ops.linear_forward,
        {"    if b is not None:\n        y += b\n": ""},
        "b starts at 0 and can be left out.",
        "It is trained: it does not stay 0.",
    ),
    Mutant(
        "embedding_gradient_overwritten",
        ops.embedding_backward,
        {"np.add.at(dw, ids, dy)": "dw[ids] = dy"},
        "Each row of w gets the gradient of its position.",
        "An id may occur more than once: then its row has several gradients.",
    ),
    Mutant(
        "embedding_gradient_buffered",
        ops.embedding_backward,
        {"np.add.at(dw, ids, dy)": "dw[ids] += dy"},
        "dw[ids] += dy adds once for each occurrence of an id.",
        "NumPy reads dw[ids], adds, and writes back once: of repeated ids only the last counts.",
    ),
    Mutant(
        "embedding_gradient_averaged",
        ops.embedding_backward,
        {
            "np.add.at(dw, ids, dy)": "np.add.at(dw, ids, dy)\n"
            "    dw /= np.maximum(1, np.bincount(ids.ravel(), minlength=len(w)))[:, None]"
        },
        "A word that occurs often must not get a larger gradient.",
        "Each occurrence moves the loss: their gradients add up.",
    ),
    Mutant(
        "gelu_tanh_forward_erf_backward",
        ops.gelu_backward,
        {'if approximate == "tanh":': "if False:"},
        "The two forms of GELU are nearly equal, so one derivative serves both.",
        "Nearly: differentiate what forward computed.",
    ),
    Mutant(
        "gelu_product_rule_forgotten",
        ops.gelu_backward,
        {_GELU_DX: "dx = dy * 0.5 * (1.0 + inner)"},
        "The bracket weights x, so the derivative is the bracket.",
        "x stands in the bracket too.",
    ),
    Mutant(
        "gelu_inner_slope_forgotten",
        ops.gelu_backward,
        {"(1.0 + 3.0 * _TANH_CUBIC * x * x)": "(1.0 + _TANH_CUBIC * x * x)"},
        "The polynomial keeps its coefficients.",
        "What is the derivative of x^3?",
    ),
    Mutant(
        "gelu_erf_without_root",
        ops.gelu_forward,
        {"x * math.sqrt(0.5)": "x"},
        "GELU is x (1 + erf(x)) / 2.",
        "The normal distribution function is (1 + erf(x / sqrt(2))) / 2.",
    ),
    Mutant(
        "gelu_forms_swapped",
        ops.gelu_forward,
        {'if approximate == "tanh":': 'if approximate != "tanh":'},
        "The approximation is the default.",
        'Which form does approximate="none" ask for?',
    ),
    Mutant(
        "silu_product_rule_forgotten",
        ops.silu_backward,
        {"(sigmoid + x * sigmoid * (1.0 - sigmoid))": "(x * sigmoid * (1.0 - sigmoid))"},
        "The derivative of x s(x) is x s'(x).",
        "The product rule has two terms.",
    ),
    Mutant(
        "silu_is_the_sigmoid",
        ops.silu_forward,
        {"y = x * sigmoid": "y = 1.0 * sigmoid"},
        "SiLU is another name of the sigmoid.",
        "The sigmoid is the gate; what does it gate?",
    ),
    Mutant(
        "relu_slope_one_at_zero",
        ops.relu_backward,
        {"cache.x > 0.0": "cache.x >= 0.0"},
        "At 0 any slope is as good.",
        "It is, but one was agreed on: 0.",
    ),
    Mutant(
        "relu_of_the_gradient",
        ops.relu_backward,
        {"cache.x > 0.0": "dy > 0.0"},
        "The backward of relu is relu of the gradient.",
        "Which elements did forward let through: those with x > 0, or those with dy > 0?",
    ),
    Mutant(
        "relu_leaks",
        ops.relu_forward,
        {"np.maximum(x, 0.0)": "np.where(x > 0.0, x, 0.01 * x)"},
        "A little slope below 0 cannot hurt.",
        "That is another function, the leaky ReLU.",
    ),
    Mutant(
        "dropout_not_scaled",
        ops.dropout_forward,
        {"drop(x, keep, p)": "(x.copy() if keep is None else np.where(keep, x, 0.0))"},
        "Dropout only sets values to 0.",
        "The mean must stay the same: what must the kept values be divided by?",
    ),
    Mutant(
        "dropout_scaled_by_p",
        ops.dropout_forward,
        {"drop(x, keep, p)": "drop(x, keep, 1.0 - p if p else p)"},
        "p is the probability of keeping.",
        "Here p is the probability of dropping, as in most libraries today.",
    ),
    Mutant(
        "dropout_keeps_the_dropped",
        ops.dropout_forward,
        {"drop(x, keep, p)": "drop(x, None if keep is None else ~keep, p)"},
        "The mask marks what is dropped.",
        "It is called keep: True stays.",
    ),
    Mutant(
        "dropout_forgotten_backward",
        ops.dropout_backward,
        {"drop(dy, cache.keep, cache.p)": "dy.copy()"},
        "Dropout is random and therefore has no derivative.",
        "Given the mask, dropout multiplies by constants, and so does its backward.",
    ),
    Mutant(
        "dropout_not_scaled_backward",
        ops.dropout_backward,
        {"drop(dy, cache.keep, cache.p)": "drop(dy, cache.keep, 0.0)"},
        "Backward lets the kept ones through.",
        "By which factor did forward multiply them?",
    ),
)
