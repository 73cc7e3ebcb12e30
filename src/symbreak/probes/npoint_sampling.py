"""Gauss-, Erf- and ReLU-nets drawn in blocks that stay in a core's cache and are never stored (arXiv:2008.08601).

f_i(x) = b1_i + sum_j W1_ij s_j(x); neurons and variances as in ``symbreak.theory.correlators``. Net m belongs to the
block m // B, whose draws come from the seed's stream ("npoint", neuron, width, block): any net can be drawn anew.

A plain mean over Gauss-nets measures the tail of its sampler: Var(f^6) is ruled by M_12 = e^60. ``tilted`` draws from
q = (1/C) sum_c (1/N) sum_j p(net) r_c(z_j), in which one neuron's pre-activations are shifted to where s(x_p)^n is
large, for n = 4, 6 and each point p, or not at all (a mixture with the plain density, so that no weight exceeds C);
r_c is a neuron's ratio of densities, shifted to plain. A net counts with its weight p/q, which leaves every mean as it
is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.models.activations import ACTIVATIONS
from symbreak.probes.npoint_moments import BlockSums, blocks
from symbreak.probes.npoint_pieces import Piece, Single, block_sums
from symbreak.seeding import derive
from symbreak.theory.correlators import Neuron, whitened
from symbreak.theory.gaussnet import log_normaliser

Array = NDArray[np.float64]
BLOCK = 2**16  # neurons a block: 0.8 MB with one output and 2 directions, which a core's cache holds
TILTS = (4, 6)  # orders of the correlators whose tails are reached for


@dataclass(frozen=True)
class Ensemble:
    """Networks of one architecture at initialisation.

    Attributes:
        neuron: ``gauss``, ``erf`` or ``relu``.
        width: Number of neurons N.
        sigma_w: Scale of the weights.
        sigma_b: Standard deviation of the biases (the papers' ReLU-net has 0).
        outputs: Number of outputs D.
        seed: Seed of all draws.
        tilted: Whether nets are drawn where the tails of Gauss-nets are.
    """

    neuron: Neuron
    width: int
    sigma_w: float = 1.0
    sigma_b: float = 1.0
    outputs: int = 1
    seed: int = 0
    tilted: bool = False

    def __post_init__(self) -> None:
        if self.tilted and self.neuron != "gauss":
            raise SymbreakError(f"'tilted' is for Gauss-nets, found neuron '{self.neuron}'; draw it plainly")

    @property
    def block(self) -> int:
        """Nets B in a block."""
        return max(1, BLOCK // self.width)


@dataclass(frozen=True)
class Drawn:
    """A block of nets.

    Attributes:
        normals: n ``[r, B N]`` with pre-activations A n, neurons of a net together.
        w1: ``[B, D, N]``.
        b1: ``[B, D]``.
        weights: p/q of each net, float64 ``[B]``; None: 1.
    """

    normals: Tensor
    w1: Tensor
    b1: Tensor
    weights: Array | None


@dataclass(frozen=True)
class Weights:
    """One net: W0 ``[N, d]``, b0 ``[N]``, W1 ``[D, N]``, b1 ``[D]``."""

    w0: Array
    b0: Array
    w1: Array
    b1: Array


def outputs(ensemble: Ensemble, x: Array, first: int, count: int) -> Iterator[tuple[Array, Array | None]]:
    """Yield outputs f(x) ``[n, D, P]`` and weights ``[n]`` (None: 1) of nets ``first`` .. ``first + count``, in blocks.

    Drawn and evaluated in single precision, whose rounding (1e-7) is far below the sampling error.

    Args:
        ensemble: The networks.
        x: Points [P, d].
        first: Number of the first net.
        count: Number of nets.

    Raises:
        SymbreakError: If ``x`` is not a finite array [P, d].
    """
    for f, found in _singles(ensemble, x, first, count):
        yield f.astype(np.float64), found


def sample(
    ensemble: Ensemble, x: Array, nets: int, orders: Sequence[int] = (2, 4, 6), *, jackknife_blocks: int = 32
) -> BlockSums:
    """Return the sums over blocks of nets of the products of f at points [P, d], order -> ``[B, D, E]``.

    Memory is that of one block of nets (``BLOCK`` neurons) and of the sums, whatever the number of nets.

    Args:
        ensemble: The networks; a tilted ensemble's are weighted.
        x: Points [P, d].
        nets: Number of nets, from number 0.
        orders: Orders of the correlators.
        jackknife_blocks: Blocks for the errors.

    Raises:
        SymbreakError: Too few nets for an error, or ``x`` is not a finite array [P, d].
    """
    return block_sums(_singles(ensemble, x, 0, nets), blocks(nets, jackknife_blocks), orders)


def neuron_moments(
    ensemble: Ensemble, x: Array, neurons: int, orders: Sequence[int] = (2, 4, 6), *, jackknife_blocks: int = 32
) -> BlockSums:
    """Return the sums of one neuron's products s(x_1) ... s(x_n), order n -> ``[B, E_n]``; their means are M_n.

    With them ``connected_four_of_moments`` and ``connected_six_of_moments`` are exact in the width, and the draws of W1
    and b1, most of a net's noise, are integrated out.

    Args:
        ensemble: The networks; their width and outputs play no part.
        x: Points [P, d].
        neurons: Number of neurons to draw.
        orders: Orders n.
        jackknife_blocks: Blocks for the errors.

    Raises:
        SymbreakError: Too few neurons for an error, or ``x`` is not a finite array [P, d].
    """
    found = block_sums(_single_neurons(ensemble, x, neurons), blocks(neurons, jackknife_blocks), orders)
    return BlockSums({order: sums[:, 0] for order, sums in found.sums.items()}, found.weights)


def weights(ensemble: Ensemble, x: Array, net: int) -> Weights:
    """Draw net number ``net`` again, as a network whose outputs at points [P, d] are those of :func:`outputs`.

    Where the points do not span all directions of (W0, b0), the others are drawn here from a stream of their own.
    """
    factor = _factor(ensemble, x)
    block, at = divmod(net, ensemble.block)
    drawn = draw(ensemble, factor, block)
    width, d = ensemble.width, x.shape[1]
    n = drawn.normals.double().numpy()[:, at * width : (at + 1) * width]
    map_to = np.hstack([ensemble.sigma_w * x / math.sqrt(d), np.full((len(x), 1), ensemble.sigma_b)])
    inverse = np.linalg.pinv(map_to)
    rest = np.random.default_rng(derive(ensemble.seed, "npoint", "rest", str(net))).standard_normal((d + 1, width))
    m = inverse @ (factor @ n) + rest - inverse @ (map_to @ rest)
    w0, b0 = ensemble.sigma_w / math.sqrt(d) * m[:d].T, ensemble.sigma_b * m[d]
    return Weights(w0, b0, drawn.w1[at].double().numpy(), drawn.b1[at].double().numpy())


def draw(ensemble: Ensemble, factor: Array, block: int) -> Drawn:
    """Draw a block of nets.

    Args:
        ensemble: The networks.
        factor: A ``[P, r]`` of ``symbreak.theory.correlators.whitened``.
        block: Its number.
    """
    size, width, wide, rank = ensemble.block, ensemble.width, ensemble.outputs, factor.shape[1]
    names = ("npoint", ensemble.neuron, f"width={width}", f"block={block}")
    bits = np.random.SFC64(derive(ensemble.seed, *names))
    inner, outer = rank * size * width, size * wide * width
    flat = _normals(bits, inner + outer + size * wide)
    normals, w1 = flat[:inner].reshape(rank, -1), flat[inner : inner + outer].reshape(size, wide, width)
    b1 = flat[inner + outer :].reshape(size, wide)
    w1 *= ensemble.sigma_w / math.sqrt(width)
    b1 *= ensemble.sigma_b
    weights = _tilt(normals.reshape(rank, size, width), factor, np.random.Generator(bits)) if ensemble.tilted else None
    return Drawn(torch.from_numpy(normals), torch.from_numpy(w1), torch.from_numpy(b1), weights)


def _normals(bits: np.random.BitGenerator, count: int) -> Single:
    """Return N(0, 1) numbers in single precision by Box and Muller (1958), faster than torch's or numpy's.

    From 31 bits, whose smallest values stay apart in single precision: they end at 6.7 standard deviations (torch's
    at 5.8, which is within reach of the moments of exp).
    """
    from symbreak.probes.kernels.normals import box_muller  # numba takes a second to import

    words = bits.random_raw((count + 1) // 2).view(np.int32)
    box_muller(words)
    return words.view(np.float32)[:count]


def evaluate(neuron: Neuron, factor: Array, offset: Tensor, drawn: Drawn) -> Tensor:
    """Return the outputs of a block of nets, ``[B, D, P]``, single precision.

    Args:
        neuron: ``gauss``, ``erf`` or ``relu``.
        factor: A ``[P, r]``.
        offset: What is subtracted from the pre-activations, ``[P, 1]``.
        drawn: The nets.
    """
    if neuron == "gauss":
        return _gauss(torch.from_numpy(factor).to(drawn.normals.dtype), offset, drawn)
    size, _, width = drawn.w1.shape
    s = hidden(neuron, factor, offset, drawn).view(-1, size, width)
    return torch.baddbmm(drawn.b1[:, :, None], drawn.w1, s.permute(1, 2, 0))


def hidden(neuron: Neuron, factor: Array, offset: Tensor, drawn: Drawn) -> Tensor:
    """Return the neurons of a block of nets, those of a net together, ``[P, B N]``; arguments as above."""
    rows = torch.from_numpy(factor).to(drawn.normals.dtype)
    if neuron == "gauss":
        return torch.addmm(offset, rows, drawn.normals, beta=-1).exp_()
    return ACTIVATIONS[neuron].value_(rows @ drawn.normals)


def _singles(ensemble: Ensemble, x: Array, first: int, count: int) -> Iterator[Piece]:
    """Yield outputs as :func:`outputs` does, in the single precision in which they are computed."""
    factor, offset = _factor(ensemble, x), _offset(ensemble, x)
    size, last = ensemble.block, first + count
    for block in range(first // size, math.ceil(last / size)):
        f, found = _evaluated(ensemble, factor, offset, block)
        inside = slice(max(first - block * size, 0), last - block * size)
        yield f[inside].numpy(), None if found is None else found[inside]


def _evaluated(ensemble: Ensemble, factor: Array, offset: Tensor, block: int) -> tuple[Tensor, Array | None]:
    # a function of its own, which forgets a block's draws before the next are made: two would not fit in the cache
    drawn = draw(ensemble, factor, block)
    return evaluate(ensemble.neuron, factor, offset, drawn), drawn.weights


def _gauss(rows: Tensor, offset: Tensor, drawn: Drawn) -> Tensor:
    from symbreak.probes.kernels.gauss import gauss  # numba takes a second to import

    f = drawn.b1.new_empty(*drawn.b1.shape, len(rows))
    given = [t.contiguous().numpy() for t in (rows, offset[:, 0], drawn.normals, drawn.w1, drawn.b1)]
    gauss(given[0], given[1], given[2], given[3], given[4], f.numpy())
    return f


def _tilt(normals: Single, factor: Array, generator: np.random.Generator) -> Array:
    """Shift the first neuron of each net by a drawn component and return p/q; ``normals`` ``[r, B, N]`` is changed.

    Nets do not know the order of their neurons, so that shifting the first is drawing which.
    """
    shifts = np.vstack([np.zeros((1, factor.shape[1])), *(order * factor for order in TILTS)])
    chosen = generator.integers(len(shifts), size=normals.shape[1])
    normals[:, :, 0] += shifts.astype(normals.dtype)[chosen].T
    flat = normals.reshape(len(normals), -1).astype(np.float64)
    logarithms = shifts @ flat - 0.5 * np.sum(shifts**2, axis=1)[:, None]
    mixture = np.exp(logarithms).mean(axis=0).reshape(normals.shape[1:]).mean(axis=1)
    found: Array = 1 / mixture
    return found


def _single_neurons(ensemble: Ensemble, x: Array, count: int) -> Iterator[Piece]:
    """Yield neurons s(x) ``[n, 1, P]`` and weights ``[n]``."""
    single = replace(ensemble, width=1, outputs=1)
    factor, offset = _factor(single, x), _offset(single, x)
    for block in range(math.ceil(count / single.block)):
        drawn = draw(single, factor, block)
        inside = slice(count - block * single.block)
        s = hidden(single.neuron, factor, offset, drawn).T[inside, None]
        yield s.numpy(), None if drawn.weights is None else drawn.weights[inside]


def _factor(ensemble: Ensemble, x: Array) -> Array:
    if x.ndim != 2 or x.size == 0 or not np.isfinite(x).all():
        raise SymbreakError(
            f"expected finite points [P, d], found shape {x.shape}; flatten inputs and drop what is NaN"
        )
    return whitened(x, ensemble.sigma_w, ensemble.sigma_b)


def _offset(ensemble: Ensemble, x: Array) -> Tensor:
    return torch.from_numpy(log_normaliser(x, ensemble.sigma_w, ensemble.sigma_b)).float()[:, None]
