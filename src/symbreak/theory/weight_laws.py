"""Laws of a neuron's D outgoing weights, of equal covariance 1, and the exact output tensors that they give.

``normal`` and ``sphere`` (uniform on the sphere of radius sqrt(D)) have a density that SO(D) leaves invariant, though
``sphere`` is not Gaussian and its components depend on each other. ``laplace`` and ``uniform`` have independent
components of fourth cumulant 3 and -6/5: permutations and signs alone leave them invariant.

f_i = b1_i + (sigma_w/sqrt(N)) sum_j W_ij s_j: a sum of independent neurons, whose joint cumulants add up. With v =
sigma_w^2/N and W's moments E[W x n], for laws of mean 0

    G2_ij(x, y) = delta_ij sigma_b^2 + N v E[W_i W_j] M_2(x, y)
    G4_c,ijkl   = N v^2 { E[W_i W_j W_k W_l] M_4 - sum_3 E[W_i W_j] E[W_k W_l] M_2 M_2 }

and G4 = G4_c + sum_3 G2 G2. The moments of W are integrated by a product rule that knows nothing of deltas.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.theory.correlators import Neuron, moments
from symbreak.theory.wick import Index, multisets, pairings, places

Array = NDArray[np.float64]
Law = Literal["normal", "sphere", "laplace", "uniform"]
LAWS: tuple[Law, ...] = get_args(Law)
NODES = 4  # of a Gauss rule an axis: exact up to degree 7


def transformed(normals: Tensor, law: Law) -> Tensor:
    """Return weights of a law, ``[B, D, N]``, of as many standard normal numbers.

    ``laplace`` and ``uniform`` by the quantile function of each number's probability, ``sphere`` by its direction.

    Raises:
        SymbreakError: There is no such law.
    """
    check_law(law)
    if law == "sphere":
        lengths: Tensor = torch.linalg.vector_norm(normals, dim=1, keepdim=True)
        return normals * (math.sqrt(normals.shape[1]) / lengths)
    if law == "laplace":
        exponential: Tensor = -math.log(2) - torch.special.log_ndtr(-normals.abs())
        return torch.sign(normals) * exponential / math.sqrt(2)
    return math.sqrt(3) * torch.erf(normals / math.sqrt(2)) if law == "uniform" else normals


def check_law(law: str) -> None:
    """Raise a ``SymbreakError`` unless ``law`` is one of ``LAWS``."""
    if law not in LAWS:
        raise SymbreakError(f"expected a law of W1 among {list(LAWS)}, found '{law}'; choose one of them")


@cache
def weight_moment(law: Law, dimension: int, order: int) -> Array:
    """Return E[W_i W_j ...] of an even ``order`` up to 4, ``[D x order]``; by a product Gauss rule in D dimensions.

    ``sphere``: that of normal vectors n over E|n|^order, as n's length and direction are independent, times the radius.
    """
    check_law(law)
    nodes, weights = _rule("normal" if law == "sphere" else law)
    grid = np.stack(np.meshgrid(*[nodes] * dimension, indexing="ij")).reshape(dimension, -1)
    mass = np.stack(np.meshgrid(*[weights] * dimension, indexing="ij")).reshape(dimension, -1).prod(axis=0)
    letters = "abcd"[:order]
    moment: Array = np.einsum(f"z,{','.join(letter + 'z' for letter in letters)}->{letters}", mass, *[grid] * order)
    if law == "sphere":
        moment *= dimension ** (order / 2) / (mass @ np.sum(grid**2, axis=0) ** (order // 2))
    moment.setflags(write=False)
    return moment


def two_point_tensor(
    neuron: Neuron, x: Array, width: int, law: Law, outputs: int, sigma_b: float, mean: Array | None = None
) -> Array:
    """Return G2_ij(x_a, x_b) for sigma_w = 1, ``[E_2, D, D]`` over ``multisets(P, 2)``.

    Args:
        neuron: ``gauss``, ``erf`` or ``relu``.
        x: Points [P, d].
        width: Number of neurons N.
        law: Law of W.
        outputs: D.
        sigma_b: Standard deviation of the biases.
        mean: Mean of W1's rows, ``[D]``, added to all weights of an output; None: 0. It adds
            v_i v_j [N M_2 + N (N - 1) M_1(x) M_1(y)].
    """
    m2 = moments(neuron, x, 2, 1.0, sigma_b)[:, None, None]
    found = sigma_b**2 * np.eye(outputs) + weight_moment(law, outputs, 2) * m2
    if mean is not None:
        m1 = moments(neuron, x, 1, 1.0, sigma_b)[multisets(len(x), 2)].prod(axis=1)[:, None, None]
        found = found + np.outer(mean, mean) * (width * m2 + width * (width - 1) * m1)
    return found


def connected_four_tensor(
    neuron: Neuron,
    x: Array,
    quadruples: Sequence[Sequence[int]] | Index,
    width: int,
    law: Law,
    outputs: int,
    sigma_b: float,
) -> Array:
    """Return G4_c,ijkl for sigma_w = 1 and a mean of 0 at quadruples of points, ``[Q, D, D, D, D]``."""
    chosen = np.array(quadruples)
    m2, m4 = (moments(neuron, x, order, 1.0, sigma_b) for order in (2, 4))
    tensor = m4[places(len(x), chosen)][:, None, None, None, None] * weight_moment(law, outputs, 4)
    second = weight_moment(law, outputs, 2)
    pairs = _over_pairings(chosen, lambda pair: second * m2[places(len(x), pair)][:, None, None])
    found: Array = (tensor - pairs) / width
    return found


def four_tensor(
    neuron: Neuron,
    x: Array,
    quadruples: Sequence[Sequence[int]] | Index,
    width: int,
    law: Law,
    outputs: int,
    sigma_b: float,
) -> Array:
    """Return G4_ijkl = sum_3 G2 G2 + G4_c, ``[Q, D, D, D, D]``; arguments as :func:`connected_four_tensor`."""
    chosen = np.array(quadruples)
    g2 = two_point_tensor(neuron, x, width, law, outputs, sigma_b)
    pairs = _over_pairings(chosen, lambda pair: g2[places(len(x), pair)])
    return pairs + connected_four_tensor(neuron, x, quadruples, width, law, outputs, sigma_b)


def _over_pairings(quadruples: NDArray[Any], of_pair: Callable[[NDArray[Any]], Array]) -> Array:
    """Sum over the three pairings (p, q) of T(p) T(q), where ``of_pair`` makes T ``[Q, D, D]`` of points ``[Q, 2]``."""
    total: Any = 0.0
    for one, two in pairings(range(4)):
        letters = "".join("ijkl"[at] for at in one), "".join("ijkl"[at] for at in two)
        product = np.einsum(
            f"q{letters[0]},q{letters[1]}->qijkl", of_pair(quadruples[:, one]), of_pair(quadruples[:, two])
        )
        total = total + product
    return np.asarray(total)


def _rule(law: Law) -> tuple[Array, Array]:
    """Nodes and weights of a Gauss rule for one number of variance 1."""
    if law == "uniform":
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        return math.sqrt(3) * nodes, weights / 2
    if law == "laplace":
        nodes, weights = np.polynomial.laguerre.laggauss(NODES)
        return np.concatenate([-nodes, nodes]) / math.sqrt(2), np.concatenate([weights, weights]) / 2
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()
