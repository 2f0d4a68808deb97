"""Mistakes in averages: perplexity, gradients of several workers."""

from minitransformer.distributed import average_gradients
from minitransformer.evaluation import perplexity
from minitransformer.testing.mutants.base import Mutant

_MEAN = "_mean_over_tokens(losses, counts)"
_AVERAGE = "total / float(max(sum(counts), 1))"
_PERPLEXITY = "return _exp(_mean_over_tokens(losses, counts))"
_TOTAL = "total += gradient * float(count)"

MUTANTS = (
    Mutant(
        "perplexity_unweighted",
        perplexity,
        {_MEAN: "sum(losses) / len(losses)"},
        "All batches are alike.",
        "A short last batch would count as much as a full one: the mean is over tokens.",
    ),
    Mutant(
        "perplexity_mean_of_exps",
        perplexity,
        {
            f"_exp({_MEAN})": (
                "sum(_exp(loss) * count for loss, count in zip(losses, counts)) / sum(counts)"
            )
        },
        "The perplexity of all is the mean of the batches' perplexities.",
        "exp is not linear: first the mean, then exp.",
    ),
    Mutant(
        "perplexity_in_bits",
        perplexity,
        {f"_exp({_MEAN})": f"float(np.exp2({_MEAN}))"},
        "Perplexity is a power of two.",
        "Of two if the loss is in bits; cross-entropy with a natural logarithm is in nats.",
    ),
    Mutant(
        "perplexity_without_exp",
        perplexity,
        {f"_exp({_MEAN})": _MEAN},
        "Perplexity is another name of the loss.",
        "A uniform guess among V tokens has the loss ln V; what is its perplexity?",
    ),
    Mutant(
        "perplexity_of_the_sum",
        perplexity,
        {_PERPLEXITY: "return _exp(sum(loss * n for loss, n in zip(losses, counts)))"},
        "Perplexity is the exponential of the sum of the losses.",
        "Of their mean over tokens.",
    ),
    Mutant(
        "perplexity_upside_down",
        perplexity,
        {_PERPLEXITY: "return _exp(-_mean_over_tokens(losses, counts))"},
        "Perplexity is the mean probability.",
        "One over it: the harder to guess, the larger.",
    ),
    Mutant(
        "workers_weigh_the_same",
        average_gradients,
        {"gradient * float(count)": "gradient", _AVERAGE: "total / float(len(counts))"},
        "The average of the workers' gradients is the gradient of the whole batch.",
        "Only if all have equally many targets; each gradient is a mean over its own.",
    ),
    Mutant(
        "gradients_summed",
        average_gradients,
        {"gradient * float(count)": "gradient", _AVERAGE: "total"},
        "An all-reduce adds, and that is it.",
        "With twice as many workers the step would be twice as long.",
    ),
    Mutant(
        "average_without_division",
        average_gradients,
        {_AVERAGE: "total"},
        "Gradients weighted by their counts can be added up.",
        "Weights have to sum to 1: what do the counts sum to?",
    ),
    Mutant(
        "average_over_workers",
        average_gradients,
        {_AVERAGE: "total / float(len(counts))"},
        "A mean over workers divides by their number.",
        "The sum was weighted by targets: divide by the number of those.",
    ),
    Mutant(
        "average_overwrites_a_worker",
        average_gradients,
        {"np.zeros_like(gradients[0])": "gradients[0]"},
        "The first gradient can serve as the sum.",
        "It is a worker's own, and it is added once more.",
    ),
    Mutant(
        "gradients_divided_by_targets_alone",
        average_gradients,
        {_TOTAL: "total += gradient"},
        "The sum is divided by the number of targets.",
        "Each gradient is a mean already: weigh it by its own number of targets first.",
    ),
    Mutant(
        "gradients_of_nothing_are_nan",
        average_gradients,
        {_AVERAGE: "total / total.dtype.type(sum(counts))"},
        "There is always a target.",
        "If there is none, the gradient is 0, and not 0 / 0.",
    ),
    Mutant(
        "gradients_of_the_first_worker",
        average_gradients,
        {_AVERAGE: "gradients[0].copy()"},
        "All workers have the same gradient.",
        "Each has seen a part of the batch of its own.",
    ),
    Mutant(
        "first_gradient_counted_twice",
        average_gradients,
        {"np.zeros_like(gradients[0])": "gradients[0].copy()"},
        "A sum starts with its first term.",
        "It does, if that term is not added once more: where does the loop begin?",
    ),
    Mutant(
        "first_gradient_not_weighted",
        average_gradients,
        {
            "np.zeros_like(gradients[0])": "gradients[0].copy()",
            "zip(gradients, counts, strict=True)": "zip(gradients[1:], counts[1:], strict=True)",
        },
        "A sum starts with its first gradient, and the others are weighted.",
        "Each gradient counts as often as its worker had targets, the first one too.",
    ),
    Mutant(
        "first_gradient_overwritten",
        average_gradients,
        {
            "total = np.zeros_like(gradients[0])": "total = gradients[0]\n    total *= counts[0]",
            "zip(gradients, counts, strict=True)": "zip(gradients[1:], counts[1:], strict=True)",
        },
        "The first gradient serves as the sum.",
        "It is the caller's: the sum needs an array of its own.",
    ),
)
