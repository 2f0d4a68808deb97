"""Mistakes in attention, its masks, its heads and its positions."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.attention_forward, ops.attention_backward

_SCALE = "scale = 1.0 / math.sqrt(D) if scale is None else float(scale)"
_CAUSAL = "mask = causal_mask(T, S) if mask is None else mask & causal_mask(T, S)"
_SOFTMAX = "_softmax_forward(scores.reshape(B, H, T, S), mask)"
_DROPPED = "dropped = probs if keep is None else drop(probs, keep, p)"
_SOFTMAX_BACKWARD = "(dscores,) = _softmax_backward(dprobs, SoftmaxCache(probs))"

ATTENTION = (
    Mutant(
        "scale_by_width",
        FORWARD,
        {"1.0 / math.sqrt(D)": "1.0 / D"},
        "Scores grow with D, so they must be divided by D.",
        "A sum of D independent products of variance 1 has variance D; what is its size?",
    ),
    Mutant(
        "scale_forgotten",
        FORWARD,
        {"1.0 / math.sqrt(D)": "1.0"},
        "Softmax normalises anyway, so the size of the scores does not matter.",
        "Softmax ignores a shift of the scores, not a factor.",
    ),
    Mutant(
        "zero_scale_taken_for_none",
        FORWARD,
        {_SCALE: "scale = float(scale or 1.0 / math.sqrt(D))"},
        "An optional number is absent when it is falsy.",
        "0.0 is falsy too; how does one ask for None?",
    ),
    Mutant(
        "mask_upper_triangular",
        FORWARD,
        {_CAUSAL: "mask = causal_mask(S, T).T if mask is None else mask & causal_mask(S, T).T"},
        "A causal mask is the upper triangle.",
        "Row t is a query: which keys may the very first query see?",
    ),
    Mutant(
        "causal_aligned_top_left",
        FORWARD,
        {_CAUSAL: "mask = np.tri(T, S, dtype=bool) & (True if mask is None else mask)"},
        "Query t is always at position t.",
        "With S - T keys from earlier tokens in front, at which position is the first query?",
    ),
    Mutant(
        "causal_hides_the_present",
        FORWARD,
        {_CAUSAL: "mask = np.tri(T, S, S - T - 1, bool) & (True if mask is None else mask)"},
        "A token must not see itself, or the task would be too easy.",
        "What is predicted at position t is token t + 1; may token t be used for that?",
    ),
    Mutant(
        "causal_replaces_the_mask",
        FORWARD,
        {_CAUSAL: "mask = causal_mask(T, S)"},
        "Causal attention needs no other mask.",
        "Padding is still to be hidden: how do two masks combine?",
    ),
    Mutant(
        "mask_inverted",
        FORWARD,
        {_SOFTMAX: _SOFTMAX.replace("mask)", "None if mask is None else ~mask)")},
        "True in a mask means masked out.",
        "Here True means: may attend. Try a mask with a single True.",
    ),
    Mutant(
        "mask_by_minus_1e9",
        FORWARD,
        {
            _SOFTMAX: "_softmax_forward(scores.reshape(B, H, T, S) if mask is None else "
            "np.where(mask, scores.reshape(B, H, T, S), -1e9).astype(q.dtype))"
        },
        "-1e9 is as good as minus infinity.",
        "What does a query get that may attend to nothing, when all its scores are -1e9?",
    ),
    Mutant(
        "mask_after_softmax",
        FORWARD,
        {
            f"probs, _ = {_SOFTMAX}": "probs, _ = _softmax_forward(scores.reshape(B, H, T, S))\n"
            "    probs = probs if mask is None else probs * mask"
        },
        "Hiding a position means setting its probability to 0.",
        "What do the remaining probabilities of a row sum to?",
    ),
    Mutant(
        "softmax_over_queries",
        FORWARD,
        {
            f"probs, _ = {_SOFTMAX}": "probs = _softmax_forward(scores.reshape(B, H, T, S)"
            ".swapaxes(2, 3), None if mask is None else np.broadcast_to(mask, (B, H, T, S))"
            ".swapaxes(2, 3))[0].swapaxes(2, 3)"
        },
        "It does not matter along which axis the scores are normalised.",
        "Whose weights sum to 1: those that one query gives out, or those that one key receives?",
    ),
    Mutant(
        "attention_dropout_not_scaled",
        FORWARD,
        {_DROPPED: "dropped = probs if keep is None else np.where(keep, probs, 0)"},
        "Dropout only sets values to 0.",
        "With a share of the weights gone, what is the expected sum of those that stay?",
    ),
    Mutant(
        "heads_dealt_out_in_turn",
        FORWARD,
        {
            "group = (B, Hk, H // Hk * T)": "k, v = np.tile(k, (1, H // Hk, 1, 1)), "
            "np.tile(v, (1, H // Hk, 1, 1))\n    group = (B, H, T)"
        },
        "Query head h reads key head h modulo the number of key heads.",
        "Neighbouring query heads share a key head: h // (H / Hk).",
    ),
    Mutant(
        "dk_transposed",
        BACKWARD,
        {"dscores.swapaxes(-1, -2) @ (scale": "dscores @ (scale"},
        "dk is the same product as dq, with q in the place of k.",
        "Write down the shapes of dscores, q and dk with T different from S.",
    ),
    Mutant(
        "dq_without_scale",
        BACKWARD,
        {"dq = scale * (dscores @ k)": "dq = (dscores @ k)"},
        "The scale belongs to forward only.",
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
        "attention_row_sum_missing",
        BACKWARD,
        {_SOFTMAX_BACKWARD: "dscores = probs * dprobs"},
        "The derivative of softmax is softmax itself.",
        "Raising one score lowers the probabilities of all others in its row.",
    ),
    Mutant(
        "attention_dropout_forgotten_backward",
        BACKWARD,
        {"dprobs = ddropped if keep is None else drop(ddropped, keep, p)": "dprobs = ddropped"},
        "Dropout is random and therefore has no derivative.",
        "Given the mask, dropout multiplies by constants, and so does its backward.",
    ),
    Mutant(
        "dv_without_dropout",
        BACKWARD,
        {_DROPPED: "dropped = probs"},
        "v meets the probabilities.",
        "Which probabilities multiplied v in forward: those before or those after dropout?",
    ),
    Mutant(
        "softmax_backward_after_dropout",
        BACKWARD,
        {"SoftmaxCache(probs)": "SoftmaxCache(dropped)"},
        "Backward needs whatever forward used last.",
        "Softmax's backward needs softmax's own output.",
    ),
    Mutant(
        "rotary_backward_turns_forward",
        ops.rotary_backward,
        {"-cache.sin": "cache.sin"},
        "A rotation is its own derivative, so dy is turned in the same way.",
        "Backward multiplies by the transposed matrix; what is the transpose of a rotation?",
    ),
    Mutant(
        "rotary_turns_the_wrong_way",
        ops.rotary_forward,
        {"rotate(x, cos, sin, interleaved)": "rotate(x, cos, -sin, interleaved)"},
        "The sign of the sine is a convention.",
        "It is, and checkpoints were trained with y1 = x1 cos - x2 sin.",
    ),
    Mutant(
        "rotary_pairs_confused",
        ops.rotary_forward,
        {"rotate(x, cos, sin, interleaved)": "rotate(x, cos, sin, not interleaved)"},
        "Any pairing of the features will do.",
        "Interleaved pairs are (2i, 2i + 1), the others (i, i + D/2).",
    ),
    Mutant(
        "heads_split_by_reshape",
        ops.split_heads_forward,
        {
            "x.reshape(B, T, sum(heads), x.shape[-1] // sum(heads)).transpose(0, 2, 1, 3)": (
                "x.reshape(B, sum(heads), T, x.shape[-1] // sum(heads))"
            )
        },
        "A reshape to (B, H, T, D) splits the heads.",
        "Reshape never moves a number: which axes have to change places?",
    ),
    Mutant(
        "heads_merged_by_reshape",
        ops.merge_heads_forward,
        {"y.reshape(B, T, H, D)[...] = x.transpose(0, 2, 1, 3)": "y[...] = x.reshape(B, T, H * D)"},
        "A reshape to (B, T, H D) merges the heads.",
        "Reshape never moves a number: which axes have to change places first?",
    ),
    Mutant(
        "kv_written_from_the_start",
        ops.kv_append,
        {
            "keys[:, :, length:end] = k": "keys[:, :, : k.shape[2]] = k",
            "values[:, :, length:end] = v": "values[:, :, : k.shape[2]] = v",
        },
        "New keys go to the front of the buffer.",
        "The first `length` positions are taken.",
    ),
    Mutant(
        "kv_returns_the_whole_buffer",
        ops.kv_append,
        {"return keys[:, :, :end], values[:, :, :end]": "return keys, values"},
        "Zeros in the unused part of the buffer do no harm.",
        "A key of zeros gets the score 0, and with it a share of the attention.",
    ),
)
