"""Write the test: proofs that can fail."""

from minitransformer import ops
from minitransformer.exercises import model_tests
from minitransformer.exercises.exercise import Exercise
from minitransformer.tokenizers import bpe_merge

RULES = (
    "Your test is called with the right version, which it must accept, and with many wrong ones, "
    "the mistakes that people really make: raise AssertionError (assert) on as many as you can. "
)

EXERCISES = (
    Exercise(
        id="test_softmax_forward",
        unit="write_the_test",
        title="Write the test: softmax",
        functions=(model_tests.test_softmax_forward,),
        goal=f"{RULES}Here: `y, cache = softmax_forward(x, mask=None)` over the last axis.",
        formula="""
            y[j] = exp(x[j]) / sum over k of exp(x[k]), over what the mask leaves open (True)
            what is masked is exactly 0; a row in which nothing is open is 0 throughout
        """,
        example="""
            >>> def always_even(x, mask=None):  # its rows sum to 1, too
            ...     return np.full(x.shape, 1 / x.shape[-1]), None
            >>> try:
            ...     test_softmax_forward(always_even)
            ... except AssertionError:
            ...     print("found")
            found
        """,
        hints=(
            "Rows that sum to 1 prove little: many wrong functions do that too. Compare with the "
            "definition, written as plainly as you can.",
            "A test sees only what it asks for: several axes of different lengths, scores of a "
            "thousand, a mask, a mask that hides a whole row, float32.",
            "NaN compares as unequal, so np.allclose with the right numbers also finds the rows "
            "that became NaN. Ask for exactly 0 where the mask is False.",
        ),
        points=2,
        kind="test",
        on_trial=(ops.softmax_forward,),
    ),
    Exercise(
        id="test_layer_norm_backward",
        unit="write_the_test",
        title="Write the test: the backward of layer norm",
        functions=(model_tests.test_layer_norm_backward,),
        goal=f"{RULES}Here: `y, cache = layer_norm_forward(x, gamma, beta, eps=1e-5)`, which is "
        "right, and `dx, dgamma, dbeta = layer_norm_backward(dy, cache)`, which may be wrong.",
        formula="""
            for a small step in one argument:  sum of dy (change of y) = sum of gradient (step)
            change of y = ( forward(x + step) - forward(x - step) ) / 2
        """,
        example="""
            >>> from minitransformer.ops import layer_norm_forward
            >>> def knows_nothing(dy, cache):
            ...     return dy, cache.gamma, cache.gamma
            >>> try:
            ...     test_layer_norm_backward(layer_norm_forward, knows_nothing)
            ... except AssertionError:
            ...     print("found")
            found
        """,
        hints=(
            "dy of ones is blind: the sum of a normalised row does not depend on x at all. And "
            "gamma = 1 hides every mistake with gamma. Draw everything at random.",
            "Test all three gradients, each with a random step in its own argument, in float64. "
            "A step of 1e-6 and a relative tolerance of 1e-5 go well together.",
            "Let the axes have different lengths, none of them 1, and more than one position: "
            "sums and means over the wrong axis hide where a length is 1.",
        ),
        points=2,
        kind="test",
        on_trial=(ops.layer_norm_forward, ops.layer_norm_backward),
    ),
    Exercise(
        id="test_attention_backward",
        unit="write_the_test",
        title="Write the test: the backward of attention",
        functions=(model_tests.test_attention_backward,),
        goal=f"{RULES}Here: `attention_forward(q, k, v, mask=None, causal=False, scale=None, "
        "keep=None, p=0.0)`, which is right, and `dq, dk, dv = attention_backward(dy, cache)`, "
        "which may be wrong.",
        formula="""
            for a small step in one argument:  sum of dy (change of y) = sum of gradient (step)
            change of y = ( forward(q + step, ...) - forward(q - step, ...) ) / 2
        """,
        example="""
            >>> from minitransformer.ops import attention_backward, attention_forward
            >>> def forgets_the_scale(dy, cache):
            ...     dq, dk, dv = attention_backward(dy, cache)
            ...     return dq / cache.scale, dk, dv
            >>> try:
            ...     test_attention_backward(attention_forward, forgets_the_scale)
            ... except AssertionError:
            ...     print("found")
            found
        """,
        hints=(
            "T and S, D and Dv: let all lengths differ, so that no axis can be taken for another.",
            "Options are where mistakes hide: a mask with a row that sees nothing, causal, a scale "
            "of your own, dropout (keep and p together).",
            "Half as many key heads as query heads finds those who forget to add up what the heads "
            "of a group send to their shared key. With one key head for all, less is found.",
        ),
        points=3,
        kind="test",
        on_trial=(ops.attention_forward, ops.attention_backward),
    ),
    Exercise(
        id="test_adamw_step",
        unit="write_the_test",
        title="Write the test: AdamW",
        functions=(model_tests.test_adamw_step,),
        goal=f"{RULES}Here: `adamw_step(parameter, grad, m, v, t, lr, beta1=0.9, beta2=0.999, "
        "eps=1e-8, weight_decay=0.0)`, which updates parameter, m and v in place.",
        formula="""
            p <- p (1 - lr weight_decay)
            m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
            p <- p - lr (m / (1 - beta1^t)) / ( sqrt(v / (1 - beta2^t)) + eps )
        """,
        example="""
            >>> def only_descends(parameter, grad, m, v, t, lr, *settings, **more_settings):
            ...     parameter -= lr * grad
            >>> try:
            ...     test_adamw_step(only_descends)
            ... except AssertionError:
            ...     print("found")
            found
        """,
        hints=(
            "One step from m = v = 0 proves little: there Adam's step is lr, whatever it does. "
            "Take several, with t = 1, 2, 3.",
            "With eps = 1e-8 nobody sees where eps stands. Choose settings large enough to be "
            "seen: eps = 0.01, weight_decay = 0.3, and betas that are not close to 1.",
            "Write the four lines of the formula once more, for single numbers, and compare "
            "parameter, m and v after each step. And see that grad is still what it was.",
        ),
        points=2,
        kind="test",
        on_trial=(ops.adamw_step,),
    ),
    Exercise(
        id="test_bpe_merge",
        unit="write_the_test",
        title="Write the test: a merge",
        functions=(model_tests.test_bpe_merge,),
        goal=f"{RULES}Here: `bpe_merge(ids, pair, new_id)`, which returns a new list.",
        formula="""
            every occurrence of the pair becomes new_id, from left to right and without overlap
        """,
        example="""
            >>> def merges_once(ids, pair, new_id):
            ...     for i in range(len(ids) - 1):
            ...         if (ids[i], ids[i + 1]) == pair:
            ...             return ids[:i] + [new_id] + ids[i + 2 :]
            ...     return ids[:]
            >>> try:
            ...     test_bpe_merge(merges_once)
            ... except AssertionError:
            ...     print("found")
            found
        """,
        hints=(
            "Think of where a loop goes wrong: at the first id, at the last, after a merge.",
            "A pair of two equal ids in a row of three or four: who merges too much, who too "
            "little? And what of a list with one id, or none?",
            "What was merged may look like half a pair again, if new_id is one of the two: it "
            "must not be merged twice. And the given list must stay as it is.",
        ),
        kind="test",
        on_trial=(bpe_merge,),
    ),
)
