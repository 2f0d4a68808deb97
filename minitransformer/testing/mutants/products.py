"""Mistakes in sums and products: add, matmul."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

ADD, MATMUL, BACKWARD = ops.add_backward, ops.matmul_forward, ops.matmul_backward

_DA = "da = dy @ b.swapaxes(-1, -2)"
_DB = "db = a.swapaxes(-1, -2) @ dy"
_RETURN = "return unbroadcast(da, a.shape), unbroadcast(db, b.shape)"
_ADD_A = "np.array(unbroadcast(dy, cache.a_shape))"
_ADD_B = "np.array(unbroadcast(dy, cache.b_shape))"

MUTANTS = (
    Mutant(
        "add_broadcast_not_summed",
        ADD,
        {_ADD_A: "dy.copy()", _ADD_B: "dy.copy()"},
        "The slope of a sum is 1, so both gradients are dy.",
        "What was repeated was used many times: its gradient has its own shape, and is a sum.",
    ),
    Mutant(
        "add_broadcast_not_summed_in_b",
        ADD,
        {_ADD_B: "dy.copy()"},
        "Only the first argument may have been repeated.",
        "b was used once for every element that it was repeated for.",
    ),
    Mutant(
        "add_broadcast_averaged",
        ADD,
        {
            "return np": "def share(gradient):\n"
            "        return np.array(gradient * (gradient.size / dy.size))\n"
            "    return np",
            _ADD_A: "share(unbroadcast(dy, cache.a_shape))",
            _ADD_B: "share(unbroadcast(dy, cache.b_shape))",
        },
        "The gradient of a repeated argument is the mean over its copies.",
        "Each copy moves y: gradients of copies add up.",
    ),
    Mutant(
        "add_gradient_shared_out",
        ADD,
        {_ADD_A: f"0.5 * {_ADD_A}", _ADD_B: f"0.5 * {_ADD_B}"},
        "The two arguments share the gradient.",
        "Moving either by 1 moves y by 1.",
    ),
    Mutant(
        "add_multiplies",
        ops.add_forward,
        {"return a + b": "return a * b"},
        "The arguments are combined element by element.",
        "By a sum.",
    ),
    Mutant(
        "matmul_is_dot",
        MATMUL,
        {"y = a @ b": "y = np.dot(a, b)"},
        "np.dot is the matrix product.",
        "Of matrices; with more axes it combines every matrix of a with every one of b.",
    ),
    Mutant(
        "matmul_element_by_element",
        MATMUL,
        {"y = a @ b": "y = a * b"},
        "* is the matrix product.",
        "In NumPy * multiplies element by element.",
    ),
    Mutant(
        "matmul_b_transposed",
        MATMUL,
        {"y = a @ b": "y = np.einsum('...mk,...nk->...mn', a, b)"},
        "Rows of a meet rows of b.",
        "Rows of a meet columns of b.",
    ),
    Mutant(
        "matmul_first_matrix_only",
        MATMUL,
        {"y = a @ b": "y = a.reshape(-1, *a.shape[-2:])[0] @ b.reshape(-1, *b.shape[-2:])[0]"},
        "There is one matrix on either side.",
        "Leading axes are batch axes: each matrix of a meets its own of b.",
    ),
    Mutant(
        "matmul_gradients_not_transposed",
        BACKWARD,
        {_DA: "da = dy @ b", _DB: "db = a @ dy"},
        "da is dy times b, and db is a times dy.",
        "Write down the shapes: dy is (M, N), b is (K, N), a is (M, K).",
    ),
    Mutant(
        "da_not_transposed",
        BACKWARD,
        {_DA: "da = dy @ b"},
        "da is dy times b.",
        "Write down the shapes: dy is (M, N), b is (K, N), da is (M, K).",
    ),
    Mutant(
        "matmul_all_axes_turned_over",
        BACKWARD,
        {_DA: "da = dy @ b.T", _DB: "db = a.T @ dy"},
        ".T is the transposed matrix.",
        "Of more than two axes .T reverses all: only the last two are to change places.",
    ),
    Mutant(
        "matmul_gradients_swapped",
        BACKWARD,
        {_DA: "da = a.swapaxes(-1, -2) @ dy", _DB: "db = dy @ b.swapaxes(-1, -2)"},
        "da is made of a.",
        "y = a b: what multiplies a, and on which side?",
    ),
    Mutant(
        "matmul_gradients_in_the_wrong_order",
        BACKWARD,
        {_RETURN: "return unbroadcast(db, b.shape), unbroadcast(da, a.shape)"},
        "The order of the gradients does not matter.",
        "They come in the order of forward's arguments: a, b.",
    ),
    Mutant(
        "matmul_broadcast_not_summed",
        BACKWARD,
        {_RETURN: "return da, db"},
        "Gradients have the shape that the product gives them.",
        "A gradient has its argument's shape: what was repeated forward is summed backward.",
    ),
    Mutant(
        "matmul_only_missing_axes_summed",
        BACKWARD,
        {
            _RETURN: "da = da.sum(axis=tuple(range(da.ndim - a.ndim)))\n"
            "    db = db.sum(axis=tuple(range(db.ndim - b.ndim)))\n"
            "    return da, db"
        },
        "Arguments with fewer axes were repeated, and only those.",
        "An axis of length 1 was repeated as well.",
    ),
    Mutant(
        "matmul_broadcast_averaged",
        BACKWARD,
        {
            _RETURN: "return (\n"
            "        unbroadcast(da, a.shape) * (a.size / da.size),\n"
            "        unbroadcast(db, b.shape) * (b.size / db.size),\n"
            "    )"
        },
        "The gradient of a repeated matrix is the mean over its copies.",
        "Each copy moves y: gradients of copies add up.",
    ),
    Mutant(
        "matmul_first_of_the_copies",
        BACKWARD,
        {
            _RETURN: "while da.shape != a.shape and da.ndim > a.ndim:\n"
            "        da = da[0]\n"
            "    while db.shape != b.shape and db.ndim > b.ndim:\n"
            "        db = db[0]\n"
            "    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)"
        },
        "All copies of a repeated matrix have the same gradient, so the first will do.",
        "Each copy met another matrix: their gradients add up.",
    ),
)
