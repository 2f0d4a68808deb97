"""Optimizers over one flat buffer: a step is two slices, matrices and the rest."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from minitransformer import placement
from minitransformer.backend import op
from minitransformer.errors import InputError
from minitransformer.nn import Parameter, flatten_parameters
from minitransformer.ops import adamw_step, scale_, sgd_step, sum_of_squares

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "adamw_step", "clip_grad_norm", "sgd_step"]


class Optimizer:
    """What every optimizer does around its update rule.

    Attributes
    ----------
    lr : float
        Learning rate of the next step; a schedule sets it.
    t : int
        Number of steps taken.
    buffers : dict of arrays (N,)
        What the update rule remembers of each of the N values, matrices first. Frozen parameters
        are not among them.
    owned : slice
        The part of these N values that is updated and remembered: all, unless :meth:`own` was
        called.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        weight_decay: float,
        remembers: Sequence[str],
    ) -> None:
        self.parameters = list(parameters)
        self.lr = lr
        self.weight_decay = weight_decay
        self.t = 0
        flat = flatten_parameters(self.parameters)
        self.size = flat.data.size
        self.owned = slice(0, self.size)
        self.buffers = {name: placement.zeros_like(flat.data) for name in remembers}

    def own(self, part: slice) -> None:
        """Update and remember only this part of the flat buffer: other ranks do the rest."""
        self.owned = part
        self.buffers = {
            name: placement.placed_like(placement.host_copy(placement.part(buffer, part)), buffer)
            for name, buffer in self.buffers.items()
        }

    def step(self) -> None:
        """Update all parameters by their gradients; weight decay shrinks matrices only.

        Biases, and the gains of norms, are few and set a scale: to pull them towards zero costs
        accuracy and prevents no overfitting.
        """
        flat = flatten_parameters(self.parameters)
        if flat.data.size != self.size:
            raise ValueError(
                f"optimizer: {flat.data.size} values are to be trained, but {self.size} when it "
                "was made; freeze and thaw parameters first, then make the optimizer"
            )
        self._follow(flat.data)
        self.t += 1
        first, last = self.owned.start, self.owned.stop
        border = min(max(flat.decayed, first), last)
        for start, stop, weight_decay in ((first, border, self.weight_decay), (border, last, 0.0)):
            updated, remembered = slice(start, stop), slice(start - first, stop - first)
            buffers = {
                name: placement.part(buffer, remembered) for name, buffer in self.buffers.items()
            }
            data, grad = (placement.part(each, updated) for each in (flat.data, flat.grad))
            self._update(data, grad, buffers, weight_decay)

    def _follow(self, data: np.ndarray) -> None:
        """Bring what is remembered to where the parameters have moved."""
        for name, buffer in self.buffers.items():
            if type(buffer) is not type(data):
                self.buffers[name] = placement.placed_like(placement.to_host(buffer), data)

    def _update(
        self,
        data: np.ndarray,
        grad: np.ndarray,
        buffers: Mapping[str, np.ndarray],
        weight_decay: float,
    ) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all that the next step needs besides parameters, gradients and ``lr``."""
        state = {name: placement.host_copy(buffer) for name, buffer in self.buffers.items()}
        return {**state, "t": np.array(self.t)}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what :meth:`state_dict` returned for the same parameters, all N values.

        Raises
        ------
        InputError
            Lists every missing, unknown and unfitting array; nothing is changed then.
        """
        whole = {
            name: np.broadcast_to(np.zeros((), buffer.dtype), self.size)
            for name, buffer in self.buffers.items()
        }
        expected = {**whole, "t": np.array(self.t)}
        problems = [f"missing: {name}" for name in expected if name not in arrays]
        problems += [f"unknown: {name}" for name in arrays if name not in expected]
        problems += [
            f"{name} is {arrays[name].dtype} of shape {arrays[name].shape}, "
            f"expected {array.dtype} of shape {array.shape}"
            for name, array in expected.items()
            if name in arrays and not _fits(arrays[name], array)
        ]
        if problems:
            raise InputError(
                "this state is not of this optimizer; resume with the optimizer and the model that "
                "it came from\n" + "\n".join(f"  {problem}" for problem in problems)
            )
        for name, buffer in self.buffers.items():
            placement.overwrite(buffer, arrays[name][self.owned])
        self.t = int(arrays["t"])


