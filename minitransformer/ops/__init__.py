"""The textbook: every operation forward and backward, side by side, in NumPy.

``y, cache = <op>_forward(...)`` and ``gradients = <op>_backward(dy, cache)``, always a tuple, in
the order of forward's differentiable arguments. These functions are also the ``numpy`` backend.
"""

from minitransformer.ops.activations import (
    gelu_backward,
    gelu_forward,
    relu_backward,
    relu_forward,
    silu_backward,
    silu_forward,
    tanh_backward,
    tanh_forward,
)
from minitransformer.ops.add import add_backward, add_forward
from minitransformer.ops.attention import (
    attention_backward,
    attention_forward,
    causal_mask,
    padding_mask,
)
from minitransformer.ops.cross_entropy import cross_entropy_backward, cross_entropy_forward
from minitransformer.ops.dropout import dropout_backward, dropout_forward
from minitransformer.ops.embedding import embedding_backward, embedding_forward
from minitransformer.ops.heads import (
    merge_heads_backward,
    merge_heads_forward,
    split_heads_backward,
    split_heads_forward,
)
from minitransformer.ops.in_place import accumulate, kv_append, scale_, sum_of_squares, zero_
from minitransformer.ops.layer_norm import layer_norm_backward, layer_norm_forward
from minitransformer.ops.linear import linear_backward, linear_forward
from minitransformer.ops.matmul import matmul_backward, matmul_forward
from minitransformer.ops.mse import mse_backward, mse_forward
from minitransformer.ops.rms_norm import rms_norm_backward, rms_norm_forward
from minitransformer.ops.rotary import rotary_backward, rotary_forward
from minitransformer.ops.softmax import softmax_backward, softmax_forward
from minitransformer.ops.swiglu import swiglu_backward, swiglu_forward
from minitransformer.ops.updates import adamw_step, sgd_step

__all__ = [
    "accumulate",
    "adamw_step",
    "add_backward",
    "add_forward",
    "attention_backward",
    "attention_forward",
    "causal_mask",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_forward",
    "embedding_backward",
    "embedding_forward",
    "gelu_backward",
    "gelu_forward",
    "kv_append",
    "layer_norm_backward",
    "layer_norm_forward",
    "linear_backward",
    "linear_forward",
    "matmul_backward",
    "matmul_forward",
    "merge_heads_backward",
    "merge_heads_forward",
    "mse_backward",
    "mse_forward",
    "padding_mask",
    "relu_backward",
    "relu_forward",
    "rms_norm_backward",
    "rms_norm_forward",
    "rotary_backward",
    "rotary_forward",
    "scale_",
    "sgd_step",
    "silu_backward",
    "silu_forward",
    "softmax_backward",
    "softmax_forward",
    "split_heads_backward",
    "split_heads_forward",
    "sum_of_squares",
    "swiglu_backward",
    "swiglu_forward",
    "tanh_backward",
    "tanh_forward",
    "zero_",
]
