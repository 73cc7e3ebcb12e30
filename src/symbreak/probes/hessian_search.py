"""Finding a Hessian's eigenvalues: what ``symbreak.probes.hessian`` reports, group by group of replicas."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.hessian_products import Products, Task, dense, double
from symbreak.probes.lanczos import Pairs, eigenpairs
from symbreak.probes.network import Data, Network
from symbreak.probes.quadrature import Spectrum, quadrature, whole
from symbreak.seeding import derive
from symbreak.training.losses import LOSSES

EXACT = 8_000  # parameters up to which 'auto' computes every eigenvalue: 0.5 GB and some minutes on one core
EXACT_MOST = 30_000  # up to which 'exact' does: 7.2 GB a matrix, of which there are two
SEEN = 1e-8  # square of the length of a direction among the classes' gradients, relative to the longest, to be taken
KNOWN = 20  # eigenvalues found before a quadrature, at least: at 10 probes its error is then a third of that without
KNOWN_MOST = 1_000_000  # parameters up to which; more are left to 'k', as the vectors would not fit into memory
GUARD = (2, 8)  # vectors of a block beyond the eigenvalues asked for and half as many more, and beyond them at most
COARSE = 7e-3  # tolerance from which on coarse products may search: eigenvalues nearer than that they may mix up
NEARER = 0.7  # of the tolerance asked for, to which the search goes, so that it holds for exact products too
LONGEST = 8  # start blocks of coarse products, after which exact ones take over whatever was found

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What of a Hessian is computed; see ``measure``."""

    k: int
    bottom: int
    spectrum: str
    probes: int
    steps: int
    tolerance: float
    known: int = 0  # largest eigenvalues that are found, if more than ``k``

    @property
    def top(self) -> int:
        """The number of largest eigenvalues that are found."""
        return max(self.k, self.known)

    @property
    def block(self) -> int:
        """The number of vectors that are multiplied at once."""
        wanted = max(self.top, self.bottom)
        return max(wanted + min(wanted // 2 + GUARD[0], GUARD[1]), self.top + self.bottom)


@dataclass(frozen=True)
class Found:
    """What was found for some replicas: values and residuals at both ends ``[R, .]``, and their spectrum, if any."""

    top: tuple[Array, Array]
    bottom: tuple[Array, Array]
    spectrum: Spectrum | None
    converged: bool


def find(task: Task, seed: int, options: Options) -> list[Found]:
    """Return what was found for each group of replicas, in their order; ``checked`` beforehand."""
    exact = options.spectrum == "exact" or (options.spectrum == "auto" and task.network.size <= EXACT)
    if not exact and options.spectrum != "none" and task.network.size <= KNOWN_MOST:
        options = replace(options, known=max(KNOWN, options.k))
    found: list[Found] = []
    for products, seeds in seeded(double(task) if exact else task, seed, options):
        found.append(_exact(products, seeds, options) if exact else _estimated(products, seeds, options))
    return found


def seeded(task: Task, seed: int, options: Options) -> Iterator[tuple[Products, list[int]]]:
    """Yield products of groups of replicas and each replica's seed."""
    first = 0
    for products in task.groups(options.block):
        yield products, [derive(seed, "hessian", str(r)) for r in range(first, first + products.count)]
        first += products.count


def checked(network: Network, data: Data, loss: str, options: Options) -> Task:
    """Return the task if it can be done.

    Raises:
        SymbreakError: If an option is out of its range, a network too large for it, or a number not finite.
    """
    _expect(loss in LOSSES, f"'loss' must be one of {sorted(LOSSES)}, found '{loss}'")
    names = ("auto", "exact", "slq", "none")
    _expect(options.spectrum in names, f"'spectrum' must be one of {names}, found '{options.spectrum}'")
    _expect(1 <= options.k <= network.size, f"'k' must be from 1 to {network.size} parameters, found {options.k}")
    _expect(0 <= options.bottom <= network.size, f"'bottom' must be from 0 to {network.size}, found {options.bottom}")
    _expect(0 < options.tolerance < 1, f"'tolerance' must be between 0 and 1, found {options.tolerance}")
    fewest = options.spectrum == "none" and options.probes == 0
    _expect(options.probes >= 2 or fewest, f"'probes' must be at least 2 for a standard error, found {options.probes}")
    _expect(options.steps >= 1 or fewest, f"'steps' must be at least 1, found {options.steps}")
    large = options.spectrum == "exact" and network.size > EXACT_MOST
    _expect(not large, f"'exact' is for at most {EXACT_MOST} parameters, found {network.size}; take spectrum 'slq'")
    _expect(len(data.y) > 0 and len(data.x) == len(data.y), f"found {len(data.x)} inputs and {len(data.y)} labels")
    tensors = {"inputs": data.x} | network.parameters | network.buffers
    wrong = sorted(name for name, value in tensors.items() if not _finite(value))
    _expect(not wrong, f"expected finite numbers, found NaN or infinity in {wrong}; give weights and data without them")
    return Task(network, data, loss)


def _finite(value: Tensor) -> bool:
    """Whether all entries are finite: their sum, in the fewest steps, says so unless it overflows."""
    return bool(value.sum().isfinite()) or bool(value.isfinite().all())


def _expect(holds: bool, sentence: str) -> None:
    if not holds:
        raise SymbreakError(sentence)


def _exact(products: Products, seeds: Sequence[int], options: Options) -> Found:
    matrix = dense(products)
    values = torch.linalg.eigvalsh(matrix)
    pairs = pairs_of(lambda v: torch.bmm(v, matrix), products, seeds, options)
    top = min(options.top, products.size)
    ends = torch.cat([values.flip(1)[:, :top], values[:, : pairs.values.shape[1] - top]], 1)
    every = np.pad(array(values), ((0, 0), (0, products.zeros)))
    return _found(replace(pairs, values=ends), products, options, whole(every))


def _estimated(products: Products, seeds: Sequence[int], options: Options) -> Found:
    pairs = pairs_of(products, products, seeds, options)
    return _found(pairs, products, options, _spectrum(pairs, products, seeds, options))


def _spectrum(pairs: Pairs, products: Products, seeds: Sequence[int], options: Options) -> Spectrum | None:
    """The largest eigenvalues, zero modes, and quadrature for the others; None without probes."""
    top = min(options.top, products.size)  # the smallest ones may be the same
    known, left = np.pad(array(pairs.values[:, :top]), ((0, 0), (0, products.zeros))), products.size - top
    if options.probes == 0:
        return None
    if left == 0:
        return whole(known)
    probes = _draws(products, seeds, "probes", options.probes)
    steps = 1 if options.spectrum == "none" else min(options.steps, left)
    # Ritz vectors are orthonormal to rounding: what they leave is again a symmetric operator, converged or not
    quad = quadrature(products, probes, steps, pairs.vectors[:, :top])
    return Spectrum(known, array(quad.nodes), array(quad.weights), left)


def pairs_of(apply: Callable[[Tensor], Tensor], products: Products, seeds: Sequence[int], options: Options) -> Pairs:
    """Return eigenpairs of ``apply``, from start vectors of the replicas' own.

    Coarse products do the search if the tolerance is loose, and ``apply`` takes it on from what they found: eigenvalues
    and residuals are its own, and the rounding of the coarse ones enters eigenvalues squared.
    """
    coarse = products.coarse() if apply is products and options.tolerance >= COARSE else None
    start = _guess(coarse or products, seeds, min(options.block, products.size))
    top, bottom = min(options.top, products.size), min(options.bottom, products.size)
    if coarse is None:
        return eigenpairs(apply, start, top=top, bottom=bottom, tolerance=options.tolerance)
    nearer, most = NEARER * options.tolerance, LONGEST * start.shape[1]
    near = eigenpairs(coarse, start, top=top, bottom=bottom, tolerance=nearer, most=most)
    return eigenpairs(apply, near.vectors, top=top, bottom=bottom, tolerance=options.tolerance, explored=True)


def _guess(products: Products, seeds: Sequence[int], count: int) -> Tensor:
    """Start vectors ``[R, count, n]``: the main directions of the classes' gradients, of which a trained network's top
    eigenvectors are nearly combinations (Papyan 2020, JMLR 21, 252), and random vectors, at least one.
    """
    if count == 1:
        return _draws(products, seeds, "start", 1)
    gradients = products.gradients()
    scale = torch.linalg.vector_norm(gradients, dim=2).amax(1)
    _expect(bool(scale.isfinite().all()), "the gradient is not finite: expected finite numbers; give smaller weights")
    gradients = gradients / scale.clamp(min=torch.finfo(scale.dtype).tiny).view(-1, 1, 1)
    squares, turns = torch.linalg.eigh(torch.bmm(gradients, gradients.transpose(1, 2)).double())
    # directions whose length is rounding say nothing: all replicas take as many as the one that has the fewest
    known = int((squares > SEEN * squares[:, -1:]).sum(1).min())
    known = min(known, count - 1)
    turn = turns[:, :, len(turns[0]) - known :].transpose(1, 2).to(gradients.dtype)
    return torch.cat([torch.bmm(turn, gradients), _draws(products, seeds, "start", count - known)], 1)


def _draws(products: Products, seeds: Sequence[int], name: str, count: int) -> Tensor:
    """Normally distributed vectors ``[R, count, n]``."""
    made = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(derive(seed, name))
        made.append(torch.randn(count, products.size, generator=generator, dtype=products.like.dtype))
    return torch.stack(made).to(products.like.device)


def _found(pairs: Pairs, products: Products, options: Options, spectrum: Spectrum | None) -> Found:
    values, residuals, top = array(pairs.values), array(pairs.residuals), min(options.top, products.size)
    return Found(
        _with_zeros(values[:, :top], residuals[:, :top], products.zeros, options.k, -1),
        _with_zeros(values[:, top:], residuals[:, top:], products.zeros, options.bottom, 1),
        spectrum,
        pairs.converged,
    )


def _with_zeros(values: Array, residuals: Array, zeros: int, wanted: int, sign: int) -> tuple[Array, Array]:
    """The ``wanted`` first of these values and of the zero modes that were left out, in the order of ``sign`` value."""
    room = ((0, 0), (0, min(zeros, wanted)))
    values, residuals = np.pad(values, room), np.pad(residuals, room)
    order = np.argsort(sign * values, axis=1, kind="stable")[:, :wanted]
    return np.take_along_axis(values, order, 1), np.take_along_axis(residuals, order, 1)


def array(tensor: Tensor) -> Array:
    """Return a tensor as float64."""
    found: Array = tensor.detach().cpu().double().numpy()
    return found
