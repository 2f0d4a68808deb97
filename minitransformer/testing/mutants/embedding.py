"""Mistakes in table look-up."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.embedding_forward, ops.embedding_backward

_Y = "y = w[ids]"
_ADD = "np.add.at(dw, ids, dy)"

MUTANTS = (
    Mutant(
        "embedding_by_columns",
        FORWARD,
        {_Y: "y = w[:, ids % w.shape[1]]"},
        "Each id has a column of the table.",
        "w is (V, C): each id has a row.",
    ),
    Mutant(
        "embedding_counts_from_one",
        FORWARD,
        {_Y: "y = w[ids.astype(np.int64) - 1]"},
        "The first id is 1.",
        "Ids count from 0, like indices.",
    ),
    Mutant(
        "embedding_scaled_by_width",
        FORWARD,
        {_Y: "y = w[ids] * float(np.sqrt(w.shape[1]))"},
        "Embeddings are multiplied by sqrt(C).",
        "Some models do that outside; here a row is looked up as it is.",
    ),
    Mutant(
        "embedding_flattens_ids",
        FORWARD,
        {_Y: "y = w[ids.ravel()]"},
        "Ids are a list.",
        "y has the axes of ids, and one more.",
    ),
    Mutant(
        "embedding_sums_the_sequence",
        FORWARD,
        {_Y: "y = w[ids].sum(axis=-2)"},
        "A sequence is the sum of its embeddings.",
        "That is a bag of words: y has a vector for each id.",
    ),
    Mutant(
        "embedding_gradient_not_scattered",
        BACKWARD,
        {_ADD: "dw = dy.copy()"},
        "The gradient of a look-up is dy.",
        "It has the shape of the table: to which row does each position's gradient go?",
    ),
    Mutant(
        "embedding_gradient_overwritten",
        BACKWARD,
        {_ADD: "dw[ids] = dy"},
        "Each row of w gets the gradient of its position: dw[ids] = dy, or dw[ids] += dy.",
        "An id may occur more than once, and all its gradients add up; with repeated indices NumPy "
        "writes only the last.",
    ),
    Mutant(
        "embedding_gradient_of_first_occurrence",
        BACKWARD,
        {
            _ADD: "flat, first = np.unique(ids.ravel(), return_index=True)\n"
            "    dw[flat] = dy.reshape(-1, dw.shape[1])[first]"
        },
        "Each id is treated once.",
        "An id may occur more than once: all its gradients add up.",
    ),
    Mutant(
        "embedding_gradient_averaged",
        BACKWARD,
        {
            _ADD: f"{_ADD}\n"
            "    dw /= np.maximum(1, np.bincount(ids.ravel(), minlength=len(w)))[:, None]"
        },
        "A word that occurs often must not get a larger gradient.",
        "Each occurrence moves the loss: their gradients add up.",
    ),
    Mutant(
        "embedding_gradient_over_positions",
        BACKWARD,
        {_ADD: f"{_ADD}\n    dw /= ids.size"},
        "The gradient is the mean over the positions.",
        "Only the loss averages, and its backward has done so already.",
    ),
    Mutant(
        "embedding_gradient_over_batch",
        BACKWARD,
        {_ADD: f"{_ADD}\n    dw /= len(ids)"},
        "The gradient is divided by the batch size.",
        "Only the loss averages, and its backward has done so already.",
    ),
    Mutant(
        "embedding_gradient_starts_from_w",
        BACKWARD,
        {"dw = np.zeros(w.shape, w.dtype)": "dw = w.copy()"},
        "The gradient is added to the table.",
        "The optimizer will do that: dw starts at 0.",
    ),
    Mutant(
        "embedding_gradient_times_w",
        BACKWARD,
        {_ADD: f"{_ADD}\n    dw *= w"},
        "The gradient is dy times the row.",
        "y = w[ids] is linear in w, with the slope 1.",
    ),
    Mutant(
        "embedding_first_id_is_padding",
        BACKWARD,
        {_ADD: f"{_ADD}\n    dw[0] = 0.0"},
        "Id 0 is padding and gets no gradient.",
        "Nobody said so: every id is a token.",
    ),
)
