"""Masks, scaled dot-product attention, heads."""

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise
from minitransformer.nn.attention import multi_head_attention_backward

ATTENTION = (
    Exercise(
        id="causal_mask",
        unit="attention",
        title="The causal mask",
        functions=(ops.causal_mask,),
        goal="A language model must not look at what it is to predict. True means: may attend.",
        formula="""
            the last of T queries sees all S keys, the one before it all but the last, and so on
            with T > S the first T - S queries see nothing
        """,
        example="""
            >>> causal_mask(3, 3)
            array([[ True, False, False],
                   [ True,  True, False],
                   [ True,  True,  True]])
            >>> causal_mask(2, 4)  # two new queries after two tokens that were read before
            array([[ True,  True,  True, False],
                   [ True,  True,  True,  True]])
        """,
        hints=(
            "Compare an axis of query numbers with an axis of key numbers; broadcasting makes the "
            "table.",
            "It is aligned to the bottom right: query t stands at place t + S - T of the text.",
            "np.arange(T)[:, None] is the one axis, np.arange(S) the other. A query sees its own "
            "place too, so the comparison is not strict.",
        ),
    ),
    Exercise(
        id="padding_mask",
        unit="attention",
        title="The padding mask",
        functions=(ops.padding_mask,),
        goal="Texts of a batch differ in length, and padding fills the rest. Hide the padding from "
        "all heads and all queries. True means: may attend.",
        formula="""
            mask[b, 0, 0, s] = s is one of the first lengths[b] positions
        """,
        example="""
            >>> padding_mask(np.array([1, 3]), 3)
            array([[[[ True, False, False]]],
            <BLANKLINE>
            <BLANKLINE>
                   [[[ True,  True,  True]]]])
        """,
        hints=(
            "It is one comparison of np.arange(S) with lengths. The two need axes that broadcast.",
            "Axes of length 1 stand for 'the same for all': the mask is (B, 1, 1, S), and serves "
            "scores of shape (B, H, T, S).",
            "lengths[:, None, None, None] has four axes. Positions count from 0: with length 1 "
            "only position 0 is seen.",
        ),
    ),
    Exercise(
        id="attention_forward",
        unit="attention",
        title="Attention: masked, causal, with grouped queries",
        functions=(ops.attention_forward,),
        goal="Every query takes the mean of the values, weighted by how well it matches their "
        "keys. Masks hide keys, and a query that sees nothing gets 0. With grouped queries "
        "(Hk < H) several query heads share one key head. Dropout, if keep is given, falls on the "
        "probabilities.",
        formula="""
            scores = scale q k^T                  (B, H, T, S);   scale = 1 / sqrt(D) if it is None
            probs = softmax(scores) over the keys that mask and causal both allow
            y = (probs keep / (1 - p)) v          (B, H, T, Dv);  probs v if keep is None
            query head h reads key head h // (H / Hk)
            causal: the last query sees all keys, the one before all but the last, and so on
        """,
        example="""
            >>> q = np.array([[[[1.0, 0.0]]]])
            >>> k = np.array([[[[np.log(3.0), 0.0], [0.0, 5.0]]]])
            >>> v = np.array([[[[4.0], [0.0]]]])
            >>> y, cache = attention_forward(q, k, v, scale=1.0)
            >>> cache.probs  # the first key matches: exp(log 3) = 3 to exp(0) = 1
            array([[[[0.75, 0.25]]]])
            >>> y
            array([[[[3.]]]])
            >>> attention_forward(q, k, v, mask=np.array([False, True]))[0]
            array([[[[0.]]]])
        """,
        hints=(
            "Begin with Hk = H, no mask and no dropout: two products (@ does the batches) and a "
            "softmax between them. Ask `scale is None`: a scale of 0.0 is a scale.",
            "Combine mask and the causal mask by &. Masked scores become -inf; rows of nothing "
            "but -inf must become 0, not NaN.",
            "For grouped queries either repeat each key head H / Hk times (np.repeat along axis "
            "1, not np.tile), or lay the query heads that share a key head under one another by "
            "a reshape to (B, Hk, H // Hk * T, D). The cache keeps the probabilities before "
            "dropout, and k and v as they came.",
        ),
        points=3,
    ),
    Exercise(
        id="attention_backward",
        unit="attention",
        title="The backward of attention",
        functions=(ops.attention_forward, ops.attention_backward),
        goal="Two products and a softmax, from the last line up to the first. Key and value heads "
        "that several query heads share receive the sum of their gradients.",
        formula="""
            scores = scale q k^T
            probs = softmax(scores)
            y = (probs keep / (1 - p)) v;   probs v if keep is None
            softmax: dscores = probs (dprobs - the row's sum of dprobs probs)
        """,
        example="""
            >>> cache = AttentionCache(
            ...     q=np.array([[[[1.0, 0.0]]]]),
            ...     k=np.array([[[[2.0, 0.0], [0.0, 4.0]]]]),
            ...     v=np.array([[[[4.0], [0.0]]]]),
            ...     probs=np.array([[[[0.75, 0.25]]]]),
            ...     scale=0.5,
            ...     keep=None,
            ...     p=0.0,
            ... )
            >>> dq, dk, dv = attention_backward(np.array([[[[1.0]]]]), cache)
            >>> dq
            array([[[[ 0.75, -1.5 ]]]])
            >>> dk
            array([[[[ 0.375,  0.   ],
                     [-0.375,  0.   ]]]])
            >>> dv
            array([[[[0.75],
                     [0.25]]]])
        """,
        hints=(
            "From the bottom: y is a product of the (dropped) probabilities and v. What is the "
            "gradient of each factor of a product of matrices?",
            "Through dropout a gradient goes as the probabilities went: the same keep, the same "
            "1 / (1 - p). Then softmax's backward, then the product of q and k, of which both "
            "factors carry the scale.",
            "With grouped queries compute dk and dv for all H heads, then sum over the heads that "
            "share: reshape (B, H, S, D) to (B, Hk, H // Hk, S, D) and sum over axis 2. Masked "
            "scores need no treatment: their probability is 0, and it is a factor.",
        ),
        points=3,
    ),
)

