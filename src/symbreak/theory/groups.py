"""Elements of the groups under which a function of vectors or of images may be invariant, drawn or listed.

Every element is linear and acts on samples ``[B, *shape]`` in their own type. The continuous groups are drawn from Haar
measure where they are compact (rotations, signs, permutations) and log-uniformly within ``SCALE`` where they are not.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from symbreak.errors import SymbreakError
from symbreak.seeding import derive

Shape = tuple[int, ...]
Element = Callable[[Tensor], Tensor]
SCALE = 2.0  # positive factors are between 1/SCALE and SCALE


@dataclass(frozen=True)
class Group:
    """A group (or, for the resampled rotations, a set) of linear maps of samples of one shape.

    Attributes:
        make: (shape, generator, angle) -> one random element, or with ``listed`` all elements but the identity.
        listed: Whether ``make`` gives all of them.
        maps: Acts on the two last axes of ``[C, H, W]``; else on the features, flattened.
        square: Needs maps with H = W.
    """

    make: Callable[[Shape, np.random.Generator, float], list[Element]]
    listed: bool = False
    maps: bool = False
    square: bool = False


def elements(name: str, shape: Shape, samples: int, seed: int, theta: float) -> Iterator[Element]:
    """Return the elements of a group that a measurement uses, one by one, as a rotation of D features takes O(D^2).

    Args:
        name: A key of ``GROUPS``.
        shape: Of one sample.
        samples: How many elements are drawn, if the group is not one of those whose elements are all listed.
        seed: Of the draws.
        theta: Angle in radians of ``block_rotation`` and the ``map_rotation``s.

    Raises:
        SymbreakError: If the name is unknown or the group does not act on such samples.
    """
    if reason := unfit(name, shape):
        raise SymbreakError(reason)
    draws = 1 if GROUPS[name].listed else samples
    generators = (np.random.default_rng(derive(seed, "group", name, str(draw))) for draw in range(draws))
    return (element for generator in generators for element in GROUPS[name].make(shape, generator, theta))


def unfit(name: str, shape: Shape) -> str | None:
    """Say why a group cannot act on samples of ``shape``, or None if it can."""
    if name not in GROUPS:
        return f"there is no group '{name}'; choose among {sorted(GROUPS)}"
    group = GROUPS[name]
    if group.maps and len(shape) != 3:
        return f"the group '{name}' acts on images [C, H, W], but a sample has the shape {list(shape)}; leave it out"
    if group.square and shape[1] != shape[2]:
        return f"the group '{name}' needs images with H = W, but a sample has the shape {list(shape)}; leave it out"
    if not group.maps and math.prod(shape) < 2:
        return f"the group '{name}' is asked for samples with at least 2 features, but they have 1; leave it out"
    return None


def haar(dimension: int, generator: np.random.Generator) -> Element:
    """Draw a rotation of SO(D) from Haar measure; it acts on ``[B, *shape]`` with D features a sample.

    Q of the QR decomposition of a Gaussian matrix with R's diagonal made positive is Haar on O(D). Its reflections
    see fresh Gaussian vectors of length D, D - 1, ..., 1, which are drawn here without the decomposition, O(D^2)
    instead of O(D^3) (Stewart 1980, SIAM J. Numer. Anal. 17, 403, section 3). A last sign makes the determinant +1.
    """
    drawn = torch.from_numpy(np.tril(generator.standard_normal((dimension, dimension))))
    lengths = torch.linalg.vector_norm(drawn, dim=0)
    first = drawn.diagonal().clone()
    signs = -torch.sign(first)  # of R's diagonal after each reflection
    pivot = first + torch.sign(first) * lengths
    reflectors = drawn / pivot
    tau = pivot.abs() / lengths
    tau[-1], signs[-1] = 0.0, 1.0  # a single entry is not reflected; its sign is the determinant's
    signs[-1] = torch.prod(signs) * (-1) ** (dimension - 1)

    def rotate(x: Tensor) -> Tensor:
        columns = x.reshape(len(x), dimension).T.to(torch.float64) * signs[:, None]
        return torch.ormqr(reflectors, tau, columns).T.to(x.dtype).reshape(x.shape)

    return rotate


def identity(x: Tensor) -> Tensor:
    """Leave the samples as they are."""
    return x


def _rotation(shape: Shape, generator: np.random.Generator, theta: float) -> list[Element]:
    return [haar(math.prod(shape), generator)]


def _permutation(shape: Shape, generator: np.random.Generator, theta: float) -> list[Element]:
    order = torch.from_numpy(generator.permutation(math.prod(shape)))
    return [lambda x: x.flatten(1)[:, order].reshape(x.shape)]


def _sign(shape: Shape, generator: np.random.Generator, theta: float) -> list[Element]:
    return [_times(generator.choice([-1.0, 1.0], size=shape))]


def _scaling(shape: Shape, generator: np.random.Generator, theta: float) -> list[Element]:
    return [_times(np.asarray(SCALE ** generator.uniform(-1, 1)))]


def _diagonal(shape: Shape, generator: np.random.Generator, theta: float) -> list[Element]:
    return [_times(SCALE ** generator.uniform(-1, 1, size=shape))]


def _times(factors: np.ndarray) -> Element:
    return lambda x: x * torch.from_numpy(factors).to(x.dtype)


def _block_rotation(shape: Shape, generator: np.random.Generator, theta: float) -> list[Element]:
    """Features in random pairs, each pair turned by ``theta``; an odd one out stays."""
    size = math.prod(shape)
    first, second = torch.from_numpy(generator.permutation(size)[: size // 2 * 2].reshape(2, -1))
    cosine, sine = math.cos(theta), math.sin(theta)

    def turn(x: Tensor) -> Tensor:
        flat = x.flatten(1)
        turned = flat.clone()
        turned[:, first] = cosine * flat[:, first] - sine * flat[:, second]
        turned[:, second] = sine * flat[:, first] + cosine * flat[:, second]
        return turned.reshape(x.shape)

    return [turn]


def _quarter_turns(shape: Shape, generator: np.random.Generator, theta: float) -> list[Element]:
    return [lambda x: torch.rot90(x, 1, (-2, -1)), lambda x: x.flip((-2, -1)), lambda x: torch.rot90(x, -1, (-2, -1))]


def _resampled(mode: str) -> Callable[[Shape, np.random.Generator, float], list[Element]]:
    """Maps turned counter-clockwise by ``theta`` about their centre; beyond the edge lie the edge's values."""

    def make(shape: Shape, generator: np.random.Generator, theta: float) -> list[Element]:
        cosine, sine = math.cos(theta), math.sin(theta)
        matrix = torch.tensor([[[cosine, -sine, 0.0], [sine, cosine, 0.0]]], dtype=torch.float64)
        grid = affine_grid(matrix, [1, *shape], align_corners=False)

        def turn(x: Tensor) -> Tensor:
            places = grid.to(x.dtype).expand(len(x), -1, -1, -1)
            return grid_sample(x, places, mode=mode, padding_mode="border", align_corners=False)

        return [turn]

    return make


