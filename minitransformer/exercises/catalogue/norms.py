"""Layer norm and RMS norm."""

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise

LAYER_NORM = (
    Exercise(
        id="layer_norm_forward",
        unit="layer_norm",
        title="Layer norm",
        functions=(ops.layer_norm_forward,),
        goal="Give every position mean 0 and variance 1 over its C features, then scale and shift "
        "each feature.",
        formula="""
            mean = sum of x / C,   var = sum of (x - mean)^2 / C        for each position
            rstd = 1 / sqrt(var + eps)
            xhat = (x - mean) rstd
            y = gamma xhat + beta
        """,
        example="""
            >>> x = np.array([[1.0, 3.0]])
            >>> y, cache = layer_norm_forward(x, np.array([2.0, 2.0]), np.array([0.0, 10.0]), 0.0)
            >>> y  # the mean is 2, the standard deviation 1
            array([[-2., 12.]])
        """,
        hints=(
            "All means are over the last axis and keep it (keepdims=True), so that they line up "
            "with x again.",
            "Subtract the mean first, and take the mean of the squares of what is left. The mean "
            "of x^2 minus the squared mean loses all digits when x is far from 0.",
            "eps goes inside the root, beside the variance, and the variance divides by C, not by "
            "C - 1. Mind the dtype: float(eps) is safe.",
        ),
    ),
    Exercise(
        id="layer_norm_backward",
        unit="layer_norm",
        title="The backward of layer norm",
        functions=(ops.layer_norm_forward, ops.layer_norm_backward),
        goal="x reaches y on three ways: directly, through the mean, and through rstd. Whoever "
        "forgets a way trains a model that almost learns.",
        formula="""
            y = gamma xhat + beta
            xhat = (x - mean) rstd,   rstd = 1 / sqrt(var + eps)
            slope of rstd in x[i]: -rstd^2 xhat[i] / C
        """,
        example="""
            >>> cache = LayerNormCache(
            ...     xhat=np.array([[-1.0, 1.0, -1.0, 1.0]]),
            ...     rstd=np.array([[0.5]]),
            ...     gamma=np.ones(4),
            ... )
            >>> dx, dgamma, dbeta = layer_norm_backward(np.array([[1.0, 0.0, 0.0, 0.0]]), cache)
            >>> dx
            array([[ 0.25,  0.  , -0.25,  0.  ]])
            >>> dgamma
            array([-1.,  0.,  0.,  0.])
            >>> dbeta
            array([1., 0., 0., 0.])
        """,
        hints=(
            "gamma and beta first: every position uses the same ones, so their gradients are sums "
            "over all axes but the last. Then find dxhat, the gradient at xhat.",
            "Each feature's x moves the mean of all C features, and rstd of all C features. So "
            "besides dxhat itself there are two means over the row.",
            "Through the mean one loses the mean of dxhat. Through rstd one loses xhat times the "
            "mean of dxhat xhat. What is left of dxhat is multiplied by rstd. As a check: without "
            "eps dx is orthogonal to 1 and to xhat.",
        ),
        points=3,
    ),
)

RMS_NORM = (
    Exercise(
        id="rms_norm_forward",
        unit="rms_norm",
        title="RMS norm",
        functions=(ops.rms_norm_forward,),
        goal="Divide every position by its root mean square, then scale each feature. The norm of "
        "Llama: there is no mean to subtract, and no shift.",
        formula="""
            rrms = 1 / sqrt( sum of x^2 / C + eps )        for each position
            xhat = x rrms
            y = gamma xhat
        """,
        example="""
            >>> x = np.array([[1.0, 7.0]])  # the mean square is 25
            >>> rms_norm_forward(x, np.array([1.0, 10.0]), 0.0)[0]
            array([[ 0.2, 14. ]])
        """,
        hints=(
            "One mean over the last axis is all you need; keep its axis (keepdims=True).",
            "Mean of the squares, not the square of the mean; eps is added to it inside the root.",
            "The cache remembers xhat, rrms with its axis of length 1, and gamma.",
        ),
    ),
    Exercise(
        id="rms_norm_backward",
        unit="rms_norm",
        title="The backward of RMS norm",
        functions=(ops.rms_norm_forward, ops.rms_norm_backward),
        goal="Like layer norm's backward, with one way fewer: x reaches xhat directly and through "
        "rrms.",
        formula="""
            y = gamma xhat,   xhat = x rrms,   rrms = 1 / sqrt( mean of x^2 + eps )
            slope of rrms in x[i]: -rrms^2 xhat[i] / C
        """,
        example="""
            >>> cache = RMSNormCache(
            ...     xhat=np.array([[1.0, -1.0, 1.0, 1.0]]), rrms=np.array([[0.5]]), gamma=np.ones(4)
            ... )
            >>> dx, dgamma = rms_norm_backward(np.array([[1.0, 0.0, 0.0, 0.0]]), cache)
            >>> dx
            array([[ 0.375,  0.125, -0.125, -0.125]])
            >>> dgamma
            array([1., 0., 0., 0.])
        """,
        hints=(
            "gamma scales every position alike: its gradient is a sum over all axes but the last.",
            "All C features of a row share one rrms, so x[i] moves the whole row: there is a mean "
            "over the row in dx.",
            "Take layer norm's dx and strike out what came through the mean of x. Use dy gamma, "
            "not dy, inside the mean that is left.",
        ),
        points=2,
    ),
)
