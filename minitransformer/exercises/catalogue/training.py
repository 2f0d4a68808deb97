"""From gradients to steps: optimizers, clipping, schedules."""

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise
from minitransformer.optim import clip_grad_norm
from minitransformer.schedules import warmup_cosine

EXERCISES = (
    Exercise(
        id="sgd_step",
        unit="optimizers",
        title="Gradient descent, with momentum",
        functions=(ops.sgd_step,),
        goal="Roll downhill: the gradient pushes a velocity, and the velocity moves the parameter. "
        "parameter and velocity are updated in place, grad is left alone, nothing is returned.",
        formula="""
            g = grad + weight_decay p
            u <- momentum u + g
            p <- p - lr u,   or with nesterov:  p <- p - lr (g + momentum u)
        """,
        example="""
            >>> parameter, velocity = np.array([1.0]), np.array([10.0])
            >>> sgd_step(parameter, np.array([2.0]), velocity, lr=0.1, momentum=0.5)
            >>> velocity, parameter
            (array([7.]), array([0.3]))
        """,
        hints=(
            "In place means that the caller's array changes: `p = p - ...` only gives a new array "
            "a name, `p -= ...` and `p[...] = ...` write into the old one.",
            "The decay uses p before the step, and is part of what is pushed: compute g first, as "
            "a new array.",
            "Then update the velocity, then the parameter: Nesterov's form uses the new u.",
        ),
    ),
    Exercise(
        id="adamw_step",
        unit="optimizers",
        title="Adam and AdamW",
        functions=(ops.adamw_step,),
        goal="Move against the gradient's running mean, measured in units of the gradient's "
        "running size. With weight_decay = 0 this is Adam. parameter, m and v are updated in "
        "place, grad is left alone, nothing is returned.",
        formula="""
            p <- p (1 - lr weight_decay)
            m <- beta1 m + (1 - beta1) g
            v <- beta2 v + (1 - beta2) g^2
            p <- p - lr (m / (1 - beta1^t)) / ( sqrt(v / (1 - beta2^t)) + eps )
            t counts the steps from 1
        """,
        example="""
            >>> parameter, m, v = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
            >>> adamw_step(parameter, np.array([5.0, -0.5]), m, v, t=1, lr=0.1)
            >>> parameter.round(4)  # the first step is lr, whatever the size of the gradient
            array([0.9, 1.1])
            >>> m.round(4)
            array([ 0.5 , -0.05])
            >>> v.round(6)
            array([0.025  , 0.00025])
        """,
        hints=(
            "Four lines, in this order, each in place: `m *= beta1` and then `m += ...`, or "
            "`m[...] = ...`.",
            "m and v start at 0, so that early on they are too small: the two divisions repair "
            "this. They are for this step only and must not be stored in m and v.",
            "eps stands outside the root, after the correction of v. The decay is the first line "
            "and never touches g, m or v: this is the W in AdamW.",
        ),
        points=2,
    ),
    Exercise(
        id="clip_grad_norm",
        unit="optimizers",
        title="Clipping the gradient",
        functions=(clip_grad_norm,),
        goal="One bad batch must not throw the model out of the valley. Take all arrays as one "
        "long vector; if it is too long, shorten it in place, without turning it. Return the "
        "length that it had before.",
        formula="""
            norm = sqrt( sum of the squares of all entries of all arrays )
            if norm > max_norm: every array <- array max_norm / (norm + 1e-6)
            if norm is NaN or infinite the arrays stay as they are
        """,
        example="""
            >>> grads = [np.array([3.0]), np.array([[4.0]])]
            >>> clip_grad_norm(grads, 1.0)
            5.0
            >>> grads[0].round(4), grads[1].round(4)
            (array([0.6]), array([[0.8]]))
            >>> clip_grad_norm(grads, 2.0) < 1.0001  # short enough: nothing happens
            True
        """,
        hints=(
            "One norm for all arrays together, not one for each: the direction must not change.",
            "Sum the squares of each array, then over arrays, then take one root. Sum in float64: "
            "squares of large float32 numbers overflow.",
            "Scale with *= and a Python float, which keeps the dtype. A comparison with NaN is "
            "False, but infinity is larger than everything: treat it.",
        ),
    ),
    Exercise(
        id="warmup_cosine",
        unit="optimizers",
        title="A schedule: warm-up, then half a cosine wave",
        functions=(warmup_cosine,),
        goal="Climb to the peak in a straight line while the moments of Adam are still rough, then "
        "glide down.",
        formula="""
            step < warmup:   peak step / warmup
            then:            height peak + (1 - height) floor,   height = (1 + cos(pi x)) / 2
                             x = (step - warmup) / (total - warmup), at most 1
        """,
        example="""
            >>> [round(warmup_cosine(step, 1.0, 10, 30), 4) for step in (0, 5, 10, 20, 30, 40)]
            [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
            >>> warmup_cosine(99, 1.0, 10, 30, floor=0.1)
            0.1
        """,
        hints=(
            "Three parts: before the peak, between peak and total, and after total, where the "
            "rate stays at the floor.",
            "At step == warmup the rate is the peak itself. What is x there, and at step == total?",
            "min(..., 1.0) takes care of everything after total. With warmup 0 there is no climb, "
            "and no division by 0 either, if you ask `step < warmup` first.",
        ),
    ),
)
