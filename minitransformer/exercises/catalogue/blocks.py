"""Residual blocks, run backwards."""

from minitransformer.exercises.exercise import Exercise
from minitransformer.nn.blocks import post_norm_block_backward, pre_norm_block_backward

PARTS = (
    "The block's parts (attention, feed_forward, two norms, dropout) each have a backward that "
    "takes a gradient and the part's own cache, returns the gradient of what went in, and adds up "
    "the gradients of its parameters. Return dx alone; dy must not change."
)

EXERCISES = (
    Exercise(
        id="pre_norm_block_backward",
        unit="blocks",
        title="The backward of a block with the norms first",
        functions=(pre_norm_block_backward,),
        goal="The block of GPT-2: the residual path is never normalised, so that the gradient "
        f"arrives undiminished. {PARTS}",
        formula="""
            x1 = x + dropout(attention(attention_norm(x)))
            y = x1 + dropout(feed_forward(feed_forward_norm(x1)))
            block.dropout serves twice: cache.attention_dropout, cache.feed_forward_dropout
        """,
        example="""
            >>> from types import SimpleNamespace
            >>> double = SimpleNamespace(backward=lambda dy, cache: 2 * dy)
            >>> same = SimpleNamespace(backward=lambda dy, cache: dy)
            >>> block = SimpleNamespace(
            ...     attention_norm=double, attention=double,
            ...     feed_forward_norm=double, feed_forward=double, dropout=same,
            ... )
            >>> cache = BlockCache(*[None] * 6)
            >>> pre_norm_block_backward(block, np.array([[[1.0]]]), cache)  # (1 + 4) (1 + 4)
            array([[[25.]]])
        """,
        hints=(
            "Where x goes two ways forward, along the residual path and through the parts, two "
            "gradients arrive backward. They are added.",
            "Begin with the second line: dropout, feed_forward, feed_forward_norm, in this order, "
            "give the gradient that came through the parts; add dy to it. This is the gradient "
            "of x1.",
            "The first line is the same with attention. Write dx = dx + dy rather than "
            "dy += ..., which would overwrite the caller's array.",
        ),
        points=2,
    ),
    Exercise(
        id="post_norm_block_backward",
        unit="blocks",
        title="The backward of a block with the norms last",
        functions=(post_norm_block_backward,),
        goal="The block of 2017: each norm stands behind the sum, so that every gradient has to "
        f"pass through it. {PARTS}",
        formula="""
            x1 = attention_norm(x + dropout(attention(x)))
            y = feed_forward_norm(x1 + dropout(feed_forward(x1)))
            block.dropout serves twice: cache.attention_dropout, cache.feed_forward_dropout
        """,
        example="""
            >>> from types import SimpleNamespace
            >>> double = SimpleNamespace(backward=lambda dy, cache: 2 * dy)
            >>> same = SimpleNamespace(backward=lambda dy, cache: dy)
            >>> block = SimpleNamespace(
            ...     attention_norm=double, attention=double,
            ...     feed_forward_norm=double, feed_forward=double, dropout=same,
            ... )
            >>> cache = BlockCache(*[None] * 6)
            >>> post_norm_block_backward(block, np.array([[[1.0]]]), cache)  # 2 (1 + 2) 2 (1 + 2)
            array([[[36.]]])
        """,
        hints=(
            "The last thing that forward did is the norm: its backward comes first.",
            "It gives the gradient of the sum inside, total = x1 + update. This one gradient goes "
            "both ways: along the residual path, and through dropout and feed_forward.",
            "Where the two meet again, add them: that is the gradient of x1, and the dy of the "
            "first line. On the residual path passes the gradient of the sum, not dy.",
        ),
        points=2,
    ),
)
