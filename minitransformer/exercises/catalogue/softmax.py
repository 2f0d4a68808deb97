"""Softmax, with a mask, and its backward."""

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        id="softmax_forward",
        unit="softmax",
        title="Stable softmax, with a mask",
        functions=(ops.softmax_forward,),
        goal="Turn scores into probabilities over the last axis, however large the scores are. "
        "Where a mask is given, only its True positions take part; a row in which nothing takes "
        "part becomes a row of zeros.",
        formula="""
            y[j] = exp(x[j] - m) / sum over k of exp(x[k] - m),   m = the largest score of the row
            a score that is masked, or -inf, gets probability exactly 0
        """,
        example="""
            >>> softmax_forward(np.log(np.array([[1.0, 3.0]])))[0]
            array([[0.25, 0.75]])
            >>> softmax_forward(np.array([1000.0, 1000.0]))[0]
            array([0.5, 0.5])
            >>> mask = np.array([[True, True, False], [False, False, False]])
            >>> softmax_forward(np.zeros((2, 3)), mask)[0]
            array([[0.5, 0.5, 0. ],
                   [0. , 0. , 0. ]])
        """,
        hints=(
            "exp(1000) is infinite, and infinity over infinity is NaN. Which number can you "
            "subtract from all scores of a row without changing the quotient?",
            "Turn masked scores into -inf before you look for the largest (np.where). Then ask "
            "what happens in a row that is -inf throughout: -inf - (-inf) is NaN.",
            "In such a row subtract 0 instead of the maximum: all weights are 0, and so is their "
            "sum. Divide by 1 instead of that sum. Keep the axis in both reductions "
            "(keepdims=True), so that rows line up.",
        ),
        points=2,
    ),
    Exercise(
        id="softmax_backward",
        unit="softmax",
        title="The backward of softmax",
        functions=(ops.softmax_forward, ops.softmax_backward),
        goal="Raising one score raises its own probability and lowers all the others. Find the "
        "gradient of the scores, given that of the probabilities.",
        formula="""
            slope of y[j] in x[i]:   y[j] (1 - y[i]) if i = j,   -y[j] y[i] otherwise
            dx[i] = sum over j of dy[j] times that slope
        """,
        example="""
            >>> cache = SoftmaxCache(probs=np.array([[0.25, 0.75]]))
            >>> (dx,) = softmax_backward(np.array([[1.0, 0.0]]), cache)
            >>> dx
            array([[ 0.1875, -0.1875]])
        """,
        hints=(
            "Write the sum over j out for three scores. One summand has a 1 that the others lack: "
            "treat it alone.",
            "y[i] is a common factor. What is left of the sum does not depend on i: it is one "
            "number for each row.",
            "That number is the mean of dy, weighted by the probabilities; it is subtracted from "
            "dy before y multiplies it. Keep its axis (keepdims=True), and sum over the last "
            "axis only.",
        ),
        points=2,
    ),
)
