"""Masked language modelling, low-rank adaptation, many workers."""

from minitransformer.data import mask_tokens
from minitransformer.distributed import average_gradients
from minitransformer.exercises.exercise import Exercise
from minitransformer.nn import lora_backward, lora_forward

EXERCISES = (
    Exercise(
        id="mask_tokens",
        unit="masked_language_model",
        title="BERT's corruption of text",
        functions=(mask_tokens,),
        goal="Hide some tokens, and ask for them. Of the chosen ones 80% are hidden, 10% are "
        "exchanged for random ones and 10% stay as they are; the model is asked for all of them. "
        "Nothing is drawn here: action is a number from 0 to 9 for each token.",
        formula="""
            where chosen and action is 0 to 7:  inputs = mask_id
            where chosen and action is 8:       inputs = random_ids
            everywhere else:                    inputs = ids
            targets = ids where chosen, -100 elsewhere
        """,
        example="""
            >>> inputs, targets = mask_tokens(
            ...     ids=np.array([10, 11, 12, 13]),
            ...     chosen=np.array([True, True, True, False]),
            ...     action=np.array([3, 8, 9, 0]),
            ...     random_ids=np.array([50, 51, 52, 53]),
            ...     mask_id=99,
            ... )
            >>> inputs
            array([99, 51, 12, 13])
            >>> targets
            array([  10,   11,   12, -100])
        """,
        hints=(
            "Two boolean arrays, one for hidden and one for exchanged, say it all.",
            "The target is the original token, also where the model sees it unchanged.",
            "np.where takes a number or an array for either branch. Return int64: unsigned ids "
            "have no -100.",
        ),
    ),
    Exercise(
        id="lora_forward",
        unit="lora",
        title="LoRA: a thin change of a frozen matrix",
        functions=(lora_forward,),
        goal="A large matrix w stays frozen, and two thin ones, a and b, learn its change. Do not "
        "form the matrix a b: both thin products together cost far less.",
        formula="""
            y = x w + (scale x a) b
        """,
        example="""
            >>> x, w = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
            >>> a, b = np.array([[1.0], [1.0]]), np.array([[10.0, 0.0]])
            >>> lora_forward(x, w, a, b, scale=0.5)[0]  # x w is (1, 2), x a is 3
            array([[16.,  2.]])
        """,
        hints=(
            "Set the brackets well: x is (..., I) and a is (I, R), so x a has only R features.",
            "Three products with @, a factor and a sum.",
            "Mind the dtype: scale is a Python float and keeps it. x must not change. A cache of "
            "your own is welcome, if you write the backward too.",
        ),
    ),
    Exercise(
        id="lora_backward",
        unit="lora",
        title="The backward of LoRA",
        functions=(lora_forward, lora_backward),
        goal="w is frozen and gets no gradient; x, a and b do. In the cache, down.x is x and "
        "down.w is a; up.x is low = scale x a, and up.w is b. If you prefer a cache of your own, "
        "write lora_forward in this file too.",
        formula="""
            low = scale x a
            y = x w + low b
            gradients, in this order: dx, da, db
        """,
        example="""
            >>> from minitransformer.ops.linear import LinearCache
            >>> x, a, b = np.array([[1.0, 2.0]]), np.array([[1.0], [1.0]]), np.array([[10.0, 0.0]])
            >>> down = LinearCache(x, a, has_bias=False, transposed=False)
            >>> up = LinearCache(0.5 * x @ a, b, has_bias=False, transposed=False)
            >>> cache = LoraCache(w=np.eye(2), scale=0.5, down=down, up=up)
            >>> dx, da, db = lora_backward(np.array([[1.0, 1.0]]), cache)
            >>> dx
            array([[6., 6.]])
            >>> da
            array([[ 5.],
                   [10.]])
            >>> db
            array([[1.5, 1.5]])
        """,
        hints=(
            "y has two summands, and dy is the gradient of both. The second is a linear layer on "
            "top of another one.",
            "Find dlow first. Then low = scale x a gives da, and a part of dx: the scale belongs "
            "to both.",
            "dx is the sum of what comes through w and what comes through a. For da and db put "
            "all positions into rows (reshape to (-1, features)).",
        ),
        points=2,
    ),
    Exercise(
        id="average_gradients",
        unit="distributed",
        title="All-reduce: the average over workers",
        functions=(average_gradients,),
        goal="Several workers each saw a part of the batch and computed the gradient of their mean "
        "loss. Average them as if one worker had seen it all. Return a new array.",
        formula="""
            sum over workers of count gradient / sum over workers of count;  0 without a target
        """,
        example="""
            >>> gradients = [np.array([1.0, 0.0]), np.array([5.0, 4.0])]
            >>> average_gradients(gradients, [3, 1])
            array([2., 1.])
        """,
        hints=(
            "A worker with 3 targets speaks for 3, one with 1 for 1: the plain mean of the "
            "gradients would not be the gradient of the whole batch.",
            "It is two sums, one of arrays and one of numbers, and a division at the end.",
            "Use Python floats as weights, to keep float32 as it is. If no worker has a target "
            "both sums are 0: divide by 1.",
        ),
    ),
)
