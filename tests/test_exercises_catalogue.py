"""The catalogue: complete, in an order that works, its examples true."""

import doctest
import functools
import inspect
import types
from typing import Any

import pytest

from minitransformer.exercises.catalogue import CATALOGUE, units
from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.source import plain
from minitransformer.exercises.stubs import stub
from minitransformer.testing import FUNCTIONS, SPECS

EXERCISES = list(CATALOGUE.values())
COVERED = {
    "stable softmax and its backward": ["softmax_forward", "softmax_backward"],
    "masked softmax": ["softmax_forward"],
    "cross-entropy and backward": ["cross_entropy_forward", "cross_entropy_backward"],
    "linear, broadcasting backward": [
        *("linear_forward", "linear_backward", "matmul_backward", "unbroadcast")
    ],
    "embedding": ["embedding_forward", "embedding_backward"],
    "GELU": ["gelu_forward", "gelu_backward"],
    "layer norm": ["layer_norm_forward", "layer_norm_backward"],
    "RMS norm": ["rms_norm_forward", "rms_norm_backward"],
    "attention": ["attention_forward", "attention_backward"],
    "causal and padding masks": ["causal_mask", "padding_mask"],
    "heads": ["split_heads_forward", "merge_heads_forward", "multi_head_attention_backward"],
    "grouped queries": ["attention_forward", "attention_backward"],
    "positions": ["sinusoidal_positions", "rotary_forward", "rotary_backward"],
    "dropout": ["dropout_forward", "dropout_backward"],
    "block backward": ["pre_norm_block_backward", "post_norm_block_backward"],
    "SGD, Adam, AdamW": ["sgd_step", "adamw_step"],
    "clipping": ["clip_grad_norm"],
    "schedule": ["warmup_cosine"],
    "BPE": ["bpe_merge", "bpe_encode"],
    "sampling": ["top_k", "top_p", "repetition_penalty"],
    "KV cache": ["kv_append"],
    "beam search": ["beam_search"],
    "LoRA": ["lora_forward", "lora_backward"],
    "label smoothing": ["cross_entropy_forward", "cross_entropy_backward"],
    "MLM corruption": ["mask_tokens"],
    "perplexity": ["perplexity"],
    "all-reduce averaging": ["average_gradients"],
    "central differences": ["central_difference"],
    "Numba": ["softmax_rows", "matmul_tiled", "softmax_online"],
    "CUDA": ["vector_add", "softmax_blocks", "matmul_shared"],
    "write the test": ["test_softmax_forward", "test_layer_norm_backward"],
}


@pytest.mark.parametrize("topic", COVERED)
def test_topic_is_covered(topic: str) -> None:
    assert set(COVERED[topic]) <= set(CATALOGUE)


@pytest.mark.parametrize("exercise", EXERCISES, ids=CATALOGUE)
def test_an_exercise_is_named_like_the_function_to_write(exercise: Exercise) -> None:
    assert exercise.id == exercise.function.__name__
    assert exercise.points >= 1
    assert (exercise.kind == "test") == bool(exercise.on_trial)


def test_a_unit_is_in_one_piece() -> None:
    in_order = [exercise for group in units().values() for exercise in group]
    assert in_order == EXERCISES


def worked_example(exercise: Exercise, function: Any) -> tuple[int, int, str]:
    """Run the doctest of a stub with a function in the place of the task."""
    namespace: dict[str, Any] = {"__name__": exercise.id}
    exec(stub(exercise), namespace)
    text = namespace[exercise.id].__doc__
    namespace[exercise.id] = function
    report: list[str] = []
    example = doctest.DocTestParser().get_doctest(text, namespace, exercise.id, None, 0)
    failed, tried = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    return failed, tried, "".join(report)


@pytest.mark.parametrize(
    "exercise", [each for each in EXERCISES if each.kind != "cuda"], ids=lambda each: each.id
)
def test_the_worked_example_is_true(exercise: Exercise) -> None:
    failed, tried, report = worked_example(exercise, plain(exercise.function))
    assert tried
    assert not failed, report


def test_a_false_example_is_found() -> None:
    failed, _, _ = worked_example(CATALOGUE["causal_mask"], lambda T, S: None)
    assert failed == 2


@pytest.mark.parametrize("exercise", EXERCISES, ids=CATALOGUE)
def test_nothing_is_needed_that_a_later_unit_defines(exercise: Exercise) -> None:
    order = list(units())
    later = {
        other.id
        for other in EXERCISES
        if order.index(other.unit) > order.index(exercise.unit) and other.kind != "test"
    }
    assert used_names(exercise) & later == set()


def used_names(exercise: Exercise) -> set[str]:
    """Names of all that an exercise's solution and its checks call, by whatever way."""
    name = exercise.id.removesuffix("_forward").removesuffix("_backward")
    spec: Any = FUNCTIONS.get(exercise.id) or SPECS.get(name)
    pending = [*exercise.functions, *(vars(spec).values() if spec else ())]
    names: set[str] = set()
    seen: set[int] = set()
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, functools.partial):
            pending += [item.func, *item.args]
        elif inspect.isclass(item) and item.__module__.startswith("minitransformer.nn"):
            pending += [part for part in vars(item).values() if inspect.isfunction(part)]
        elif callable(item) and isinstance(plain(item), types.FunctionType):
            code = plain(item)
            names |= set(code.__code__.co_names)
            pending += [code.__globals__.get(each) for each in code.__code__.co_names]
            pending += [cell.cell_contents for cell in code.__closure__ or ()]
    return names


def test_a_name_from_a_later_unit_is_found() -> None:
    assert "rotary_forward" in used_names(CATALOGUE["multi_head_attention_backward"])
    assert "attention_backward" in used_names(CATALOGUE["pre_norm_block_backward"])
