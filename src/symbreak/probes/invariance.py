"""SO(D) invariance of 2- and 4-point functions of nets at initialisation, by width (arXiv:2106.00694).

Measured: how much of G2_ij(x, y) at all pairs of inputs and of G4_ijkl at a few quadruples of inputs lies outside the
tensors that SO(D) leaves invariant: ``noninvariant2``, the unbiased squared norm of that part, and ``invariant2``, the
squared norm of the other, in output^4 and output^8. Beside them the authors' own test (``papers_invariance``).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.probes.noninvariance import batch_tensors, squared_norms
from symbreak.probes.npoint_sampling import Ensemble
from symbreak.probes.output_sampling import fields
from symbreak.probes.papers_invariance import elements, papers_test
from symbreak.probes.source import Source
from symbreak.seeding import derive
from symbreak.theory.correlators import Neuron
from symbreak.theory.weight_laws import Law

Array = NDArray[np.float64]
BATCHES = 10  # the authors' chunks


def probe(
    source: Source,
    *,
    neuron: Neuron,
    sigma_b: float,
    outputs: int,
    inputs: Sequence[float],
    quadruples: Sequence[tuple[int, int, int, int]],
    ensembles: Sequence[tuple[int, int]],
    shifted: Sequence[tuple[int, int, float]],
    law: Law = "normal",
) -> pd.DataFrame:
    """Sample nets with one input and sigma_w = 1, and split their correlators.

    Args:
        source: Gives the seeds, one independent ensemble a seed, width and mean.
        neuron: ``gauss``, ``erf`` or ``relu``.
        sigma_b: Standard deviation of the biases.
        outputs: D.
        inputs: The points x.
        quadruples: Indices of the four inputs of each G4; the authors' test is made at the first.
        ensembles: Pairs (width N, number of nets) with a last layer of mean 0.
        shifted: (width, number of nets, mean mu of all weights to the first output), as controls.
        law: Law of the last layer's weights (``theory.weight_laws``).

    Returns:
        One row a (seed, width, mean, order).

    Raises:
        SymbreakError: A number of nets that cannot be divided into batches of equal size.
    """
    asked = [(width, nets, 0.0) for width, nets in ensembles] + list(shifted)
    _check(asked)
    x = np.array(inputs, dtype=np.float64)[:, None]
    group = elements(outputs, np.random.default_rng(derive(0, "invariance", "elements")))
    rows: list[dict[str, Any]] = []
    for seed in source.seeds:
        for width, nets, mean in asked:
            ensemble = Ensemble(neuron, width, 1.0, sigma_b, outputs, seed)
            found = correlators(ensemble, x, nets, quadruples, law, mean)
            setting = {"seed": seed, "neuron": neuron, "law": law, "outputs": outputs, "width": width, "nets": nets}
            rows += [setting | {"mean": mean} | row for row in _measured(found, group)]
    return pd.DataFrame(rows)


def correlators(
    ensemble: Ensemble, x: Array, nets: int, quadruples: Sequence[Sequence[int]], law: Law, mean: float
) -> dict[int, Array]:
    """Return G2 and G4 of ``BATCHES`` independent batches, order -> ``[B, ..., D x order]`` (see ``noninvariance``).

    Args:
        ensemble: Its seed names the streams of all batches.
        x: Inputs [P, d].
        nets: Number of nets in all batches.
        quadruples: Indices of the inputs of each G4.
        law: Law of the last layer's weights.
        mean: Mean of the weights to the first output.
    """
    direction = mean * np.eye(ensemble.outputs)[0] if mean else None
    found = []
    for batch in range(BATCHES):
        names = ("invariance", law, f"mean={mean}", f"sigma_b={ensemble.sigma_b}", f"outputs={ensemble.outputs}")
        own = Ensemble(
            ensemble.neuron, ensemble.width, ensemble.sigma_w, ensemble.sigma_b, ensemble.outputs,
            derive(ensemble.seed, *names, f"batch={batch}"),
        )  # fmt: skip
        found.append(batch_tensors(fields(own, x, nets // BATCHES, law, direction), quadruples))
    return {order: np.stack([batch[order] for batch in found]) for order in (2, 4)}


def _measured(found: dict[int, Array], group: Array) -> Iterator[dict[str, Any]]:
    for order, batches in found.items():
        noninvariant2, invariant2 = squared_norms(batches, order)
        own = {"order": order, "noninvariant2": noninvariant2, "invariant2": invariant2}
        yield own | papers_test(batches if order == 2 else batches[:, 0], order, group)


def _check(asked: Sequence[tuple[int, int, float]]) -> None:
    odd = [(width, nets) for width, nets, _ in asked if nets < BATCHES or nets % BATCHES]
    if odd:
        raise SymbreakError(
            f"expected numbers of nets that are multiples of {BATCHES}, found (width, nets) {odd}; round them"
        )
