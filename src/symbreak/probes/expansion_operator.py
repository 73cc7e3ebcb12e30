"""Pixels at which input dimension expansion (Zhang et al., arXiv:2409.06402) departs from its definition, counted.

The definition is a Kronecker product: with E the K x K matrix that is 1 at (offset, offset) and 0 elsewhere,
``expand(x) = x (x) E + c (1 (x) (1 - E))``, where x is the standardised image and c the fill. What is checked is the
function that training calls on its batches, on real images.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from symbreak.config.specs import DataSpec, ExpandSpec
from symbreak.data.statistics import WHITE, Statistics, measure
from symbreak.data.tensors import to_input
from symbreak.errors import SymbreakError
from symbreak.probes.source import Source

Floats = npt.NDArray[np.float32]


def probe(
    source: Source, *, images: int = 200, factors: Sequence[int] = (1, 2, 3, 4), value: float = 0.5
) -> pd.DataFrame:
    """Compare expanded images with the definition, exactly.

    Args:
        source: An arm with ``data``; its kind of fill and its value are checked at every factor, at the first and the
            last offset, and with the fill before and after standardisation (elementwise kinds of it only). An arm that
            does not expand is checked as it is: factor 1.
        images: Test images used, from the first.
        factors: Expansion factors K.
        value: The constant that an arm without one is compared with.

    Returns:
        One row a configuration: ``fill``, ``factor``, ``offset``, ``when``, ``value``, ``pixels``, ``violated`` and
        of these ``filler`` and ``filler_violated`` (pixels that are no image pixel).

    Raises:
        SymbreakError: The arm has no data.
    """
    if source.spec.data is None:
        raise SymbreakError(f"arm '{source.spec.arm}' has no 'data': the probe 'expansion_operator' needs images")
    prepared = source.data()
    batch, statistics = torch.from_numpy(prepared.test_images[:images]), measure(prepared.train_images)
    configurations = _configurations(source.spec.data.expand, factors)
    return pd.DataFrame([_row(batch, source.spec.data, statistics, expand, value) for expand in configurations])


def _configurations(own: ExpandSpec | None, factors: Sequence[int]) -> list[ExpandSpec | None]:
    if own is None:
        return [None]
    return [
        own.model_copy(update={"factor": factor, "offset": offset, "when": when})
        for factor in factors
        for offset in sorted({0, factor - 1})
        for when in ("before", "after")
    ]


def _row(
    batch: torch.Tensor, data: DataSpec, statistics: Statistics, expand: ExpandSpec | None, value: float
) -> dict[str, Any]:
    found = _input(batch, data, statistics, expand)
    shape = expand or ExpandSpec(factor=1, fill="constant", value=value)
    constant = value if shape.value is None else shape.value
    plain = _input(batch, data, statistics, None)
    fill = np.full_like(plain, constant)
    if shape.when == "before":
        fill = _input(torch.full(batch.shape, WHITE * constant), data, statistics, None)
    wanted, is_filler = _definition(plain, fill, shape)
    wrong = wanted != found if found.shape == wanted.shape else np.ones_like(is_filler)
    return {
        "fill": "none" if expand is None else expand.fill,
        "factor": shape.factor,
        "offset": shape.offset,
        "when": shape.when,
        "value": constant,
        "pixels": wanted.size,
        "violated": int(wrong.sum()),
        "filler": int(is_filler.sum()),
        "filler_violated": int((wrong & is_filler).sum()),
    }


def _input(batch: torch.Tensor, data: DataSpec, statistics: Statistics, expand: ExpandSpec | None) -> Floats:
    inputs: Floats = to_input(batch, data.model_copy(update={"expand": expand}), statistics).numpy()
    return inputs


def _definition(plain: Floats, fill: Floats, spec: ExpandSpec) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the defined result and where it is filler, ``[N, C, H K, W K]``, from images and fill ``[N, C, H, W]``."""
    unit = np.zeros((spec.factor, spec.factor), plain.dtype)
    unit[spec.offset, spec.offset] = 1
    filler = np.kron(np.ones_like(plain), 1 - unit)
    return np.kron(plain, unit) + np.kron(fill, 1 - unit), filler.astype(bool)
