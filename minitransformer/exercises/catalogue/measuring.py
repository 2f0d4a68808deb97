"""How gradients are proved, and how a model is measured."""

from minitransformer.evaluation import perplexity
from minitransformer.exercises.exercise import Exercise
from minitransformer.testing.differences import central_difference

GRADIENT_CHECK = (
    Exercise(
        id="central_difference",
        unit="gradient_check",
        title="The gradient, measured",
        functions=(central_difference,),
        goal="Ask a function for its gradient: move one entry of x a little to either side and see "
        "what happens. This is the judge of every backward in this course. x itself must not "
        "change.",
        formula="""
            gradient[i] = ( f(x + h e_i) - f(x - h e_i) ) / (2 h)
            e_i is 1 at the place i and 0 elsewhere
        """,
        example="""
            >>> x = np.array([[3.0, 5.0]])
            >>> central_difference(lambda x: x[0, 0] ** 2 * x[0, 1], x).round(6)
            array([[30.,  9.]])
        """,
        hints=(
            "np.ndindex(x.shape) walks through the places of an array with any number of axes.",
            "Move one entry of a copy, evaluate, move it to the other side, evaluate, and put it "
            "back before the next.",
            "Let the copy be float64 also where x is float32: a step of 1e-5 would drown in "
            "float32. The gradient has the shape and dtype of x.",
        ),
    ),
)

PERPLEXITY = (
    Exercise(
        id="perplexity",
        unit="cross_entropy",
        title="Perplexity",
        functions=(perplexity,),
        goal="Among how many equally likely tokens is the model in doubt? You get the mean losses "
        "of some batches, in nats per token, and the number of tokens in each.",
        formula="""
            exp( sum of count loss / sum of count )
        """,
        example="""
            >>> losses = [np.log(2.0), np.log(8.0)]
            >>> round(perplexity(losses, [10, 10]), 6)
            4.0
            >>> round(perplexity(losses, [20, 0]), 6)
            2.0
        """,
        hints=(
            "A batch of 5 tokens must not weigh as much as one of 500.",
            "First the mean over all tokens, then exp: the exp of a mean is not the mean of exps.",
            "A loss of 1000 is bad, but no reason to crash: np.exp gives infinity where math.exp "
            "raises OverflowError (np.errstate(over='ignore') keeps it quiet). Return a float.",
        ),
    ),
)
