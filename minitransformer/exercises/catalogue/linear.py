"""Linear maps: products, broadcasting, embedding."""

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise
from minitransformer.ops.broadcasting import unbroadcast

EXERCISES = (
    Exercise(
        id="linear_forward",
        unit="linear",
        title="The linear layer",
        functions=(ops.linear_forward,),
        goal="Map the last axis by a matrix, and add a bias if there is one. All axes before the "
        "last are rows, however many there are.",
        formula="""
            y[n, o] = sum over i of x[n, i] w[i, o] + b[o]
        """,
        example="""
            >>> x = np.array([[1.0, 2.0]])
            >>> w = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
            >>> linear_forward(x, w, np.array([0.0, 0.0, 10.0]))[0]
            array([[ 1.,  2., 13.]])
        """,
        hints=(
            "Which axes of x and w does the sum run over? The @ operator sums over exactly these.",
            "transposed=True means that w comes as (O, I); w.T has the form that you know.",
            "Multiply, add b if it is not None, and remember x and w for the backward: the very "
            "arrays, not copies.",
        ),
    ),
    Exercise(
        id="linear_backward",
        unit="linear",
        title="The backward of the linear layer",
        functions=(ops.linear_forward, ops.linear_backward),
        goal="Every row uses the same w and b. So each row sends a gradient to them, and what "
        "arrives is added up.",
        formula="""
            y[n, o] = sum over i of x[n, i] w[i, o] + b[o]
            dx[n, i] = sum over o ...,   dw[i, o] = sum over n ...,   db[o] = sum over n ...
        """,
        example="""
            >>> cache = LinearCache(
            ...     x=np.array([[1.0, 2.0], [3.0, 4.0]]),
            ...     w=np.array([[1.0], [10.0]]),
            ...     has_bias=True,
            ...     transposed=False,
            ... )
            >>> dx, dw, db = linear_backward(np.array([[1.0], [2.0]]), cache)
            >>> dx
            array([[ 1., 10.],
                   [ 2., 20.]])
            >>> dw
            array([[ 7.],
                   [10.]])
            >>> db
            array([3.])
        """,
        hints=(
            "Complete the three sums of the formula: what does x[n, i] meet in y[n, o], and what "
            "does w[i, o] meet?",
            "A sum over o of dy[n, o] w[i, o] is a matrix product with w turned over; so is the "
            "sum over n of x[n, i] dy[n, o], with x turned over.",
            "x may have one axis or four: reshape x and dy to (rows, features) first, and dx back "
            "to the shape of x at the end. db is None without a bias, and with transposed=True "
            "both w and dw are (O, I).",
        ),
        points=2,
    ),
    Exercise(
        id="unbroadcast",
        unit="linear",
        title="The backward of broadcasting",
        functions=(unbroadcast,),
        goal="NumPy repeats small arrays silently: a bias (C,) meets every row of a batch. What "
        "forward copies, backward must sum. Write this sum once, for any shapes.",
        formula="""
            an argument of shape `shape` was repeated to the shape of `gradient`:
            axes in front were added, and axes of length 1 were stretched
            its gradient is the sum of `gradient` over all of these, and has the shape `shape`
        """,
        example="""
            >>> gradient = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
            >>> unbroadcast(gradient, (3,))
            array([5., 7., 9.])
            >>> unbroadcast(gradient, (2, 1))
            array([[ 6.],
                   [15.]])
        """,
        hints=(
            "Shapes are compared from the right. How many axes does `gradient` have more than "
            "`shape`? Those were added in front.",
            "Of the others, an axis was stretched if its length in `shape` is 1 and in `gradient` "
            "is not.",
            "Collect the numbers of all these axes in a tuple, sum over them at once, and reshape "
            "the sum to `shape`, which puts the axes of length 1 back. With no such axis there is "
            "nothing to sum.",
        ),
    ),
    Exercise(
        id="matmul_backward",
        unit="linear",
        title="The backward of a batched matrix product",
        functions=(ops.matmul_forward, ops.matmul_backward),
        goal="Both factors of a product y = a b get a gradient. In front of the two matrix axes "
        "there may be batch axes, and these broadcast.",
        formula="""
            y[..., m, n] = sum over k of a[..., m, k] b[..., k, n]
        """,
        example="""
            >>> cache = MatmulCache(a=np.array([[1.0, 2.0]]), b=np.array([[3.0], [4.0]]))
            >>> da, db = matmul_backward(np.array([[10.0]]), cache)
            >>> da
            array([[30., 40.]])
            >>> db
            array([[10.],
                   [20.]])
        """,
        hints=(
            "Fix m and k: which entries of y does a[m, k] take part in, and with what weight?",
            "So da is dy times b with its last two axes exchanged; find db in the same way. "
            "swapaxes(-1, -2) turns over matrices and leaves batch axes alone.",
            "If a was one matrix for a whole batch of b, each member of the batch sends it a "
            "gradient: sum over the axes in front that a does not have, and, keeping the axis, "
            "over those where a has length 1. Both results have the shapes of a and b.",
        ),
        points=2,
    ),
    Exercise(
        id="embedding_forward",
        unit="embedding",
        title="Looking up a table",
        functions=(ops.embedding_forward,),
        goal="Replace every id by its row of the table. There is nothing more to it.",
        formula="""
            y[n] = w[ids[n]]
        """,
        example="""
            >>> w = np.array([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]])
            >>> embedding_forward(np.array([2, 0, 2]), w)[0]
            array([[2. , 2.5],
                   [0. , 0.5],
                   [2. , 2.5]])
        """,
        hints=(
            "What does NumPy do when an array is indexed by an array of integers?",
            "The result has the axes of ids, followed by the width of the table.",
            "One index expression is the whole answer; remember ids and w for the backward.",
        ),
    ),
    Exercise(
        id="embedding_backward",
        unit="embedding",
        title="The backward of looking up a table",
        functions=(ops.embedding_forward, ops.embedding_backward),
        goal="A row of the table was copied to every position that asked for it. Send all their "
        "gradients back to it. Beware: an id may occur many times.",
        formula="""
            dw[v] = sum of dy[n] over all positions n with ids[n] = v
        """,
        example="""
            >>> cache = EmbeddingCache(ids=np.array([2, 0, 2]), w=np.zeros((3, 2)))
            >>> dy = np.array([[1.0, 2.0], [5.0, 5.0], [10.0, 20.0]])
            >>> (dw,) = embedding_backward(dy, cache)
            >>> dw
            array([[ 5.,  5.],
                   [ 0.,  0.],
                   [11., 22.]])
        """,
        hints=(
            "Begin with zeros in the shape and dtype of w: most rows are not asked for.",
            "dw[ids] += dy looks right, and is not: NumPy buffers it, and of several equal ids "
            "only the last one counts.",
            "A loop over positions is right, if slow. NumPy's unbuffered in-place sum, the `at` "
            "of a ufunc, does the same in one call.",
        ),
    ),
)
