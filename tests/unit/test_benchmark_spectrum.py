"""The spectrum of a benchmark's network that is taken from a file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import probe_spectrum
from benchmarks.hessian_nets import Trained
from symbreak.config.models import MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models.mlp import build
from symbreak.probes.network import Data, of_model


def network(seed: int) -> Trained:
    model = build(MlpSpec(family="mlp", hidden=(4,)), (1, 3, 3), 3, torch.float32)
    state = {name: value[None] for name, value in model.init(seed).items()}
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 1, 3, 3, generator=generator)
    return Trained(of_model(model, state), Data(x, torch.arange(40) % 3), "noise")


def test_an_exact_spectrum_is_made_once_and_then_taken_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found = tmp_path / "exact.npy", network(1)
    made = probe_spectrum.kept(path, found)
    np.testing.assert_allclose(np.sort(made), np.sort(probe_spectrum.plain_exact(found)), rtol=0, atol=1e-6)
    monkeypatch.setattr(probe_spectrum, "exact", lambda _: pytest.fail("it is in the file"))
    assert np.array_equal(probe_spectrum.kept(path, found), made)


@pytest.mark.parametrize("wrong", ["another network", "short", "not a number"])
def test_a_file_with_another_spectrum_is_refused(tmp_path: Path, wrong: str) -> None:
    path, found = tmp_path / "exact.npy", network(1)
    values = probe_spectrum.exact(network(2) if wrong == "another network" else found)
    np.save(path, values[1:] if wrong == "short" else np.where(wrong == "not a number", np.nan, values))
    with pytest.raises(SymbreakError, match="name another file with --exact"):
        probe_spectrum.kept(path, found)
