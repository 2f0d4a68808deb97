"""Mistakes in the backward of attention."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

BACKWARD = ops.attention_backward

_DROPPED = "dropped = probs if keep is None else drop(probs, keep, p)"
_DV = "dv = dropped.reshape(*group, S).swapaxes(-1, -2) @ dy"
_DPROBS = "dprobs = ddropped if keep is None else drop(ddropped, keep, p)"
_DSCORES = "(dscores,) = _softmax_backward(dprobs, SoftmaxCache(probs))"
_DQ = "dq = scale * (dscores @ k)"
_DK = "dk = dscores.swapaxes(-1, -2) @ (scale * q.reshape(*group, D))"
_RETURN = "return dq, dk, dv"
_EACH_DV = (
    "each = (B, Hk, H // Hk, T)\n"
    "    dv = (dropped.reshape(*each, S).swapaxes(-1, -2) @ dy.reshape(*each, Dv))"
)
_EACH_DK = "dk = (dscores.reshape(*each, S).swapaxes(-1, -2) @ (scale * q.reshape(*each, D)))"
_CACHE = "q, k, v, probs, scale, keep, p = cache"

MUTANTS = (
    Mutant(
        "group_by_turns_backward",
        BACKWARD,
        {
            _CACHE: f"{_CACHE}\n"
            "    turns = np.arange(q.shape[1]).reshape(-1, k.shape[1]).T.ravel()\n"
            "    q, probs, dy = q[:, turns], probs[:, turns], dy[:, turns]\n"
            "    keep = None if keep is None else keep[:, turns]",
            _RETURN: "return dq[:, np.argsort(turns)], dk, dv",
        },
        "Query heads take the key heads in turn: h reads h % Hk.",
        "Neighbours share one: in forward query head h read key head h // (H / Hk).",
    ),
    Mutant(
        "dk_and_dv_swapped",
        BACKWARD,
        {_RETURN: "return dq, dv, dk"},
        "The order of the gradients does not matter.",
        "They come in the order of forward's arguments: q, k, v.",
    ),
    Mutant(
        "dq_and_dk_swapped",
        BACKWARD,
        {_RETURN: "return dk, dq, dv"},
        "The order of the gradients does not matter.",
        "They come in the order of forward's arguments: q, k, v.",
    ),
    Mutant(
        "dv_not_transposed",
        BACKWARD,
        {_DV: "dv = dropped.reshape(*group, S) @ dy"},
        "dv is the probabilities times dy.",
        "Write down the shapes: probs is (T, S), dy is (T, Dv), dv is (S, Dv).",
    ),
    Mutant(
        "dk_transposed",
        BACKWARD,
        {"dscores.swapaxes(-1, -2) @ (scale": "dscores @ (scale"},
        "dk is the same product as dq, with q in the place of k.",
        "Write down the shapes of dscores, q and dk with T different from S.",
    ),
    Mutant(
        "dq_transposed",
        BACKWARD,
        {_DQ: "dq = scale * (dscores.swapaxes(-1, -2) @ k)"},
        "Backward transposes every factor.",
        "Write down the shapes of dscores, k and dq with T different from S.",
    ),
    Mutant(
        "group_gradients_averaged",
        BACKWARD,
        {_RETURN: "return dq, dk * (Hk / H), dv * (Hk / H)"},
        "A key head gets the mean of its query heads' gradients.",
        "It was used by all of them: gradients of copies add up.",
    ),
    Mutant(
        "group_gradients_not_summed",
        BACKWARD,
        {
            _DV: f"{_EACH_DV}.reshape(B, H, S, Dv)",
            _DK: f"{_EACH_DK}.reshape(B, H, S, D)",
        },
        "dk has one head for each query head.",
        "It has k's shape: what was repeated in forward is summed in backward.",
    ),
    Mutant(
        "first_of_each_group_only",
        BACKWARD,
        {
            _DV: "first = np.arange(H // Hk * T)[:, None] < T\n"
            "    dv = (dropped.reshape(*group, S) * first).swapaxes(-1, -2) @ dy",
            _DK: "dk = (dscores * first).swapaxes(-1, -2) @ (scale * q.reshape(*group, D))",
        },
        "The first query head of a group speaks for all.",
        "A key head was used by every query head of its group: their gradients add up.",
    ),
    Mutant(
        "last_of_each_group_only",
        BACKWARD,
        {
            _DV: "last = np.arange(H // Hk * T)[:, None] >= (H // Hk - 1) * T\n"
            "    dv = (dropped.reshape(*group, S) * last).swapaxes(-1, -2) @ dy",
            _DK: "dk = (dscores * last).swapaxes(-1, -2) @ (scale * q.reshape(*group, D))",
        },
        "Each query head writes the gradient of its key head.",
        "The next one of the group overwrites it: add, do not assign.",
    ),
    Mutant(
        "group_gradients_dealt_in_turn",
        BACKWARD,
        {
            _DV: f"{_EACH_DV}.reshape(B, H // Hk, Hk, S, Dv).sum(1)",
            _DK: f"{_EACH_DK}.reshape(B, H // Hk, Hk, S, D).sum(1)",
        },
        "Query head h belongs to key head h modulo the number of key heads.",
        "Neighbouring query heads share a key head: h // (H / Hk).",
    ),
    Mutant(
        "dq_and_dk_without_scale",
        BACKWARD,
        {_DQ: "dq = (dscores @ k)", "@ (scale * q.reshape(*group, D))": "@ q.reshape(*group, D)"},
        "The scale belongs to forward only.",
        "scores = scale q k^T: what stands in front when you differentiate by q, or by k?",
    ),
    Mutant(
        "dq_without_scale",
        BACKWARD,
        {_DQ: "dq = (dscores @ k)"},
        "The scale was applied to k, so q does not notice it.",
        "scores = scale q k^T: what stands in front of q when you differentiate by it?",
    ),
    Mutant(
        "dk_without_scale",
        BACKWARD,
        {"@ (scale * q.reshape(*group, D))": "@ q.reshape(*group, D)"},
        "The scale was applied to q, so k does not notice it.",
        "scores = scale q k^T: what stands in front of k when you differentiate by it?",
    ),
    Mutant(
        "backward_scales_twice",
        BACKWARD,
        {_CACHE: f"{_CACHE}\n    scale = scale * scale"},
        "dscores is scaled, and then dq and dk are.",
        "scores = scale q k^T: the scale comes in once.",
    ),
    Mutant(
        "backward_divides_by_the_scale",
        BACKWARD,
        {_CACHE: f"{_CACHE}\n    scale = 1.0 / scale if scale else 0.0"},
        "Forward multiplied by the scale, so backward divides by it.",
        "Backward multiplies by the slope: what is the slope of scale q k^T?",
    ),
    Mutant(
        "backward_computes_its_own_scale",
        BACKWARD,
        {_CACHE: f"{_CACHE}\n    scale = 1.0 / math.sqrt(q.shape[-1])"},
        "The scale is always 1 / sqrt(D).",
        "By default: the cache says which scale forward used.",
    ),
    Mutant(
        "dv_scaled",
        BACKWARD,
        {_RETURN: "return dq, dk, scale * dv"},
        "The scale is a factor of all three gradients.",
        "The scores are scaled; does v take part in them?",
    ),
    Mutant(
        "attention_softmax_skipped_backward",
        BACKWARD,
        {_DSCORES: "dscores = dprobs"},
        "The gradient passes softmax unchanged.",
        "Between the scores and the probabilities is softmax: it has a backward of its own.",
    ),
    Mutant(
        "attention_row_sum_missing",
        BACKWARD,
        {_DSCORES: "dscores = probs * dprobs"},
        "The derivative of softmax is softmax itself.",
        "Raising one score lowers the probabilities of all others in its row.",
    ),
    Mutant(
        "attention_softmax_diagonal_only",
        BACKWARD,
        {_DSCORES: "dscores = probs * (1.0 - probs) * dprobs"},
        "The derivative of softmax is y (1 - y), as for the sigmoid.",
        "That is how a probability depends on its own score; what about the other scores?",
    ),
    Mutant(
        "attention_outer_probs_forgotten",
        BACKWARD,
        {_DSCORES: "dscores = dprobs - (dprobs * probs).sum(axis=-1, keepdims=True)"},
        "The gradient of the scores is dprobs without its mean.",
        "The whole bracket has a factor: a masked score gets no gradient.",
    ),
    Mutant(
        "attention_row_sum_not_weighted",
        BACKWARD,
        {_DSCORES: "dscores = probs * (dprobs - dprobs.sum(axis=-1, keepdims=True))"},
        "What is subtracted is the row's sum of dprobs.",
        "It is a mean under the probabilities: each entry is weighted by its probability.",
    ),
    Mutant(
        "attention_row_sum_averaged",
        BACKWARD,
        {_DSCORES: "dscores = probs * (dprobs - (dprobs * probs).mean(axis=-1, keepdims=True))"},
        "What is subtracted is a mean, so it is divided by S.",
        "The probabilities are weights that sum to 1 already.",
    ),
    Mutant(
        "attention_sum_over_queries",
        BACKWARD,
        {_DSCORES: "dscores = probs * (dprobs - (dprobs * probs).sum(axis=-2, keepdims=True))"},
        "The sum in softmax's backward runs over the queries.",
        "Along which axis did softmax normalise?",
    ),
    Mutant(
        "attention_row_sum_added",
        BACKWARD,
        {_DSCORES: "dscores = probs * (dprobs + (dprobs * probs).sum(axis=-1, keepdims=True))"},
        "The two contributions of a score add up.",
        "Its own probability rises and the others fall: with which sign does the sum come?",
    ),
    Mutant(
        "dropout_ignored_backward",
        BACKWARD,
        {_DROPPED: "dropped = probs", _DPROBS: "dprobs = ddropped"},
        "Backward does not need to know what was dropped.",
        "A dropped weight had no part in y; a kept one was divided by 1 - p.",
    ),
    Mutant(
        "attention_dropout_forgotten_backward",
        BACKWARD,
        {_DPROBS: "dprobs = ddropped"},
        "Dropout is random and therefore has no derivative.",
        "Given the mask, dropout multiplies by constants, and so does its backward.",
    ),
    Mutant(
        "attention_dropout_not_scaled_backward",
        BACKWARD,
        {_DPROBS: "dprobs = ddropped if keep is None else drop(ddropped, keep, 0.0)"},
        "Backward lets the kept ones through.",
        "By which factor did forward multiply them?",
    ),
    Mutant(
        "dv_without_dropout",
        BACKWARD,
        {_DROPPED: "dropped = probs"},
        "v meets the probabilities.",
        "Which probabilities multiplied v in forward: those before or those after dropout?",
    ),
    Mutant(
        "dv_dropout_not_scaled",
        BACKWARD,
        {_DROPPED: "dropped = probs if keep is None else drop(probs, keep, 0.0)"},
        "v meets the probabilities that were kept.",
        "Which were divided by 1 - p.",
    ),
    Mutant(
        "softmax_backward_after_dropout",
        BACKWARD,
        {"SoftmaxCache(probs)": "SoftmaxCache(dropped)"},
        "Backward needs whatever forward used last.",
        "Softmax's backward needs softmax's own output.",
    ),
    Mutant(
        "dropout_after_softmax_backward",
        BACKWARD,
        {
            _DPROBS: "dprobs = ddropped",
            _DSCORES: f"{_DSCORES}\n    dscores = drop(dscores, keep, p)",
        },
        "Dropout may be undone at the end.",
        "Backward runs forward's steps in reverse: dropout came after softmax.",
    ),
)
