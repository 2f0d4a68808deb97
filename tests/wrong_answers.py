# ruff: noqa: E501 (students write long lines)
"""Wrong answers as students write them: the exercise, the names that hit the mistake, the text.

None of them is made from the library's source; names of variables, style and order are others.
"""

LAYER_NORM_DX = """
def layer_norm_backward(dout, cache):
    xn, inv, g = cache
    rows = tuple(range(dout.ndim - 1))
    dxn = dout * g
    mean1 = dxn.mean(-1, keepdims=True)
    mean2 = (dxn * xn).mean(-1, keepdims=True)
    dgamma, dbeta = (dout * xn).sum(rows), dout.sum(rows)
    {line}
"""
SOFTMAX = """
def softmax_forward(x, mask=None):
    {mask}
    e = {e}
    y = {y}
    return y, y
"""
ATTENTION = """
def attention_forward(q, k, v, mask=None, causal=False, scale=None, keep=None, p=0.0):
    (B, H, T, D), S = q.shape, k.shape[2]
    {groups}
    scale = {scale}
    s = np.einsum("bhtd,bhsd->bhts", q, k) * scale
    allowed = np.ones((B, H, T, S), bool)
    if causal:
        allowed &= {causal}
    if mask is not None:
        allowed &= {mask}
    s = np.where(allowed, s, -np.inf)
    m = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isfinite(m), m, 0))
    total = e.sum(-1, keepdims=True)
    w = {w}
    if keep is not None:
        w = {drop}
    return {y}
"""
RIGHT_ATTENTION = {
    "groups": "k, v = (np.repeat(a, H // k.shape[1], axis=1) for a in (k, v))",
    "scale": "1 / D**0.5 if scale is None else scale",
    "causal": "np.arange(S)[None, :] <= np.arange(T)[:, None] + S - T",
    "mask": "mask",
    "w": "e / np.where(total == 0, 1, total)",
    "drop": "np.where(keep, w / (1 - p), 0).astype(q.dtype)",
    "y": "(w @ v).astype(q.dtype), None",
}
ADAM = """
def adamw_step(parameter, grad, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    parameter *= {decay}
    m[...] = {m}
    v[...] = {v}
    mh = {mh}
    vh = {vh}
    parameter -= lr * mh / {root}
"""
RIGHT_ADAM = {
    "decay": "1 - lr * weight_decay",
    "m": "beta1 * m + (1 - beta1) * grad",
    "v": "beta2 * v + (1 - beta2) * grad**2",
    "mh": "m / (1 - beta1**t)",
    "vh": "v / (1 - beta2**t)",
    "root": "(np.sqrt(vh) + eps)",
}
CROSS_ENTROPY = """
def cross_entropy_forward(logits, targets, ignore_index=-100, label_smoothing=0.0):
    V = logits.shape[-1]
    z, t = logits.reshape(-1, V), targets.reshape(-1).astype(np.int64)
    kept = {kept}
    z, t = z[kept], t[kept]
    if len(t) == 0:
        return {empty}, None
    logp = {logp}
    nll = -logp[np.arange(len(t)), t]
    smooth = {smooth}
    loss = {loss}
    return {out}, None
"""
RIGHT_CROSS_ENTROPY = {
    "kept": "t != ignore_index",
    "empty": "logits.dtype.type(0)",
    "logp": "(z - z.max(1, keepdims=True)) - np.log("
    "np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True))",
    "smooth": "-logp.mean(1)",
    "loss": "((1 - label_smoothing) * nll + label_smoothing * smooth).mean()",
    "out": "logits.dtype.type(loss)",
}


def _dx(line: str) -> str:
    return LAYER_NORM_DX.format(line=line)


def _softmax(mask: str = "", e: str = "", y: str = "") -> str:
    return SOFTMAX.format(
        mask=mask or "x = x if mask is None else np.where(mask, x, -np.inf)",
        e=e or "np.exp(x - np.where((t := x.max(-1, keepdims=True)) == -np.inf, 0, t))",
        y=y or "(e / np.where((s := e.sum(-1, keepdims=True)) == 0, 1, s)).astype(x.dtype)",
    )


