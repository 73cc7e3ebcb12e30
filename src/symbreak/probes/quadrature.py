"""Spectral densities of symmetric operators by stochastic Lanczos quadrature, in numbers of eigenvalues.

For a random unit vector v the Lanczos recurrence of m steps gives Gauss quadrature of the measure
sum_i (v . x_i)^2 delta(lambda_i): nodes theta and weights w (Golub and Meurant 1994; Ubaru et al. 2017, SIAM J. Matrix
Anal. Appl. 38, 1075, section 3). In the mean over v each eigenvalue has the weight 1/n. What an eigenvector known
beforehand would add is taken out and counted exactly: tr f(A) = sum f(lambda_known) + tr f(A on the rest), which takes
away most of the noise of outliers (Lin et al. 2016 do so for single functions).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.lanczos import Apply

Array = NDArray[np.float64]
BYTES = 2**32  # of the bases of all recurrences that run at once


@dataclass(frozen=True)
class Quadrature:
    """Gauss quadrature of V random vectors: ``nodes`` ``[R, V, m]`` ascending, ``weights`` of sum 1 over m; float64."""

    nodes: Tensor
    weights: Tensor


def quadrature(apply: Apply, probes: Tensor, steps: int, known: Tensor | None = None) -> Quadrature:
    """Run the recurrences of all probes as one batch, fully reorthogonalised in two passes.

    Args:
        apply: R symmetric operators, ``[R, b, n]`` -> ``[R, b, n]``.
        probes: Random vectors ``[R, V, n]``, normally distributed, which after normalisation have no direction.
        steps: m, at most the dimension that is left.
        known: Orthonormal vectors ``[R, d, n]`` whose span is left out.

    Raises:
        SymbreakError: If a single probe's basis exceeds ``BYTES``, or a product is not finite.
    """
    replicas, count, n = probes.shape
    together = BYTES // (replicas * n * steps * probes.element_size())
    if together == 0:
        raise SymbreakError(
            f"{steps} vectors of {n} numbers for {replicas} networks exceed {BYTES} bytes: expected a basis that fits; "
            "lower 'steps'"
        )
    parts = [_recur(apply, part, steps, known) for part in probes.split(min(together, count), 1)]
    return Quadrature(torch.cat([p.nodes for p in parts], 1), torch.cat([p.weights for p in parts], 1))


def _recur(apply: Apply, probes: Tensor, steps: int, known: Tensor | None) -> Quadrature:
    replicas, count, n = probes.shape
    basis = probes.new_zeros(replicas * count, steps, n)
    t = torch.zeros(replicas * count, steps, steps, dtype=torch.float64, device=probes.device)
    w, beta = _without(probes, known), torch.ones(replicas * count, dtype=torch.float64, device=probes.device)
    largest = torch.zeros_like(beta)
    for step in range(steps):
        length: Tensor = torch.linalg.vector_norm(w, dim=2, dtype=torch.float64).view(-1)
        # a recurrence that has used up its space is continued with zeros, whose weight is 0
        floor = torch.finfo(w.dtype).eps * n**0.5 * largest
        alive = length > floor
        beta = torch.where(alive, length, 0.0)
        scale = torch.where(alive, 1 / length.clamp(min=torch.finfo(w.dtype).tiny), 0.0)
        basis[:, step] = w.view(-1, n) * scale.to(w.dtype).unsqueeze(1)
        if step > 0:
            t[:, step, step - 1] = t[:, step - 1, step] = beta
        q = basis[:, : step + 1]
        w = _without(apply(basis[:, step].view(replicas, count, n)), known)
        t[:, step, step] = torch.bmm(basis[:, step : step + 1].double(), w.view(-1, n, 1).double()).view(-1)
        largest = torch.maximum(largest, torch.maximum(t[:, step, step].abs(), beta if step else largest))
        for _ in range(2):
            overlap = torch.bmm(q, w.view(-1, n, 1))
            w = _without(w - torch.bmm(overlap.transpose(1, 2), q).view_as(w), known)
    if not bool(torch.isfinite(t).all()):
        raise SymbreakError("a product with the operator is not finite: expected finite numbers; check the weights")
    nodes, vectors = torch.linalg.eigh(t)
    return Quadrature(nodes.view(replicas, count, steps), vectors[:, 0].square().view(replicas, count, steps))


def _without(w: Tensor, known: Tensor | None) -> Tensor:
    if known is None:
        return w
    return torch.baddbmm(w, torch.bmm(w, known.transpose(1, 2)), known, alpha=-1)


@dataclass(frozen=True)
class Spectrum:
    """P eigenvalues of each of R operators: some exactly, the others by quadrature.

    Attributes:
        exact: ``[R, E]``, each counting once.
        nodes: ``[R, V, m]``, ascending.
        weights: ``[R, V, m]``.
        rest: Number of eigenvalues that the quadrature stands for; 0: all are exact.
    """

    exact: Array
    nodes: Array
    weights: Array
    rest: int

    def below(self, at: Array) -> tuple[Array, Array]:
        """Return how many eigenvalues are <= ``at`` ``[R, L]``, and the error, both ``[R, L]``.

        The error is the standard error over the probes plus the bound of Chebyshev, Markov and Stieltjes, by which
        each probe's distribution at x lies between its quadrature's one node further down and one node further up.
        """
        found = (self.exact[:, None, :] <= at[:, :, None]).sum(2).astype(np.float64)
        if self.rest == 0:
            return found, np.zeros_like(found)
        padded = np.pad(self.weights, ((0, 0), (0, 0), (1, 1)))
        place = (self.nodes[:, :, None, :] <= at[:, None, :, None]).sum(3)
        sums = np.pad(np.cumsum(self.weights, 2), ((0, 0), (0, 0), (1, 0)))
        shares = np.take_along_axis(sums, place, 2)
        either = np.maximum(np.take_along_axis(padded, place, 2), np.take_along_axis(padded, place + 1, 2))
        error = standard_error(shares) + either.mean(1)
        return found + self.rest * shares.mean(1), self.rest * error

    def moment(self, power: int) -> tuple[Array, Array]:
        """Return the sum of eigenvalue^power, ``[R]``, and its standard error over the probes."""
        found = (self.exact**power).sum(1)
        if self.rest == 0:
            return found, np.zeros_like(found)
        each = self.rest * (self.weights * self.nodes**power).sum(2)
        return found + each.mean(1), standard_error(each)


def whole(values: Array) -> Spectrum:
    """Return the spectrum of operators of which every eigenvalue ``[R, P]`` is known."""
    none = np.zeros((len(values), 0, 0))
    return Spectrum(np.sort(values, 1), none, none, 0)


def standard_error(values: Array) -> Array:
    """Return the standard error of the mean over axis 1 (probes), which has at least two entries."""
    found: Array = values.std(1, ddof=1) / np.sqrt(values.shape[1])
    return found
