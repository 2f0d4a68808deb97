"""How a transformer is told the order of its input."""

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise
from minitransformer.nn.positions import sinusoidal_positions

EXERCISES = (
    Exercise(
        id="sinusoidal_positions",
        unit="positions",
        title="Sinusoidal positions",
        functions=(sinusoidal_positions,),
        goal="Write the number of each position in waves, like the hands of many clocks, from a "
        "fast one to a very slow one.",
        formula="""
            table[t, 2i] = sin(t / 10000^(2i/C)),   table[t, 2i + 1] = cos(t / 10000^(2i/C))
        """,
        example="""
            >>> sinusoidal_positions(2, 4).round(3)
            array([[0.   , 1.   , 0.   , 1.   ],
                   [0.841, 0.54 , 0.01 , 1.   ]])
        """,
        hints=(
            "Make the angles first: a table of T positions and C / 2 frequencies, by broadcasting.",
            "The frequencies are 10000 ** -(0, 2, 4, ... / C). Sine and cosine of one frequency "
            "stand side by side: even columns, odd columns.",
            "Fill an empty table: table[:, 0::2] and table[:, 1::2]. Compute in float64, and cast "
            "at the end to the dtype asked for.",
        ),
    ),
    Exercise(
        id="rotary_forward",
        unit="positions",
        title="Rotary positions",
        functions=(ops.rotary_forward,),
        goal="Turn each pair of features by an angle that grows with the position: then the score "
        "of a query and a key depends on their distance only. Pairs are (i, i + D/2), or "
        "(2i, 2i + 1) if interleaved.",
        formula="""
            y1 = x1 cos - x2 sin
            y2 = x2 cos + x1 sin
        """,
        example="""
            >>> x = np.array([[[[1.0, 2.0, 3.0, 4.0]]]])
            >>> quarter_turn, none = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])
            >>> rotary_forward(x, quarter_turn, none)[0]  # turns the pair (1, 3), not (2, 4)
            array([[[[-3.,  2.,  1.,  4.]]]])
            >>> rotary_forward(x, quarter_turn, none, interleaved=True)[0]
            array([[[[-2.,  1.,  3.,  4.]]]])
        """,
        hints=(
            "Take x1 and x2 out of x by two slices of the last axis; only the slices differ "
            "between the two kinds of pairs.",
            "Interleaved: 0::2 and 1::2. Otherwise: the first half and the second half.",
            "Make an empty y in the shape and dtype of x and write the two lines of the formula "
            "into the slices from which x1 and x2 came. cos and sin broadcast by themselves.",
        ),
    ),
    Exercise(
        id="rotary_backward",
        unit="positions",
        title="The backward of rotary positions",
        functions=(ops.rotary_forward, ops.rotary_backward),
        goal="A rotation is undone by rotating back. Show that the gradient does exactly this. The "
        "angles get no gradient.",
        formula="""
            y1 = x1 cos - x2 sin
            y2 = x2 cos + x1 sin
            dx1 = dy1 (slope of y1 in x1) + dy2 (slope of y2 in x1),   dx2 likewise
        """,
        example="""
            >>> cos, sin = np.array([[0.0]]), np.array([[1.0]])
            >>> cache = RotaryCache(cos, sin, interleaved=False, shape=(1, 1, 1, 2))
            >>> (dx,) = rotary_backward(np.array([[[[5.0, 7.0]]]]), cache)
            >>> dx
            array([[[[ 7., -5.]]]])
        """,
        hints=(
            "Read the four slopes off the two lines: each is cos, sin or -sin.",
            "Collect them in a matrix of 2 by 2, forward and backward. The one is the other "
            "turned over at its diagonal.",
            "It is forward once more, with one sign changed. Keep to the pairs that forward used.",
        ),
    ),
)
