"""The probe that compares input dimension expansion with its definition."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from symbreak.config.specs import ArmSpec
from symbreak.data import prepared
from symbreak.errors import SymbreakError
from symbreak.probes import expansion_operator
from symbreak.probes.source import Source


def source(folder: Path, expand: dict[str, Any] | None, data: bool = True) -> Source:
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 4, 4), dtype=np.uint8)
    labels = np.arange(12, dtype=np.uint8) % 10
    prepared.save(folder / "toy.npz", prepared.Prepared(images, labels, images, labels))
    section = {"set": "cifar10", "expand": expand} if data else None
    spec = ArmSpec.model_validate({"experiment": "e", "arm": "a", "seeds": [1], "data": section, "probes": {}})
    return Source(spec, data=folder / "toy.npz")


def test_a_constant_fill_obeys_the_definition_in_every_configuration(tmp_path: Path) -> None:
    table = expansion_operator.probe(source(tmp_path, {"factor": 2, "fill": "constant", "value": 0.5}), images=5)
    assert table["violated"].tolist() == [0] * 14  # factors 1 to 4, both offsets where they differ, both orders
    assert set(zip(table["factor"], table["offset"], table["when"], strict=True)) >= {(2, 1, "before"), (4, 3, "after")}
    assert (table["pixels"] == 5 * 3 * 16 * table["factor"] ** 2).all()
    assert (table["filler"] == table["pixels"] * (1 - 1 / table["factor"] ** 2)).all()


def test_nearest_upsampling_keeps_the_pixels_and_violates_the_fill(tmp_path: Path) -> None:
    table = expansion_operator.probe(source(tmp_path, {"factor": 2, "fill": "nearest"}), factors=(2, 3))
    assert (table["violated"] == table["filler_violated"]).all()
    assert (table["filler_violated"] == table["filler"]).all()


def test_an_arm_that_does_not_expand_is_the_identity(tmp_path: Path) -> None:
    table = expansion_operator.probe(source(tmp_path, None))
    assert table[["factor", "violated", "filler"]].to_numpy().tolist() == [[1, 0, 0]]


@pytest.mark.parametrize(
    ("spoil", "violated"),
    [
        (lambda x: x.roll(1, -1), None),  # shifted by one pixel
        (lambda x: torch.where(x == 0.5, 0.25, x), 0.75),  # another fill
        (lambda x: x[..., :-1], 1.0),  # another shape
    ],
)
def test_a_wrong_operator_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Any, violated: float | None
) -> None:
    right = expansion_operator.to_input

    def wrong(batch: torch.Tensor, spec: Any, statistics: Any) -> torch.Tensor:
        inputs = right(batch, spec, statistics)
        return spoil(inputs) if spec.expand is not None and spec.expand.when == "after" else inputs

    monkeypatch.setattr(expansion_operator, "to_input", wrong)
    expand = {"factor": 2, "fill": "constant", "value": 0.5}
    table = expansion_operator.probe(source(tmp_path, expand), factors=(2,)).query("when == 'after'")
    found = table["violated"] / table["pixels"]
    assert (found > 0.25).all() if violated is None else found.to_numpy() == pytest.approx(violated)


def test_without_data_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SymbreakError, match="needs images"):
        expansion_operator.probe(source(tmp_path, None, data=False))