def _fixed(*members: Element) -> Callable[[Shape, np.random.Generator, float], list[Element]]:
    return lambda shape, generator, theta: list(members)


GROUPS: dict[str, Group] = {
    "permutation": Group(_permutation),
    "sign": Group(_sign),
    "negation": Group(_fixed(torch.neg), listed=True),
    "scaling": Group(_scaling),
    "diagonal_scaling": Group(_diagonal),
    "rotation": Group(_rotation),
    "block_rotation": Group(_block_rotation),
    "flip_horizontal": Group(_fixed(lambda x: x.flip(-1)), listed=True, maps=True),
    "flip_vertical": Group(_fixed(lambda x: x.flip(-2)), listed=True, maps=True),
    "rotation_90": Group(_quarter_turns, listed=True, maps=True, square=True),
    "map_rotation": Group(_resampled("bilinear"), listed=True, maps=True, square=True),
    "map_rotation_nearest": Group(_resampled("nearest"), listed=True, maps=True, square=True),
}


def fitting(names: Sequence[str] | None, shape: Shape) -> list[str]:
    """Return the names, or if there are none those of all groups that act on samples of ``shape``.

    Raises:
        SymbreakError: If a name is unknown or its group does not act on such samples.
    """
    for name in names or ():
        if reason := unfit(name, shape):
            raise SymbreakError(reason)
    return list(names) if names else [name for name in GROUPS if unfit(name, shape) is None]
