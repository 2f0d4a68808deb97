"""Cross-entropy and what is told of it."""

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        id="cross_entropy_forward",
        unit="cross_entropy",
        title="Cross-entropy, with ignored targets and label smoothing",
        functions=(ops.cross_entropy_forward,),
        goal="How surprised is the model, on average, by the true classes? Targets equal to "
        "ignore_index count neither in the sum nor in the number that divides it. Label smoothing "
        "asks for a little of every class.",
        formula="""
            q = (1 - label_smoothing) one-hot(target) + label_smoothing / V
            surprise of a row = - sum over v of q[v] log softmax(logits)[v]
            loss = mean of the surprise over the rows that are kept; 0 if there is none
            log softmax(logits) = (logits - m) - log(sum of exp(logits - m)),  m = the row's maximum
        """,
        example="""
            >>> logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
            >>> loss, cache = cross_entropy_forward(logits, np.array([1, -100]))
            >>> print(f"{loss:.4f}")  # log 4: the second row is ignored
            1.3863
            >>> loss, cache = cross_entropy_forward(logits, np.array([1, 2]), label_smoothing=0.3)
            >>> print(f"{loss:.4f}")
            0.9780
        """,
        hints=(
            "Choose the rows to keep first, with a boolean array; after that there are only N rows "
            "and N targets, however many axes there were.",
            "Do not take the log of a softmax: where a probability rounds to 0 its log is -inf. "
            "Take the difference of logs in the last line of the formula.",
            "Pick each row's target with np.take_along_axis or an index pair (np.arange(N), "
            "targets). The smoothed part is the mean of -log p over all V classes. Divide by "
            "max(1, N), and keep the dtype of the logits.",
        ),
        points=2,
    ),
    Exercise(
        id="cross_entropy_backward",
        unit="cross_entropy",
        title="The backward of cross-entropy",
        functions=(ops.cross_entropy_forward, ops.cross_entropy_backward),
        goal="The most beautiful gradient of deep learning: what the model believes, minus what "
        "was asked for. Mind the mean, the ignored rows, and dy.",
        formula="""
            surprise of a row = log(sum of exp(logits)) - sum over v of q[v] logits[v]
            the loss is the mean of N rows; dy is one number, the gradient of the loss
            ignored rows have the gradient 0
        """,
        example="""
            >>> cache = CrossEntropyCache(
            ...     probs=np.array([[0.5, 0.25, 0.25]]),
            ...     targets=np.array([1]),
            ...     kept=np.array([True, False]),
            ...     label_smoothing=0.0,
            ... )
            >>> (dlogits,) = cross_entropy_backward(1.0, cache)
            >>> dlogits
            array([[ 0.5 , -0.75,  0.25],
                   [ 0.  ,  0.  ,  0.  ]])
        """,
        hints=(
            "Differentiate the two terms of the surprise apart. The first gives a distribution "
            "that the cache holds already.",
            "The second gives q: label_smoothing / V everywhere, and the rest at the target. Both "
            "terms are divided by N, which counts kept rows only.",
            "Copy the probabilities (the cache must not change), subtract q, multiply by dy / N, "
            "and write the rows into an array of zeros at the places that are kept. With every "
            "target ignored N is 0: divide by max(1, N).",
        ),
        points=2,
    ),
)