def _fits(given: np.ndarray, expected: np.ndarray) -> bool:
    same_type = given.dtype == expected.dtype or given.dtype.kind == expected.dtype.kind == "i"
    return same_type and given.shape == expected.shape


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    Parameters
    ----------
    parameters
        Each step updates their ``data`` by their ``grad``.
    lr
        Learning rate.
    momentum, nesterov, weight_decay
        As in :func:`minitransformer.ops.sgd_step`; the decay acts on matrices only.

    Raises
    ------
    ValueError
        If there are no parameters; from ``step`` if a number is out of range.

    References
    ----------
    Sutskever et al. (2013), On the importance of initialization and momentum in deep learning.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay, remembers=["velocity"])
        self.momentum = momentum
        self.nesterov = nesterov

    def _update(
        self,
        data: np.ndarray,
        grad: np.ndarray,
        buffers: Mapping[str, np.ndarray],
        weight_decay: float,
    ) -> None:
        velocity = buffers["velocity"]
        sgd_step(data, grad, velocity, self.lr, self.momentum, self.nesterov, weight_decay)


class AdamW(Optimizer):
    """Adam with decoupled weight decay: the optimizer that trains most transformers.

    Parameters
    ----------
    parameters
        Each step updates their ``data`` by their ``grad``.
    lr
        Learning rate.
    betas, eps, weight_decay
        As in :func:`minitransformer.ops.adamw_step`; the decay acts on matrices only.

    Raises
    ------
    ValueError
        If there are no parameters; from ``step`` if a number is out of range.

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled Weight Decay Regularization, arXiv:1711.05101.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, weight_decay, remembers=["m", "v"])
        self.betas = betas
        self.eps = eps

    def _update(
        self,
        data: np.ndarray,
        grad: np.ndarray,
        buffers: Mapping[str, np.ndarray],
        weight_decay: float,
    ) -> None:
        m, v = buffers["m"], buffers["v"]
        adamw_step(data, grad, m, v, self.t, self.lr, *self.betas, self.eps, weight_decay)


class Adam(AdamW):
    """Steps of about the learning rate in every coordinate, however large its gradient.

    Parameters
    ----------
    parameters
        Each step updates their ``data`` by their ``grad``.
    lr
        Learning rate.
    betas, eps
        As in :func:`minitransformer.ops.adamw_step`.

    Raises
    ------
    ValueError
        If there are no parameters; from ``step`` if a number is out of range.

    References
    ----------
    Kingma and Ba (2015), Adam: A Method for Stochastic Optimization, arXiv:1412.6980.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay=0.0)


@op(composed=True)
def clip_grad_norm(grads: Sequence[np.ndarray], max_norm: float) -> float:
    """Shorten the gradient, all arrays taken as one long vector, if it is longer than allowed.

    Parameters
    ----------
    grads
        Arrays, scaled in place by ``max_norm / (norm + 1e-6)`` if they are too long together.
    max_norm
        Greatest length allowed; ``math.inf`` only measures.

    Returns
    -------
    norm
        Length before clipping. If it is NaN or infinite the arrays are left untouched, so that the
        caller can look for the cause.

    Raises
    ------
    ValueError
        If ``max_norm`` is not positive, or an array is read-only.

    References
    ----------
    Pascanu et al. (2013), On the difficulty of training recurrent neural networks,
    arXiv:1211.5063.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm is {max_norm}, expected more than 0")
    grads = list(grads)
    norm = math.sqrt(sum(sum_of_squares(grad) for grad in grads))
    if max_norm < norm < math.inf:
        for grad in grads:
            scale_(grad, max_norm / (norm + 1e-6))
    return norm
