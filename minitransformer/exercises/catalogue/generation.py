"""From probabilities to text."""

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise
from minitransformer.generation import beam_search, repetition_penalty, top_k, top_p

EXERCISES = (
    Exercise(
        id="top_k",
        unit="generation",
        title="Top-k: only the likeliest tokens",
        functions=(top_k,),
        goal="Forbid all but the k most likely tokens: a forbidden token gets the logit -inf. "
        "The logits themselves must not change: return a new array.",
        formula="""
            limit = the k-th largest logit of the row
            logits below the limit become -inf; those equal to it stay, even if they are several
            k = 0, or k >= V, keeps all
        """,
        example="""
            >>> top_k(np.array([1.0, 4.0, 3.0, 2.0]), 2)
            array([-inf,   4.,   3., -inf])
            >>> top_k(np.array([[1.0, 1.0, 0.0], [5.0, 6.0, 7.0]]), 1)
            array([[  1.,   1., -inf],
                   [-inf, -inf,   7.]])
        """,
        hints=(
            "Sort a copy along the last axis: where in it is the k-th largest?",
            "Each row has its own limit. Keep the axis, so that the limits line up with the "
            "logits: shape (..., 1).",
            "np.where between -inf and the logits. A limit, not a list of indices, treats ties as "
            "asked. Return a copy where all are kept.",
        ),
    ),
    Exercise(
        id="top_p",
        unit="generation",
        title="Top-p: the nucleus",
        functions=(top_p,),
        goal="Forbid the unlikely tail: keep the smallest set of likely tokens whose probabilities "
        "add up to p. When the model is sure few are kept, when it is not many are.",
        formula="""
            a token stays while the tokens more likely than it have, together, less than p
            the most likely token always stays; p = 1 keeps all
            forbidden tokens get the logit -inf, in a new array
        """,
        example="""
            >>> logits = np.log(np.array([0.15, 0.5, 0.05, 0.3]))
            >>> top_p(logits, 0.7).round(2)  # 0.5 is not enough, 0.5 + 0.3 is
            array([ -inf, -0.69,  -inf, -1.2 ])
            >>> np.exp(top_p(logits, 0.0))
            array([0. , 0.5, 0. , 0. ])
        """,
        hints=(
            "Sort the probabilities in descending order (argsort of the negative logits), and "
            "take the cumulative sum.",
            "The question is about the mass before a token, not up to and with it: shift the "
            "cumulative sum by one place.",
            "Decide in sorted order, then bring the decisions back to their places: "
            "np.put_along_axis with the same order. Compute the probabilities in float64.",
        ),
        points=2,
    ),
    Exercise(
        id="repetition_penalty",
        unit="generation",
        title="Discouraging repetition",
        functions=(repetition_penalty,),
        goal="Make every token that was seen before less likely, once, however often it was seen. "
        "Return a new array.",
        formula="""
            logit of a seen token <- logit / penalty if it is positive, logit penalty if negative
        """,
        example="""
            >>> repetition_penalty(np.array([2.0, -1.0, 3.0]), [0, 1, 0], 2.0)
            array([ 1., -2.,  3.])
        """,
        hints=(
            "Why two cases? Divide -1 by 2 and see whether the token became less likely.",
            "A token seen twice is penalised once: mark the tokens that were seen first, then "
            "change all of them at once.",
            "A boolean array in the shape of the logits, True at the ids; ids may be one list for "
            "all rows, or one row of ids for each row. Then two np.where. No ids: a copy.",
        ),
    ),
    Exercise(
        id="kv_append",
        unit="generation",
        title="The KV cache",
        functions=(ops.kv_append,),
        goal="Remember the keys and values of the tokens read so far, so that none is ever "
        "computed again. The buffers were allocated once; write the new ones behind those that "
        "are there, and return views of the part that is filled.",
        formula="""
            keys[:, :, length : length + T] <- k,   values likewise
            returned: the first length + T positions of both buffers
        """,
        example="""
            >>> keys, values = np.zeros((1, 1, 4, 1)), np.zeros((1, 1, 4, 2))
            >>> two, one = np.ones((1, 1, 2, 1)), np.array([[[[5.0]]]])
            >>> all_k, all_v = kv_append(keys, values, 0, two, np.repeat(two, 2, axis=-1))
            >>> all_k, all_v = kv_append(keys, values, 2, one, np.array([[[[6.0, 7.0]]]]))
            >>> all_k[0, 0, :, 0]
            array([1., 1., 5.])
            >>> all_v.shape, np.shares_memory(all_v, values)
            ((1, 1, 3, 2), True)
        """,
        hints=(
            "T, the number of new positions, can be read off k. Positions are axis 2.",
            "Writing into a slice changes the buffer; np.concatenate would make a new array each "
            "time, and generation would take quadratic time.",
            "A slice of an array is a view: it costs nothing, and this is what to return.",
        ),
    ),
    Exercise(
        id="beam_search",
        unit="generation",
        title="Beam search",
        functions=(beam_search,),
        goal="The likeliest first word need not begin the likeliest sentence. Keep the `width` "
        "most likely beginnings in view, and return the best hypothesis with its score. "
        "`step(tokens)` takes all tokens so far, start included, and returns the "
        "log-probabilities (V,) of the next one.",
        formula="""
            score = sum of log-probabilities / (number of new tokens)^length_penalty
            at each length, of all continuations of all beams, take the 2 width best (by their sum):
                those that end with `end` are finished, if they are among the first `width`
                the first `width` that do not end are the next beams
            at max_length the unfinished compete with the finished; the best score wins
        """,
        example="""
            >>> def step(tokens):  # token 0 ends; after 9 comes 1, most likely, or 2
            ...     after = {9: [0.02, 0.58, 0.4], 1: [0.3, 0.4, 0.3], 2: [0.9, 0.05, 0.05]}
            ...     return np.log(np.array(after[tokens[-1]]))
            >>> tokens, score = beam_search(
            ...     step, 9, end=0, width=2, max_length=2, length_penalty=0.0
            ... )
            >>> tokens, round(score, 3)  # 0.4 times 0.9
            ([2, 0], -1.022)
            >>> beam_search(step, 9, end=0, width=1, max_length=2, length_penalty=0.0).tokens
            [1, 1]
        """,
        hints=(
            "A beam is a list of new tokens and a sum of log-probabilities. Write one round first: "
            "all continuations of all beams by one token, best first.",
            "Why twice the width? Every beam may bring one candidate that ends, and enough must "
            "be left to go on with. -inf forbids a token: leave it out. `end` may be None.",
            "Finished hypotheses go to a list of their own and are not continued. You may stop "
            "when no beam is left; stopping earlier is right only if no beam can still win: "
            "sums only fall. The end token counts in the length, start does not.",
        ),
        points=3,
    ),
)
