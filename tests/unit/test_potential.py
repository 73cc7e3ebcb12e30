"""Probe, theory, evidence and figure of ``ssb-goldstone``."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from symbreak.claims.ssb import goldstone
from symbreak.claims.tables import Tables
from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.figures import goldstone as figure
from symbreak.probes.potential import hessian, measured_critical_eta, minimise, probe
from symbreak.probes.source import Source
from symbreak.theory.potential import (
    Potential,
    critical_eta,
    mass2,
    text_pi_mass,
    text_radius,
    text_sigma_mass,
)

CASES = [
    Potential(-1.0, 0.7),
    Potential(-0.02, 2.0),
    Potential(0.3, 0.1),
    Potential(-1.0, 0.7, 0.05),
    Potential(0.5, 2.0, 0.3),
]
SWEEP: dict[str, Any] = {"couplings": [(1.0, 0.7), (5.0, 0.1)], "dimensions": [1, 2, 5], "etas": 10, "near": 6}
ARMS: dict[str, dict[str, Any]] = {
    "broken": SWEEP,
    "stable": {**SWEEP, "stable": True},
    "explicit": {**SWEEP, "dimensions": [2, 5], "explicit": [0.01, 0.1]},
}


def source(*seeds: int) -> Source:
    return Source(ArmSpec(experiment="goldstone", arm="a", seeds=seeds, probes={"potential": {}}))


@pytest.fixture(scope="module")
def measured() -> dict[str, pd.DataFrame]:
    return {arm: probe(source(3), **options) for arm, options in ARMS.items()}


def write(tables: dict[str, pd.DataFrame], root: Path) -> Tables:
    for arm, table in tables.items():
        (root / "goldstone" / arm).mkdir(parents=True)
        table.to_parquet(root / "goldstone" / arm / "potential.parquet")
    return Tables(root, "goldstone", list(tables))


@pytest.mark.parametrize("potential", CASES)
def test_gradient_is_the_slope_of_the_value(potential: Potential) -> None:
    w = np.random.default_rng(0).standard_normal(4)
    slopes = [(potential.value(w + e) - potential.value(w - e)) / 2e-6 for e in 1e-6 * np.eye(4)]
    np.testing.assert_allclose(potential.gradient(w), slopes, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_hessian_is_the_closed_form(dimension: int) -> None:
    potential = Potential(-1.3, 0.7, 0.2)
    w = np.random.default_rng(1).standard_normal(dimension)
    expected = (-1.3 + 0.7 * w @ w) * np.eye(dimension) + 2 * 0.7 * np.outer(w, w)
    np.testing.assert_allclose(hessian(potential, w), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("potential", CASES)
def test_radius_is_where_the_value_is_least_on_a_fine_grid(potential: Potential) -> None:
    radii = np.linspace(0, 3, 300_001)
    values = potential.m2 / 2 * radii**2 + potential.lam / 4 * radii**4 - potential.h * radii
    assert potential.radius() == pytest.approx(radii[values.argmin()], abs=1e-5)


@pytest.mark.parametrize("potential", CASES)
def test_masses_are_the_curvatures_at_the_radius(potential: Potential) -> None:
    w = potential.radius() * np.eye(3)[0]
    values = np.linalg.eigvalsh((potential.m2 + potential.lam * w @ w) * np.eye(3) + 2 * potential.lam * np.outer(w, w))
    expected = [potential.pi_mass()] * 2 + [potential.sigma_mass()]
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-14)


def test_masses_below_the_critical_eta_are_minus_twice_m2_and_zero() -> None:
    below = Potential(mass2(1.0, 0.7, 0.5 * critical_eta(1.0, 0.7)), 0.7)
    assert below.m2 == pytest.approx(-0.75)
    assert (below.sigma_mass(), below.pi_mass()) == (pytest.approx(1.5), 0.0)
    assert (below.zero_modes(5), Potential(0.1, 0.7).zero_modes(5), Potential(-1.0, 0.7, 0.1).zero_modes(5)) == (
        4,
        0,
        0,
    )


def test_the_text_has_other_values() -> None:
    at_zero = Potential(-5.0, 0.1)
    assert at_zero.sigma_mass() == pytest.approx(2 * text_sigma_mass(5.0))
    assert text_pi_mass(0.1, 2.0) == pytest.approx(0.1)
    assert text_radius(-5.0, 0.1) ** 2 == pytest.approx(at_zero.radius())


@pytest.mark.parametrize("wrong", [{"lam": 0.0}, {"lam": -1.0}, {"lam": 1.0, "h": -0.1}])
def test_a_potential_without_a_lowest_point_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="lam > 0 and h >= 0"):
        Potential(-1.0, **wrong)


@pytest.mark.parametrize("potential", CASES)
@pytest.mark.parametrize("dimension", [2, 20])
def test_minimise_reaches_the_closed_form(potential: Potential, dimension: int) -> None:
    w = minimise(potential, np.random.default_rng(2).standard_normal(dimension))
    assert np.linalg.norm(w) == pytest.approx(potential.radius(), abs=1e-12)
    if potential.h:
        np.testing.assert_allclose(w[1:], 0, atol=1e-12)


def test_a_saddle_is_not_taken_for_a_minimum() -> None:
    with pytest.raises(SymbreakError, match="no negative curvature"):
        minimise(Potential(-1.0, 0.7), np.zeros(3))


def test_critical_eta_is_found_where_there_is_one() -> None:
    assert measured_critical_eta(0.3, 2.0, 4, stable=False) == pytest.approx(critical_eta(0.3, 2.0), rel=1e-11)
    assert np.isnan(measured_critical_eta(0.3, 2.0, 4, stable=True))


def test_table_has_one_row_a_point_and_starts_from_the_seed(measured: dict[str, pd.DataFrame]) -> None:
    points = 2 * 3 * (10 + 6)
    assert len(measured["broken"]) == points
    assert len(measured["stable"]) == 2 * 3 * 10
    assert len(measured["explicit"]) == 2 * 2 * 2 * (10 + 6)
    again = probe(source(3), **SWEEP)
    pd.testing.assert_frame_equal(again, measured["broken"])
    other = probe(source(4), **SWEEP)
    np.testing.assert_allclose(other["radius"], again["radius"], atol=1e-10)
    assert (other["radius"] != again["radius"]).any()


@pytest.mark.parametrize("etas", [1, 2, 3, 12, 40, 99])
def test_sweep_does_not_meet_the_critical_eta(etas: int) -> None:
    table = probe(source(1), couplings=[(1.0, 1.0)], dimensions=[1], etas=etas, near=1)
    assert (table["eta"] / table["eta_c_theory"] - 1).abs().min() > 1e-4
    assert (table["eta"] < 1.5 * table["eta_c_theory"]).all()


def test_explicit_breaking_of_one_component_is_refused() -> None:
    with pytest.raises(SymbreakError, match="leave 1 out of 'dimensions'"):
        probe(source(1), couplings=[(1.0, 1.0)], dimensions=[1, 2], etas=2, near=1, explicit=[0.1])


def test_evidence_finds_the_theory_and_its_absence(measured: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    tables = write(measured, tmp_path)
    expected = {
        "order_parameter": (0, 1e-12), "order_parameter_stable": (0, 1e-12), "slope": (-0.25, 1e-12),
        "slope_above": (0, 1e-12), "exponent": (0.5, 0.02), "critical_point": (0, 1e-11),
        "critical_point_stable": (0, 0), "curvature_ratio": (-2, 1e-10), "curvature_ratio_stable": (1, 1e-10),
        "zero_modes": (0, 0), "zero_modes_absent": (0, 0), "massive": (0, 1e-12), "pi_mass": (0, 1e-12),
        "explicit_mass": (0, 1e-10),
    }  # fmt: skip
    for name, (value, within) in expected.items():
        units = getattr(goldstone, name)(tables)
        assert [u.value for u in units] == pytest.approx([value] * len(units), abs=within), name
        assert len({u.unit for u in units}) == len(units) >= 4
    for name, bound in {"massive_text": 1e-2, "pi_mass_explicit": 1e-5}.items():
        assert min(u.value for u in getattr(goldstone, name)(tables)) > bound
    assert max(u.value for u in goldstone.exponent_explicit(tables)) < 0.1


@pytest.mark.parametrize(
    ("column", "change", "evidence", "least"),
    [
        ("radius", 1e-5, "order_parameter", 5e-6),
        ("eta_c", 1e-5, "critical_point", 5e-6),
        ("sigma_mass", 1e-7, "massive", 5e-8),
        ("zero_modes", 0.25, "zero_modes", 0.2),
        ("radius", 1e-5, "explicit_mass", 5e-6),
    ],
)
def test_evidence_sees_a_wrong_measurement(
    measured: dict[str, pd.DataFrame], tmp_path: Path, column: str, change: float, evidence: str, least: float
) -> None:
    wrong = {arm: table.assign(**{column: table[column] * (1 + change)}) for arm, table in measured.items()}
    assert max(u.value for u in getattr(goldstone, evidence)(write(wrong, tmp_path))) > least


def test_a_zero_mode_where_none_may_be_is_seen(measured: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    for arm in measured:
        wrong = measured[arm].copy()
        last = wrong.index[(wrong["grid"] == "sweep")][-1]
        wrong.loc[last, "zero_modes"] = 1
        units = goldstone.zero_modes_absent(write({**measured, arm: wrong}, tmp_path / arm))
        assert max(u.value for u in units) == 1


def test_figure_shows_measurement_theory_and_controls(measured: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    evidence = {"statement": "It breaks.", "verdict": "supported", "margin": 1e-8, "n": 6, "control": "shown"}
    drawn = figure.draw(write(measured, tmp_path), {**evidence, "underpowered": False})
    order, eigenvalues, counts = drawn.axes
    assert max(len(line.get_xdata()) for line in order.lines) == 301
    texts = [t.get_text() for ax in (order, eigenvalues, counts) for t in ax.get_legend().get_texts()]
    assert sum("control" in t for t in texts) >= 5
    assert sum("theory" in t for t in texts) == 3
