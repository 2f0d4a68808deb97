"""GELU and dropout: what happens to each element alone."""

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise

GELU = (
    Exercise(
        id="gelu_forward",
        unit="gelu",
        title="GELU, by tanh and exact",
        functions=(ops.gelu_forward,),
        goal="Weight x by the probability that a standard normal variable lies below it. "
        'GPT-2 computes it approximately, approximate="tanh"; BERT exactly, approximate="none".',
        formula="""
            y = x (1 + r) / 2
            "tanh":  r = tanh( sqrt(2 / pi) (x + 0.044715 x^3) )
            "none":  r = erf( x / sqrt(2) )
        """,
        example="""
            >>> x = np.array([-1.0, 0.0, 1.0, 2.0])
            >>> gelu_forward(x)[0].round(6)
            array([-0.158808,  0.      ,  0.841192,  1.954598])
            >>> gelu_forward(x, approximate="none")[0].round(6)
            array([-0.158655,  0.      ,  0.841345,  1.9545  ])
        """,
        hints=(
            "Write r first, in two branches; the line after them is the same for both.",
            "NumPy has no erf, but Python's math module has one for single numbers: np.vectorize "
            "makes it a function of arrays.",
            "Constants through math.sqrt, not np.sqrt: a NumPy scalar would turn float32 into "
            "float64. For the same reason cast the result of the vectorized erf to x.dtype.",
        ),
    ),
    Exercise(
        id="gelu_backward",
        unit="gelu",
        title="The backward of GELU",
        functions=(ops.gelu_forward, ops.gelu_backward),
        goal="The product rule, once. The two forms of GELU differ in the third digit, and so do "
        "their slopes: differentiate the form that forward used.",
        formula="""
            y = x (1 + r) / 2
            slope of tanh(u): (1 - tanh(u)^2) times the slope of u
            slope of erf(u):  2 / sqrt(pi) exp(-u^2) times the slope of u
        """,
        example="""
            >>> cache = GeluCache(x=np.array([1.0]), inner=np.array([0.682383]), approximate="tanh")
            >>> gelu_backward(np.array([10.0]), cache)[0].round(3)
            array([10.83])
            >>> cache = GeluCache(x=np.array([1.0]), inner=np.array([0.682689]), approximate="none")
            >>> gelu_backward(np.array([10.0]), cache)[0].round(3)
            array([10.833])
        """,
        hints=(
            "x stands twice in y: as a factor, and inside r. The product rule gives two summands.",
            "cache.inner is r. The first summand needs r itself; the second needs its slope in x, "
            "which differs between the two forms.",
            "With u = sqrt(2/pi) (x + 0.044715 x^3) the slope of u is sqrt(2/pi) times "
            "(1 + 3 * 0.044715 x^2). With u = x / sqrt(2), u^2 is x^2 / 2. Multiply it all by dy.",
        ),
        points=2,
    ),
)

DROPOUT = (
    Exercise(
        id="dropout_forward",
        unit="dropout",
        title="Inverted dropout",
        functions=(ops.dropout_forward,),
        goal="Set what is dropped to 0, and enlarge what is kept, so that the mean stays what it "
        "was. The mask is drawn by the caller; without one nothing happens.",
        formula="""
            y = x / (1 - p) where keep, else 0;   y = x if keep is None, whatever p
        """,
        example="""
            >>> x = np.array([1.0, 2.0, 3.0, 4.0])
            >>> dropout_forward(x, np.array([True, False, True, True]), 0.25)[0].round(4)
            array([1.3333, 0.    , 4.    , 5.3333])
            >>> dropout_forward(x, None, 0.25)[0]
            array([1., 2., 3., 4.])
        """,
        hints=(
            "p is the probability of dropping. What is the expected value of y, if a share 1 - p "
            "of the elements is kept?",
            "np.where chooses between two arrays by a mask. Multiplying by the mask works too, "
            "until x holds an infinity.",
            "Without keep, return a copy: a result never shares memory with an argument.",
        ),
    ),
    Exercise(
        id="dropout_backward",
        unit="dropout",
        title="The backward of dropout",
        functions=(ops.dropout_forward, ops.dropout_backward),
        goal="Each element of y is its x times a constant. You have just written the code for it.",
        formula="""
            y = x / (1 - p) where keep, else 0;   y = x if keep is None
        """,
        example="""
            >>> keep = np.array([True, False, True])
            >>> cache = DropoutCache(keep=keep, p=0.5, shape=(3,), dtype=np.dtype("float64"))
            >>> (dx,) = dropout_backward(np.array([1.0, 1.0, 5.0]), cache)
            >>> dx
            array([ 2.,  0., 10.])
        """,
        hints=(
            "What does y change by if a kept x grows by 1? And if a dropped one does?",
            "dropout(dy, keep, p) with the same keep: a gradient takes the way back through the "
            "same gates.",
            "Do not forget the division by 1 - p, nor the case without keep.",
        ),
    ),
)
