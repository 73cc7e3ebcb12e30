"""Exact 2- and connected 4-point functions of nets with D outputs, and how far group elements move them.

Measured: ``deviation``, the largest |R G - G| over elements R of a group, points and output indices in units of the
largest |G|, for rotations of SO(D) and for signed permutations. Nothing is sampled: ``theory.weight_laws`` builds the
tensors from one neuron's moments and a law of its D outgoing weights (catalogue S7; arXiv:2106.00694 for the theorem).
``noninvariant2`` is the exact squared norm that ``probes.invariance`` samples.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from symbreak.probes.npoint_symmetry import haar
from symbreak.probes.source import Source
from symbreak.seeding import derive
from symbreak.theory.correlators import Neuron
from symbreak.theory.invariants import invariant_part, rotated
from symbreak.theory.weight_laws import Law, connected_four_tensor, four_tensor, two_point_tensor
from symbreak.theory.wick import multisets

Array = NDArray[np.float64]
ELEMENTS = 20  # of each group


def probe(
    source: Source,
    *,
    law: Law,
    neurons: Sequence[tuple[Neuron, float]],
    outputs: int,
    inputs: Sequence[float],
    quadruples: Sequence[tuple[int, int, int, int]],
    widths: Sequence[int],
    mean: float,
) -> pd.DataFrame:
    """Build the exact tensors of nets with one input and sigma_w = 1 and move them.

    Args:
        source: Its first seed is that of the group elements.
        law: Law of the last layer's weights.
        neurons: Pairs (neuron, sigma_b).
        outputs: D.
        inputs: The points x; the correlators are those of all their pairs and quadruples.
        quadruples: Indices of the inputs of the 4-point functions of ``noninvariant2``.
        widths: Numbers of neurons N.
        mean: Mean of the weights to the first output in the rows with ``mean`` above 0 (2-point functions, a control).

    Returns:
        One row a (neuron, width, mean, order, group).
    """
    x = np.array(inputs, dtype=np.float64)[:, None]
    groups = group_elements(outputs, np.random.default_rng(derive(source.seeds[0], "density_exact", law)))
    rows: list[dict[str, Any]] = []
    for neuron, sigma_b in neurons:
        for width in widths:
            common = {"law": law, "neuron": neuron, "outputs": outputs, "width": width}
            for shift in (0.0, mean):
                direction = shift * np.eye(outputs)[0]
                g2 = two_point_tensor(neuron, x, width, law, outputs, sigma_b, direction)
                # the sampled sum is over ordered pairs of points
                twice = np.where(np.diff(multisets(len(x), 2))[:, 0] > 0, 2, 1)[:, None, None]
                norm = float(np.sum(twice * (g2 - invariant_part(g2, 2)) ** 2))
                rows += [common | {"mean": shift, "noninvariant2": norm} | row for row in _moved(g2, 2, groups)]
            every = multisets(len(x), 4)
            g4c = connected_four_tensor(neuron, x, every, width, law, outputs, sigma_b)
            g4 = four_tensor(neuron, x, quadruples, width, law, outputs, sigma_b)
            norm = float(np.sum((g4 - invariant_part(g4, 4)) ** 2))
            rows += [common | {"mean": 0.0, "noninvariant2": norm} | row for row in _moved(g4c, 4, groups)]
    return pd.DataFrame(rows)


def group_elements(outputs: int, generator: np.random.Generator) -> dict[str, Array]:
    """Return ``ELEMENTS`` Haar rotations and as many signed permutations, name -> ``[K, D, D]``."""
    signs = generator.choice([-1.0, 1.0], size=(ELEMENTS, outputs, 1))
    orders = np.stack([generator.permutation(outputs) for _ in range(ELEMENTS)])
    return {
        "rotation": haar(ELEMENTS, outputs, outputs, generator),
        "signed_permutation": signs * np.eye(outputs)[orders],
    }


def _moved(tensor: Array, order: int, groups: dict[str, Array]) -> Iterator[dict[str, Any]]:
    size = np.abs(tensor).max()
    for name, group in groups.items():
        worst = max(np.abs(rotated(tensor, element, order) - tensor).max() for element in group)
        yield {"order": order, "group": name, "deviation": float(worst / size)}
