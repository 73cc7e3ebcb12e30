"""Probes of quartic couplings, against the exact numbers of the gaussnet catalogue (Q5, Q6, Q7)."""

from typing import Any

import numpy as np
import pytest

from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.probes import quartic_fit, quartic_flow, quartic_prediction
from symbreak.probes.quartic_sources import Nets, correlators
from symbreak.probes.source import Source
from symbreak.theory.correlators import six_point
from symbreak.theory.wick import connected_four, wick

XS = [0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
SQUARE = [[0.5, 0.5], [0.5, 1.0], [1.0, 0.5], [1.0, 1.0]]
CORNERS = [[0.2, 0.2, 0.2], [1.0, 1.0, 0.2], [0.2, 1.0, 1.0], [1.0, 0.2, 1.0]]
CUTOFFS = [7, 100, 5000, 100000]


def source(*seeds: int) -> Source:
    return Source(ArmSpec(experiment="quartic", arm="a", seeds=seeds or (1,), probes={}))


PAPER: dict[str, Any] = {"points": XS, "sizes": [0.01], "scale": 0.5, "sigma_b": 1.0}
FIT: dict[str, dict[str, Any]] = {
    "gauss": PAPER | {"neuron": "gauss", "width": 1000, "cutoff": 30.0},
    "erf": PAPER | {"neuron": "erf", "width": 5, "cutoff": 100.0},
    "relu": PAPER | {"neuron": "relu", "width": 20, "sigma_b": 0.0, "sizes": [1.0], "cutoff": 100.0, "scale": None},
}
EXACT: dict[str, Any] = {"method": "exact", "draws": 0}


@pytest.mark.parametrize(
    ("net", "lambda0", "mean", "largest"),
    [("gauss", 5.346e-3, 0.0106, 0.049), ("erf", 3.7095e-2, 0.018, 0.082), ("relu", 6.25e-11, 0.0, 0.0)],
)
def test_the_catalogues_table_of_couplings(net: str, lambda0: float, mean: float, largest: float) -> None:
    rows = quartic_fit.probe(source(), **FIT[net], **EXACT).set_index("model")
    local = rows.loc["local"]
    assert local["lambda0"] == pytest.approx(lambda0, rel=1e-3)
    assert local["mean_error"] == pytest.approx(mean, abs=5e-5 if net == "gauss" else 5e-4)
    assert local["max_error"] == pytest.approx(largest, abs=5e-4)
    if net != "relu":
        two = {"gauss": (-1.4e-4, 2.19e-2, 0.0011), "erf": (3.739e-2, -2.4e-4, 0.0006)}[net]
        found = rows.loc["squared", ["lambda0", "lambda2", "mean_error"]].astype(float)
        np.testing.assert_allclose(found, two, rtol=0.05)
        assert 3e4 < 1 / rows.loc["nonlocal", "reciprocal_condition"] < 3e6
        assert rows.loc["constant", "max_error"] < 0.1
    else:
        assert rows.loc["nonlocal", "reciprocal_condition"] < 1e-14
        assert rows.loc["constant", "max_error"] > 1000
        assert rows.loc["whole", "lambda0"] == pytest.approx(6.25e-11 * 5)


def test_sampled_couplings_come_to_the_exact_one_from_neurons_and_networks() -> None:
    for net, method, draws, within in (("gauss", "neurons", 40_000, 0.02), ("relu", "networks", 200_000, 0.2)):
        exact = quartic_fit.probe(source(), **FIT[net], **EXACT).set_index("model").loc["local", "lambda0"]
        table = quartic_fit.probe(source(1, 2), **FIT[net], method=method, draws=draws)  # type: ignore[arg-type]
        found = table[table["model"] == "local"].set_index("seed")["lambda0"] / exact
        assert list(found.index) == [1, 2]
        assert found[1] != found[2]
        np.testing.assert_allclose(found, 1, atol=within)


def test_sources_agree_and_seeds_decide_the_draws() -> None:
    x = np.array(SQUARE)
    ((labels, exact),) = correlators(source(3), Nets("relu", 20, 0.0, "exact", 0), x, 4)
    assert labels == {}
    four = connected_four(exact[2], exact[4], 4)
    for method, draws in (("neurons", 50_000), ("networks", 100_000)):
        nets = Nets("relu", 20, 0.0, method, draws)  # type: ignore[arg-type]
        (one, a), (_, b) = correlators(source(3, 4), nets, x, 4)
        assert one == {"seed": 3}
        assert not np.array_equal(a[4], b[4])
        np.testing.assert_allclose(connected_four(a[2], a[4], 4), four, rtol=0.2)
    for method, draws in (("exact", 5), ("networks", 0), ("guess", 5)):
        with pytest.raises(SymbreakError, match="expected 'method'"):
            Nets("relu", 20, 0.0, method, draws)  # type: ignore[arg-type]


def test_sampled_six_point_function_is_near_the_exact_one() -> None:
    x = np.array(XS)[:, None]
    nets = Nets("relu", 20, 0.0, "networks", 200_000)
    ((_, g),) = correlators(source(1), nets, x, 6)
    np.testing.assert_allclose(g[6], six_point("relu", x, 20, 1.0, 0.0), rtol=0.2)
    neurons = Nets("erf", 5, 1.0, "neurons", 200_000)
    ((_, g),) = correlators(source(1), neurons, x, 6)
    np.testing.assert_allclose(g[6], six_point("erf", x, 5), rtol=5e-3)
    assert np.abs(wick(g[2], 6, 6) / g[6] - 1).max() > 0.02


FLOW: dict[str, Any] = {"neuron": "relu", "width": 20, "sigma_b": 0.0, "cutoffs": CUTOFFS, "scale": None}


@pytest.mark.parametrize(("points", "height"), [([[x] for x in XS], 0.625), (SQUARE, 0.869), (CORNERS, 0.748)])
def test_exact_flow_has_the_catalogues_slope_and_height(points: Any, height: float) -> None:
    d = len(points[0])
    table = quartic_flow.probe(source(), **FLOW, points=points, **EXACT)
    assert set(table["dimension"]) == {d}
    assert len(table) == len(CUTOFFS) * (126 if d == 1 else 35)
    scaled = table["coupling"] * table["cutoff"] ** (4 + d)
    assert scaled.mean() == pytest.approx(height, abs=1e-3 if d > 1 else 1e-9)
    spread = scaled.groupby(table["cutoff"]).std(ddof=0).mean()
    assert spread == pytest.approx({1: 0.0, 2: 0.031, 3: 0.060}[d], abs=1e-3)


SIX: dict[str, Any] = {"points": XS, "cutoffs": [7, 100, 100000], "reference": 100}


def test_exact_predictions_are_those_of_the_catalogue() -> None:
    relu = quartic_prediction.probe(source(), neuron="relu", width=20, sigma_b=0.0, scale=None, **SIX, **EXACT)
    np.testing.assert_allclose(relu["gaussian"], 1 / (1 + 15 / 20 + 44 / 400), rtol=1e-12)
    np.testing.assert_allclose(relu["fitted"], (1 + 15 / 20) / (1 + 15 / 20 + 44 / 400), rtol=1e-12)
    np.testing.assert_allclose(relu["coupling"] * relu["cutoff"] ** 5, 0.625, rtol=1e-12)
    assert relu["frozen"].iloc[1] == pytest.approx(relu["fitted"].iloc[1])
    assert relu["frozen"].iloc[0] == pytest.approx(relu["gaussian"].iloc[0], rel=1e-5)
    wide = SIX | {"points": [-1.0, -0.6, -0.2, 0.2, 0.6, 1.0], "cutoffs": [100]}
    erf = quartic_prediction.probe(source(), neuron="erf", width=5, sigma_b=1.0, scale=0.5, **wide, **EXACT).iloc[0]
    assert (erf["gaussian"], erf["own"]) == (pytest.approx(0.9671, abs=5e-5), pytest.approx(0.99974, abs=5e-6))
    assert erf["fitted"] < 0.97  # one coupling for all quadruples gains nothing


def test_a_reference_must_be_a_cutoff() -> None:
    with pytest.raises(SymbreakError, match="one of 'cutoffs'"):
        quartic_prediction.probe(
            source(), neuron="relu", width=20, sigma_b=0.0, scale=None, **(SIX | {"reference": 9}), **EXACT
        )