HEADS = (
    Exercise(
        id="split_heads_forward",
        unit="heads",
        title="Splitting heads",
        functions=(ops.split_heads_forward,),
        goal="One linear layer makes queries, keys and values of all heads, side by side. Give "
        "every head its own slice, and cut the heads into parts: heads=(8, 2, 2) is 8 query "
        "heads, 2 key heads and 2 value heads.",
        formula="""
            element [b, t, h D + d]  moves to  [b, h, t, d],   D = F / sum(heads)
            the parts are heads[0], heads[1], ... successive heads
        """,
        example="""
            >>> x = np.arange(12.0).reshape(1, 2, 6)  # two positions, three heads of width 2
            >>> (two, one), cache = split_heads_forward(x, (2, 1))
            >>> two
            array([[[[0., 1.],
                     [6., 7.]],
            <BLANKLINE>
                    [[2., 3.],
                     [8., 9.]]]])
            >>> one
            array([[[[ 4.,  5.],
                     [10., 11.]]]])
        """,
        hints=(
            "Reshape (B, T, F) to (B, T, heads, D) first. Which two axes are then in the wrong "
            "order?",
            "Reshaping to (B, heads, T, D) at once would mix up positions and features: only "
            "transpose exchanges axes.",
            "Cut axis 1 at the running sums of `heads`. Copy each part: results share no memory "
            "with x. The value is a tuple of parts, even of one.",
        ),
    ),
    Exercise(
        id="merge_heads_forward",
        unit="heads",
        title="Merging heads",
        functions=(ops.merge_heads_forward,),
        goal="Lay the features of all heads side by side again, for the linear layer that mixes "
        "them.",
        formula="""
            element [b, h, t, d]  moves to  [b, t, h D + d]
        """,
        example="""
            >>> x = np.array([[[[0.0, 1.0], [4.0, 5.0]], [[2.0, 3.0], [6.0, 7.0]]]])
            >>> merge_heads_forward(x)[0]  # two heads, two positions, width 2
            array([[[0., 1., 2., 3.],
                    [4., 5., 6., 7.]]])
        """,
        hints=(
            "It undoes the splitting: the same two steps, in the opposite order.",
            "First exchange the axes of heads and positions, then join the last two axes.",
            "A reshape may return a view of x: see to it that y has memory of its own, even with "
            "one head or one position.",
        ),
    ),
    Exercise(
        id="multi_head_attention_backward",
        unit="heads",
        title="The backward of multi-head attention",
        functions=(multi_head_attention_backward,),
        goal="You have the parts; run them backwards. Each part of `attention` has a backward that "
        "takes a gradient and this part's cache, and adds up the gradients of its own "
        "parameters: `attention.projection.backward(dy, cache.mix.projection)`. The functions "
        "without parameters are in `minitransformer.ops`. Return dx alone.",
        formula="""
            fused = query_key_value(x)              cache.query_key_value
            q, k, v = split_heads(fused)            cache.split
            q, k = rotary(q), rotary(k)             cache.rotary_query, cache.rotary_key
            heads = attention(q, k, v)              cache.mix.attention
            merged = merge_heads(heads)             cache.mix.merge
            y = projection(merged)                  cache.mix.projection
            attention.rotary is None if queries and keys are not rotated
        """,
        example="""
            >>> from minitransformer.nn import MultiHeadAttention
            >>> attention = MultiHeadAttention(2, 1, np.random.default_rng(0), dtype=np.float64)
            >>> attention.query_key_value.weight.data[...] = np.tile(np.eye(2), 3)
            >>> attention.projection.weight.data[...] = 2 * np.eye(2)
            >>> y, cache = attention(np.array([[[1.0, 3.0]]]))  # attends to itself: y = 2 x
            >>> multi_head_attention_backward(attention, np.array([[[1.0, 10.0]]]), cache)
            array([[[ 2., 20.]]])
            >>> attention.projection.weight.grad  # merged^T dy
            array([[ 1., 10.],
                   [ 3., 30.]])
        """,
        hints=(
            "Read the formula from the last line to the first; each line becomes one call.",
            "Backwards of ops return tuples, also of one gradient: (dheads,) = "
            "ops.merge_heads_backward(...). Backwards of parts return the gradient itself.",
            "ops.attention_backward returns three gradients. Send dq and dk back through "
            "attention.rotary, if there is one, each with its own cache. split_heads_backward "
            "takes the three gradients as one tuple.",
        ),
        points=2,
    ),
)