def _attention(**parts: str) -> str:
    return ATTENTION.format(**{**RIGHT_ATTENTION, **parts})


def _adam(**parts: str) -> str:
    return ADAM.format(**{**RIGHT_ADAM, **parts})


def _cross_entropy(**parts: str) -> str:
    return CROSS_ENTROPY.format(**{**RIGHT_CROSS_ENTROPY, **parts})


WRONG: dict[str, tuple[str, set[str], str]] = {
    # what outside judges handed in
    "m upside down": (
        "adamw_step",
        {"adam_mean_weights_exchanged"},
        _adam(m="(1 - beta1) * m + beta1 * grad"),
    ),
    "v upside down": (
        "adamw_step",
        {"adam_square_weights_exchanged"},
        _adam(v="(1 - beta2) * v + beta2 * grad**2"),
    ),
    "one beta corrects": (
        "adamw_step",
        {"adam_one_beta_in_both_corrections"},
        _adam(vh="v / (1 - beta1**t)"),
    ),
    "third term without rstd": (
        "layer_norm_backward",
        {"third_term_without_rstd"},
        _dx("return inv * (dxn - mean1) - xn * mean2, dgamma, dbeta"),
    ),
    "top left, alone": (
        "causal_mask",
        {"causal_mask_aligned_top_left"},
        "def causal_mask(T, S):\n    return np.tril(np.ones((T, S), bool))\n",
    ),
    "from the right": (
        "bpe_merge",
        {"bpe_merge_from_the_right"},
        "def bpe_merge(ids, pair, new_id):\n    ids = list(ids)\n"
        "    for j in range(len(ids) - 2, -1, -1):\n"
        "        if tuple(ids[j:j + 2]) == tuple(pair):\n            ids[j:j + 2] = [new_id]\n"
        "    return ids\n",
    ),
    "a list of heads": (
        "split_heads_forward",
        {"not_a_tuple"},
        "def split_heads_forward(x, heads):\n"
        "    y = x.reshape(*x.shape[:2], sum(heads), -1).transpose(0, 2, 1, 3)\n"
        "    return list(np.split(y, np.cumsum(heads)[:-1], axis=1)), None\n",
    ),
    "gradient overwritten": (
        "sgd_step",
        {"input_overwritten"},
        "def sgd_step(parameter, grad, velocity, lr, momentum=0.0, nesterov=False, weight_decay=0.0):\n"
        "    grad += weight_decay * parameter\n    velocity[...] = momentum * velocity + grad\n"
        "    parameter -= lr * (grad + momentum * velocity if nesterov else velocity)\n",
    ),
    "tiles overwrite": (
        "matmul_tiled",
        {"tiles_start_the_sum_again"},
        "def matmul_tiled(a, b, tile):\n    y = np.zeros((len(a), b.shape[1]), a.dtype)\n"
        "    for i in range(0, len(a), tile):\n        for j in range(0, b.shape[1], tile):\n"
        "            for k in range(0, len(b), tile):\n"
        "                y[i:i + tile, j:j + tile] = a[i:i + tile, k:k + tile] @ b[k:k + tile, j:j + tile]\n"
        "    return y\n",
    ),
    # layer norm
    "mean constant": (
        "layer_norm_backward",
        {"mean_taken_for_a_constant"},
        _dx("return inv * (dxn - xn * mean2), dgamma, dbeta"),
    ),
    "variance constant": (
        "layer_norm_backward",
        {"variance_taken_for_a_constant"},
        _dx("return inv * (dxn - mean1), dgamma, dbeta"),
    ),
    "both constant": (
        "layer_norm_backward",
        {"statistics_taken_for_constants"},
        _dx("return inv * dxn, dgamma, dbeta"),
    ),
    "plus": (
        "layer_norm_backward",
        {"plus_and_minus_exchanged"},
        _dx("return inv * (dxn + mean1 + xn * mean2), dgamma, dbeta"),
    ),
    "a list": (
        "layer_norm_backward",
        {"not_a_tuple"},
        _dx("return [inv * (dxn - mean1 - xn * mean2), dgamma, dbeta]"),
    ),
    "only dx": (
        "layer_norm_backward",
        {"not_a_tuple", "wrong_length"},
        _dx("return inv * (dxn - mean1 - xn * mean2)"),
    ),
    "order": (
        "layer_norm_backward",
        {"dgamma_and_dbeta_swapped"},
        _dx("return inv * (dxn - mean1 - xn * mean2), dbeta, dgamma"),
    ),
    "dbeta mean": (
        "layer_norm_backward",
        {"dbeta_averaged"},
        _dx("return inv * (dxn - mean1 - xn * mean2), dgamma, dout.mean(rows)"),
    ),
    "dgamma without xhat": (
        "layer_norm_backward",
        {"dgamma_without_xhat"},
        _dx("return inv * (dxn - mean1 - xn * mean2), dbeta.copy(), dbeta"),
    ),
    "not summed": (
        "layer_norm_backward",
        {"dgamma_and_dbeta_not_summed"},
        _dx("return inv * (dxn - mean1 - xn * mean2), dout * xn, dout"),
    ),
    "three axes": (
        "layer_norm_backward",
        {
            "wrong_number_of_axes",
            "right_for_three_axes_only",
            "wrong_shape",
            "broadcast_not_summed",
        },
        _dx("return inv * (dxn - mean1 - xn * mean2), (dout * xn).sum((0, 1)), dout.sum((0, 1))"),
    ),
    "overwrites dy": (
        "layer_norm_backward",
        {"dy_overwritten"},
        _dx("dout *= g; return inv * (dxn - mean1 - xn * mean2), dgamma, dbeta"),
    ),
    "overwrites cache": (
        "layer_norm_backward",
        {"cache_overwritten"},
        _dx("dx = inv * (dxn - mean1 - xn * mean2); xn *= 2; return dx, dgamma, dbeta"),
    ),
    "float32 only": (
        "layer_norm_backward",
        {"dtype_lost"},
        _dx("return (inv * (dxn - mean1 - xn * mean2)).astype(np.float32), dgamma, dbeta"),
    ),
    "float64 out": (
        "layer_norm_backward",
        {"dtype_lost"},
        _dx("return inv * (dxn - mean1 - xn * mean2) * np.float64(1), dgamma, dbeta"),
    ),
    "over all positions": (
        "layer_norm_forward",
        {"normalised_over_all_positions", "layer_norm_over_everything"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    y = (x - x.mean()) / np.sqrt(x.var() + eps)\n    return gamma * y + beta, y\n",
    ),
    "over the first axis": (
        "layer_norm_forward",
        {"layer_norm_is_batch_norm"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    y = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)\n"
        "    return (gamma * y + beta).astype(x.dtype), y\n",
    ),
    "ddof": (
        "layer_norm_forward",
        {"variance_of_a_sample"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, ddof=1, keepdims=True) + eps)\n"
        "    return (gamma * y + beta).astype(x.dtype), y\n",
    ),
    "one pass": (
        "layer_norm_forward",
        {"variance_in_one_pass"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    m = np.mean(x, axis=-1, keepdims=True)\n"
        "    v = np.mean(x**2, axis=-1, keepdims=True) - m**2\n"
        "    return (gamma * (x - m) / np.sqrt(v + eps) + beta).astype(x.dtype), m\n",
    ),
    "eps outside": (
        "layer_norm_forward",
        {"eps_outside_the_root"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    y = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps)\n"
        "    return (gamma * y + beta).astype(x.dtype), y\n",
    ),
    "eps built in": (
        "layer_norm_forward",
        {"eps_built_in", "eps_ignored"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)\n"
        "    return (gamma * y + beta).astype(x.dtype), y\n",
    ),
    "no root": (
        "layer_norm_forward",
        {"layer_norm_divided_by_variance"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    y = (x - x.mean(-1, keepdims=True)) / (x.var(-1, keepdims=True) + eps)\n"
        "    return (gamma * y + beta).astype(x.dtype), y\n",
    ),
    "parameters swapped": (
        "layer_norm_forward",
        {"gamma_and_beta_swapped"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)\n"
        "    return (beta * y + gamma).astype(x.dtype), y\n",
    ),
    "keepdims": (
        "layer_norm_forward",
        {"shapes_do_not_fit"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    y = (x - x.mean(-1)) / np.sqrt(x.var(-1) + eps)\n    return gamma * y + beta, y\n",
    ),
    "in place": (
        "layer_norm_forward",
        {"input_overwritten"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    x -= x.mean(-1, keepdims=True)\n"
        "    y = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)\n"
        "    return (gamma * y + beta).astype(x.dtype), y\n",
    ),
    "no return": (
        "layer_norm_forward",
        {"returns_nothing"},
        "def layer_norm_forward(x, gamma, beta, eps=1e-5):\n"
        "    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)\n",
    ),
    # rms norm
    "rms subtracts mean": (
        "rms_norm_forward",
        {"rms_norm_subtracts_the_mean"},
        "def rms_norm_forward(x, gamma, eps=1e-6):\n"
        "    y = (x - x.mean(-1, keepdims=True)) / np.sqrt((x**2).mean(-1, keepdims=True) + eps)\n"
        "    return (y * gamma).astype(x.dtype), y\n",
    ),
    "rms is layer norm": (
        "rms_norm_forward",
        {"rms_norm_is_layer_norm", "rms_norm_subtracts_the_mean"},
        "def rms_norm_forward(x, gamma, eps=1e-6):\n"
        "    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)\n"
        "    return (y * gamma).astype(x.dtype), y\n",
    ),
    "rms sum": (
        "rms_norm_forward",
        {
            "rms_norm_sum_for_mean",
            "sum_for_mean",
            "length_for_root_mean_square",
            "rms_norm_of_the_sum",
        },
        "def rms_norm_forward(x, gamma, eps=1e-6):\n"
        "    y = x / np.sqrt((x**2).sum(-1, keepdims=True) + eps)\n"
        "    return (y * gamma).astype(x.dtype), y\n",
    ),
    # softmax
    "no maximum": (
        "softmax_forward",
        {"softmax_without_maximum"},
        _softmax(e="np.exp(x)"),
    ),
    "global maximum": (
        "softmax_forward",
        {"one_maximum_for_all_rows"},
        _softmax(e="np.exp(x - np.where((t := x.max()) == -np.inf, 0, t))"),
    ),
    "-1e9": (
        "softmax_forward",
        {"softmax_mask_by_minus_1e9"},
        _softmax(mask="x = x if mask is None else np.where(mask, x, -1e9).astype(x.dtype)"),
    ),
    "inverted": (
        "softmax_forward",
        {"softmax_mask_inverted"},
        _softmax(mask="x = x if mask is None else np.where(mask, -np.inf, x)"),
    ),
    "masked by zero": (
        "softmax_forward",
        {"softmax_mask_by_zero"},
        _softmax(mask="x = x if mask is None else x * mask"),
    ),
    "masked after": (
        "softmax_forward",
        {"softmax_mask_after_softmax"},
        "def softmax_forward(x, mask=None):\n"
        "    e = np.exp(x - np.where((t := x.max(-1, keepdims=True)) == -np.inf, 0, t))\n"
        "    y = e / np.where((s := e.sum(-1, keepdims=True)) == 0, 1, s)\n"
        "    y = y if mask is None else y * mask\n"
        "    return y.astype(x.dtype), y\n",
    ),
    "mask ignored": (
        "softmax_forward",
        {"softmax_mask_ignored"},
        _softmax(mask="pass"),
    ),
    "nan rows": (
        "softmax_forward",
        {"masked_rows_are_nan"},
        _softmax(y="(e / e.sum(-1, keepdims=True)).astype(x.dtype)"),
    ),
    "over the first axis, softmax": (
        "softmax_forward",
        {"wrong_axis"},
        _softmax(y="(e / np.where((s := e.sum(0, keepdims=True)) == 0, 1, s)).astype(x.dtype)"),
    ),
    "over everything": (
        "softmax_forward",
        {"softmax_over_everything"},
        _softmax(y="(e / (e.sum() or 1)).astype(x.dtype)"),
    ),
    "log": (
        "softmax_forward",
        {"softmax_is_log_softmax"},
        _softmax(y="np.log(e / np.where((s := e.sum(-1, keepdims=True)) == 0, 1, s))"),
    ),
    "softmax own gradient": (
        "softmax_backward",
        {"softmax_row_sum_missing"},
        "def softmax_backward(dy, cache):\n    return (dy * cache.probs,)\n",
    ),
    "diagonal": (
        "softmax_backward",
        {"softmax_diagonal_only"},
        "def softmax_backward(dy, cache):\n    p = cache[0]\n    return (dy * p * (1 - p),)\n",
    ),
    "jacobian transposed sign": (
        "softmax_backward",
        {"constant_ratio", "sign", "softmax_backward_sign", "wrong_sign", "softmax_dx_sign"},
        "def softmax_backward(dy, cache):\n    p = cache[0]\n"
        "    return (p * ((dy * p).sum(-1, keepdims=True) - dy),)\n",
    ),
    "sum without weights": (
        "softmax_backward",
        {"softmax_expectation_of_dy_alone"},
        "def softmax_backward(dy, cache):\n    p = cache[0]\n"
        "    return (p * (dy - dy.sum(-1, keepdims=True)),)\n",
    ),
    "an array": (
        "softmax_backward",
        {"not_a_tuple"},
        "def softmax_backward(dy, cache):\n    p = cache[0]\n"
        "    return p * (dy - (dy * p).sum(-1, keepdims=True))\n",
    ),
    # cross-entropy
    "sum": (
        "cross_entropy_forward",
        {"sum_for_mean"},
        _cross_entropy(loss="((1 - label_smoothing) * nll + label_smoothing * smooth).sum()"),
    ),
    "smoothing forgotten": (
        "cross_entropy_forward",
        {"smoothing_ignored"},
        _cross_entropy(loss="nll.mean()"),
    ),
    "over all": (
        "cross_entropy_forward",
        {"mean_over_all_targets"},
        _cross_entropy(
            loss="((1 - label_smoothing) * nll + label_smoothing * smooth).sum() / targets.size"
        ),
    ),
    "only -100": (
        "cross_entropy_forward",
        {"only_minus_100_is_ignored", "ignore_index_ignored"},
        _cross_entropy(kept="t != -100"),
    ),
    "nothing ignored": (
        "cross_entropy_forward",
        {"ignore_index_not_handled"},
        _cross_entropy(kept="t == t"),
    ),
    "log of softmax": (
        "cross_entropy_forward",
        {"log_of_softmax", "not_finite"},
        _cross_entropy(
            logp="np.log((e := np.exp(z - z.max(1, keepdims=True))) / e.sum(1, keepdims=True))"
        ),
    ),
    "unstable": (
        "cross_entropy_forward",
        {"cross_entropy_overflows"},
        _cross_entropy(logp="z - np.log(np.exp(z).sum(1, keepdims=True))"),
    ),
    "sign": (
        "cross_entropy_forward",
        {"loss_sign_forgotten"},
        _cross_entropy(out="-logits.dtype.type(loss)"),
    ),
    "python float": (
        "cross_entropy_forward",
        {"dtype_lost"},
        _cross_entropy(out="np.float64(loss)"),
    ),
    "bits": (
        "cross_entropy_forward",
        {"constant_factor", "loss_in_bits"},
        _cross_entropy(out="logits.dtype.type(loss / np.log(2))"),
    ),
    "nan when empty": (
        "cross_entropy_forward",
        {"nan_when_all_is_ignored", "all_ignored", "not_finite"},
        _cross_entropy(empty="logits.dtype.type(np.nan)"),
    ),
    # embedding
    "assigned": (
        "embedding_backward",
        {"embedding_gradient_overwritten", "embedding_gradient_buffered"},
        "def embedding_backward(dy, cache):\n    dw = np.zeros_like(cache.w)\n"
        "    dw[cache.ids] += dy\n    return (dw,)\n",
    ),
    # linear
    "no bias": (
        "linear_forward",
        {"bias_forgotten", "b_ignored"},
        "def linear_forward(x, w, b=None, transposed=False):\n"
        "    return x @ (w.T if transposed else w), x\n",
    ),
    "b always there": (
        "linear_forward",
        {"none_is_not_handled"},
        "def linear_forward(x, w, b=None, transposed=False):\n"
        "    return x @ (w.T if transposed else w) + b, x\n",
    ),
    # attention
    "scale d": (
        "attention_forward",
        {"scale_by_width"},
        _attention(scale="1 / D if scale is None else scale"),
    ),
    "no scale": (
        "attention_forward",
        {"scale_forgotten", "scores_not_scaled", "attention_not_scaled"},
        _attention(scale="1.0 if scale is None else scale"),
    ),
    "scale argument ignored": (
        "attention_forward",
        {"scale_argument_ignored"},
        _attention(scale="1 / D**0.5"),
    ),
    "upper triangle": (
        "attention_forward",
        {"mask_upper_triangular"},
        _attention(causal="np.arange(S)[None, :] >= np.arange(T)[:, None] + S - T"),
    ),
    "top left": (
        "attention_forward",
        {"causal_aligned_top_left"},
        _attention(causal="np.tri(T, S, dtype=bool)"),
    ),
    "strict": (
        "attention_forward",
        {"causal_hides_the_present"},
        _attention(causal="np.arange(S)[None, :] < np.arange(T)[:, None] + S - T"),
    ),
    "mask inverted, attention": (
        "attention_forward",
        {"mask_inverted"},
        _attention(mask="~mask"),
    ),
    "no division by 1 - p": (
        "attention_forward",
        {"dropout_not_scaled", "attention_dropout_not_scaled"},
        _attention(drop="np.where(keep, w, 0)"),
    ),
    "dropped renormalised": (
        "attention_forward",
        {"attention_dropout_normalised_again"},
        _attention(drop="(w * keep) / np.maximum((w * keep).sum(-1, keepdims=True), 1e-30)"),
    ),
    "keep ignored": ("attention_forward", {"attention_dropout_ignored"}, _attention(drop="w")),
    "tile": (
        "attention_forward",
        {"heads_dealt_out_in_turn"},
        _attention(groups="k, v = (np.tile(a, (1, H // k.shape[1], 1, 1)) for a in (k, v))"),
    ),
    "no groups": (
        "attention_forward",
        {"grouped_heads_not_repeated"},
        _attention(groups="pass"),
    ),
    "nan rows, attention": (
        "attention_forward",
        {"attention_masked_rows_are_nan"},
        _attention(w="e / total"),
    ),
    # optimizers
    "no bias correction": (
        "adamw_step",
        {"adam_without_bias_correction"},
        _adam(mh="m", vh="v"),
    ),
    "t + 1": (
        "adamw_step",
        {"adam_t_one_ahead"},
        _adam(mh="m / (1 - beta1**(t + 1))", vh="v / (1 - beta2**(t + 1))"),
    ),
    "eps in the root": (
        "adamw_step",
        {"adam_eps_inside_the_root"},
        _adam(root="np.sqrt(vh + eps)"),
    ),
    "no root, adam": ("adamw_step", {"adam_root_forgotten"}, _adam(root="(vh + eps)")),
    "no square": (
        "adamw_step",
        {"adam_second_moment_not_squared"},
        _adam(v="beta2 * v + (1 - beta2) * np.abs(grad)"),
    ),
    "betas upside down": (
        "adamw_step",
        {"adam_betas_upside_down"},
        _adam(m="(1 - beta1) * m + beta1 * grad", v="(1 - beta2) * v + beta2 * grad**2"),
    ),
    "decay not times lr": (
        "adamw_step",
        {"adam_decay_without_lr"},
        _adam(decay="1 - weight_decay"),
    ),
    "no decay": (
        "adamw_step",
        {"adam_decay_ignored"},
        _adam(decay="1"),
    ),
    "new arrays": (
        "adamw_step",
        {"adam_moments_not_kept"},
        "def adamw_step(parameter, grad, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8,\n"
        "               weight_decay=0.0):\n"
        "    parameter *= 1 - lr * weight_decay\n"
        "    m = beta1 * m + (1 - beta1) * grad\n"
        "    v = beta2 * v + (1 - beta2) * grad**2\n"
        "    mh, vh = m / (1 - beta1**t), v / (1 - beta2**t)\n"
        "    parameter -= lr * mh / (np.sqrt(vh) + eps)\n",
    ),
    "degrees": (
        "warmup_cosine",
        {"cosine_not_halved"},
        "def warmup_cosine(step, peak, warmup, total, floor=0.0):\n"
        "    if step < warmup:\n        return peak * step / warmup\n"
        "    progress = min((step - warmup) / (total - warmup), 1)\n"
        "    return floor + (peak - floor) * np.cos(np.pi / 2 * progress)\n",
    ),
    "linear": (
        "warmup_cosine",
        {"cosine_is_a_line"},
        "def warmup_cosine(step, peak, warmup, total, floor=0.0):\n"
        "    if step < warmup:\n        return peak * step / warmup\n"
        "    progress = min((step - warmup) / (total - warmup), 1)\n"
        "    return peak + (floor - peak) * progress\n",
    ),
    "each alone": (
        "clip_grad_norm",
        {"clip_each_array_alone"},
        "def clip_grad_norm(grads, max_norm):\n"
        "    total = np.sqrt(sum((g**2).sum() for g in grads))\n"
        "    for g in grads:\n        n = np.sqrt((g**2).sum())\n"
        "        if n > max_norm:\n            g *= max_norm / (n + 1e-6)\n    return float(total)\n",
    ),
    # elementwise
    "quick gelu": (
        "gelu_forward",
        {"gelu_always_tanh"},
        "def gelu_forward(x, approximate='tanh'):\n    return x / (1 + np.exp(-1.702 * x)), x\n",
    ),
    "p keeps": (
        "dropout_forward",
        {"dropout_scaled_by_p"},
        "def dropout_forward(x, keep, p):\n"
        "    if keep is None:\n        return x.copy(), keep\n"
        "    return (x * keep / p if p else x * keep).astype(x.dtype), keep\n",
    ),
    # heads
    "only reshape": (
        "split_heads_forward",
        {"heads_split_by_reshape"},
        "def split_heads_forward(x, heads):\n    B, T, F = x.shape\n"
        "    y = x.reshape(B, sum(heads), T, F // sum(heads))\n"
        "    ends = np.cumsum(heads)[:-1]\n    return tuple(np.split(y, ends, axis=1)), x.shape\n",
    ),
    "merged by reshape": (
        "merge_heads_forward",
        {"heads_merged_by_reshape"},
        "def merge_heads_forward(x):\n    B, H, T, D = x.shape\n    return x.reshape(B, T, H * D), H\n",
    ),
    # text and sampling
    "overlap": (
        "bpe_merge",
        {"bpe_merge_second_half_stays"},
        "def bpe_merge(ids, pair, new_id):\n    out = []\n"
        "    for i, a in enumerate(ids):\n"
        "        if i + 1 < len(ids) and (a, ids[i + 1]) == tuple(pair):\n"
        "            out.append(new_id)\n        else:\n            out.append(a)\n    return out\n",
    ),
    "zeros": (
        "top_k",
        {"top_k_zeroes_the_others", "top_k_by_zero", "not_filtered", "top_k_filters_with_zero"},
        "def top_k(logits, k):\n"
        "    if k <= 0 or k >= logits.shape[-1]:\n        return logits.copy()\n"
        "    limit = np.sort(logits, -1)[..., -k, None]\n    return np.where(logits < limit, 0, logits)\n",
    ),
    "smallest": (
        "top_k",
        {"top_k_keeps_the_unlikely"},
        "def top_k(logits, k):\n"
        "    if k <= 0 or k >= logits.shape[-1]:\n        return logits.copy()\n"
        "    limit = np.sort(logits, -1)[..., k - 1, None]\n"
        "    return np.where(logits > limit, -np.inf, logits)\n",
    ),
    "always divided": (
        "repetition_penalty",
        {"repetition_always_divides"},
        "def repetition_penalty(logits, ids, penalty):\n    out = logits.copy()\n"
        "    ids = np.asarray(ids, dtype=np.int64)\n"
        "    if ids.ndim == 1:\n        i = np.unique(ids)\n        out[..., i] = out[..., i] / penalty\n"
        "        return out\n"
        "    for row, seen in zip(out, ids):\n        s = np.unique(seen)\n        row[s] /= penalty\n"
        "    return out\n",
    ),
    "wrong columns": (
        "sinusoidal_positions",
        {"sinusoidal_halves"},
        "def sinusoidal_positions(length, width, dtype=np.float64):\n"
        "    a = np.arange(length)[:, None] / 10000 ** (2 * np.arange(width // 2) / width)\n"
        "    return np.concatenate([np.sin(a), np.cos(a)], -1).astype(dtype)\n",
    ),
    "wrong sign, rotary": (
        "rotary_forward",
        {"rotary_turns_the_wrong_way"},
        "def rotary_forward(x, cos, sin, interleaved=False):\n    y = np.empty_like(x)\n"
        "    h = x.shape[-1] // 2\n"
        "    a, b = (slice(0, None, 2), slice(1, None, 2)) if interleaved else (slice(h), slice(h, None))\n"
        "    y[..., a] = x[..., a] * cos + x[..., b] * sin\n"
        "    y[..., b] = x[..., b] * cos - x[..., a] * sin\n    return y, None\n",
    ),
    "sum begins with the first": (
        "average_gradients",
        {"first_gradient_counted_twice"},
        "def average_gradients(gradients, counts):\n    total = gradients[0].copy()\n"
        "    for g, n in zip(gradients, counts):\n        total += g * float(n)\n"
        "    return total / float(max(sum(counts), 1))\n",
    ),
    "sum grows with the maximum": (
        "softmax_online",
        {"online_weights_grow"},
        """
from numba import njit
@njit
def softmax_online(x):
    y = np.zeros_like(x)
    for t in range(x.shape[0]):
        m, s = -np.inf, 0.0
        for j in range(x.shape[1]):
            if x[t, j] > m:
                s = s * np.exp(x[t, j] - m) + 1.0 if m > -np.inf else 1.0
                m = x[t, j]
            elif x[t, j] > -np.inf:
                s += np.exp(x[t, j] - m)
        if s > 0.0:
            for j in range(x.shape[1]):
                y[t, j] = np.exp(x[t, j] - m) / s
    return y
""",
    ),
    "keys into values": (
        "kv_append",
        {"kv_keys_into_values"},
        "def kv_append(keys, values, at, k, v):\n    n = at + k.shape[2]\n    keys[:, :, at:n] = k\n"
        "    values[:, :, at:n] = k\n    return keys[:, :, :n], values[:, :, :n]\n",
    ),
    "text overwritten": (
        "mask_tokens",
        {"input_overwritten"},
        """
def mask_tokens(ids, chosen, action, random_ids, mask_id):
    targets = np.where(chosen, ids, -100)
    ids[chosen & (action < 8)] = mask_id
    ids[chosen & (action == 8)] = random_ids[chosen & (action == 8)]
    return ids, targets
""",
    ),
    "merges overlap": (
        "bpe_merge",
        {"bpe_merge_overlapping"},
        """
def bpe_merge(ids, pair, new_id):
    begins = [tuple(ids[i : i + 2]) == tuple(pair) for i in range(len(ids))]
    out = []
    for i, token in enumerate(ids):
        if begins[i]:
            out.append(new_id)
        elif i == 0 or not begins[i - 1]:
            out.append(token)
    return out
""",
    ),
    "one block of threads": (
        "vector_add",
        {"never_written", "block_forgotten"},
        """
from numba import cuda
@cuda.jit
def add(a, b, y):
    i = cuda.threadIdx.x
    if i < y.size:
        y[i] = a[i] + b[i]
def vector_add(a, b):
    y = cuda.device_array(a.shape, a.dtype)
    add[(a.size + 7) // 8, 8](cuda.to_device(a), cuda.to_device(b), y)
    return y.copy_to_host()
""",
    ),
    "backward alone raises": (
        "rms_norm_backward",
        {"unknown_name"},
        """
def rms_norm_forward(x, gamma, eps=1e-6):
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    return (gamma * x * r).astype(x.dtype), r
def rms_norm_backward(dy, r):
    return dy * r, gamma
""",
    ),
}
