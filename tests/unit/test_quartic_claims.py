"""Evidence, verdicts and figures of the claims on quartic couplings (gaussnet Q5, Q6, Q7), on made-up tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from symbreak.claims.decide import REFUTED, SUPPORTED, decide
from symbreak.claims.gaussnet import coupling, rg_flow, six_point_prediction
from symbreak.claims.tables import Tables
from symbreak.config.registry import Part
from symbreak.figures import gaussnet_coupling, gaussnet_rg_flow, gaussnet_six_point_prediction

CUTOFFS = [7, 100, 5000, 100000]
NETS = ("gauss", "erf", "relu")
LEVEL = 1 - 0.05 / 19


def write(root: Path, experiment: str, probe: str, **arms: pd.DataFrame) -> Tables:
    for arm, table in arms.items():
        (root / experiment / arm).mkdir(parents=True)
        table.to_parquet(root / experiment / arm / f"{probe}.parquet")
    return Tables(root, experiment, list(arms))


def part(rule: dict[str, float], regime: str = "numeric") -> Part:
    statistical: dict[str, Any] = {"interval": "t", "power": {"effect": 1.0, "spread": 0.01}}
    control = {"evidence": "c", "quantity": "c", "kind": "must_fail"}
    found = {
        "target": "Q5",
        "evidence": "e",
        "quantity": "q",
        "regime": regime,
        "unit": "u",
        "rule": rule,
        "basis": "b",
    }
    return Part.model_validate(found | {"control": control} | (statistical if regime == "statistical" else {}))


def fits(*rows: dict[str, Any]) -> pd.DataFrame:
    filled = {"width": 10, "cutoff": 2.0, "size": 0.01, "lambda0": 1.0, "max_error": 1.0, "reciprocal_condition": 1.0}
    return pd.DataFrame([filled | row for row in rows])


def test_coupling_evidence_picks_model_net_and_widest_inputs(tmp_path: Path) -> None:
    table = fits({"model": "local", "max_error": 0.05}, {"model": "constant", "max_error": 0.06},
                 {"model": "nonlocal", "reciprocal_condition": 1e-6}, {"model": "bias_kept", "lambda0": 0.1},
                 {"model": "whole", "lambda0": 5.0})  # fmt: skip
    spread = fits({"model": "local", "size": 1.0, "max_error": 900.0}, {"model": "local", "max_error": 0.01})
    arms = dict.fromkeys(NETS, table)
    tables = write(tmp_path, "gaussnet_coupling", "quartic_fit", **arms, gauss_spread=spread)
    assert [(u.unit, u.value) for u in coupling.held_out_error(tables)] == [(n, 0.05) for n in NETS]
    assert [u.value for u in coupling.held_out_error_spread(tables)] == [900.0]
    assert [u.value for u in coupling.constant_error(tables)] == [0.06, 0.06]
    assert [u.value for u in coupling.reciprocal_condition(tables)] == [1e-6] * 3
    assert [u.value for u in coupling.lambda_gauss_bias(tables)] == [0.1 * 10]
    assert [u.value for u in coupling.lambda_relu_whole(tables)] == [5.0 * 10 * 2**5]
    rule = part({"at_most": 0.1})
    good, bad = coupling.held_out_error(tables), coupling.held_out_error_spread(tables)
    assert decide(rule, good, bad, LEVEL).verdict == SUPPORTED
    assert decide(rule, bad, bad, LEVEL).verdict == REFUTED


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, SUPPORTED), (1.2, REFUTED)])
def test_sampled_coupling_is_over_the_exact_one_and_decided_by_seed(
    tmp_path: Path, factor: float, verdict: str
) -> None:
    noise = 1 + 1e-3 * np.arange(-3, 4)
    rows = [{"model": m, "seed": s, "lambda0": 2.0 * f * n}
            for m, f in (("local", factor), ("whole", 70.0)) for s, n in enumerate(noise)]  # fmt: skip
    exact = fits({"model": "local", "lambda0": 2.0})
    tables = write(tmp_path, "gaussnet_coupling", "quartic_fit", erf=exact, erf_sampled=fits(*rows))
    units = coupling.sampled_erf(tables)
    assert [u.value for u in units] == pytest.approx(factor * noise)
    rule = part({"equals": 1.0, "within": 0.01}, "statistical")
    assert decide(rule, units, coupling.sampled_erf_whole(tables), LEVEL).verdict == verdict


def flow(power: float, heights: list[float]) -> pd.DataFrame:
    rows = [{"seed": s, "element": e, "cutoff": c, "coupling": h * (1 + 0.1 * e) * c**power}
            for s, h in enumerate(heights) for e in range(3) for c in CUTOFFS]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("power", "verdict"), [(-5.0, SUPPORTED), (-4.95, REFUTED)])
def test_slope_is_that_of_the_power_law_and_the_rule_sees_another(tmp_path: Path, power: float, verdict: str) -> None:
    arms = {"d1": flow(power, [1.0, 2.0]), "d1_exact": flow(power, [1.5]).drop(columns="seed")}
    tables = write(tmp_path, "gaussnet_rg_flow", "quartic_flow", **arms, d1_bias=flow(-4.9615, [1.0]))
    units = rg_flow.slope_d1(tables)
    assert [u.unit for u in units] == ["exact", "seed 0", "seed 1"]
    assert [u.value for u in units] == pytest.approx([power] * 3)
    rule = part({"equals": -5.0, "within": 0.01})
    assert decide(rule, units, rg_flow.slope_d1_bias(tables), LEVEL).verdict == verdict


def test_intercept_is_the_mean_logarithm_at_cutoff_one_and_broken_couplings_are_not_hidden(tmp_path: Path) -> None:
    tables = write(tmp_path, "gaussnet_rg_flow", "quartic_flow", d2=flow(-6.0, [1.0, 10.0]), d3=flow(-7.0, [-1.0, 1.0]))
    expected = np.log10([1.0, 1.1, 1.2]).mean()
    assert [u.value for u in rg_flow.intercept_d2(tables)] == pytest.approx([expected, 1 + expected])
    broken = rg_flow.intercept_d3(tables)
    assert np.isnan(broken[0].value)
    assert broken[1].value == pytest.approx(expected)


def predictions(gaussian: float, fitted: float, slope: float, seeds: int) -> pd.DataFrame:
    rows = [{"seed": s, "cutoff": c, "gaussian": gaussian + 1e-3 * s, "fitted": (fitted + 1e-3 * s) * c**slope,
             "own": 1.0, "frozen": float(c)} for s in range(seeds) for c in CUTOFFS]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("slope", "verdict"), [(0.0, SUPPORTED), (0.01, REFUTED)])
def test_prediction_evidence_is_by_seed_and_flatness_over_all_cutoffs(
    tmp_path: Path, slope: float, verdict: str
) -> None:
    table = predictions(0.5, 0.9, slope, 5)
    exact = predictions(0.5, 0.9, slope, 1).drop(columns="seed")
    tables = write(
        tmp_path, "gaussnet_six_point", "quartic_prediction", relu_20=table, relu_20_exact=exact, erf_5=exact
    )
    assert [u.value for u in six_point_prediction.relu_gaussian(tables)] == pytest.approx(0.5 + 1e-3 * np.arange(5))
    assert [u.value for u in six_point_prediction.erf_own(tables)] == [1.0]
    units = six_point_prediction.relu_flat(tables)
    change = (CUTOFFS[-1] / CUTOFFS[0]) ** slope - 1
    assert [u.value for u in units] == pytest.approx([change] * 6)
    frozen = six_point_prediction.relu_flat_frozen(tables)
    assert decide(part({"at_most": 1e-6}), units, frozen, LEVEL).verdict == verdict
    rule = part({"equals": 0.902, "within": 0.01}, "statistical")
    share = six_point_prediction.relu_quartic(tables)
    expected = SUPPORTED if slope == 0 else REFUTED
    assert decide(rule, share, six_point_prediction.relu_gaussian(tables), LEVEL).verdict == expected


CLAIM: dict[str, Any] = {"statement": "S.", "verdict": "supported", "margin": 0.1, "n": 3, "control": "shown"}
CLAIM |= {"underpowered": False}


def words(figure: Any) -> list[str]:
    texts = [t.get_text() for ax in figure.axes for t in ax.get_legend().get_texts()]
    return texts + [ax.get_title(loc="left") for ax in figure.axes]


def test_coupling_figure_shows_rival_control_and_samples(tmp_path: Path) -> None:
    models = ("local", "squared", "nonlocal", "constant", "whole")
    exact = fits(*({"model": model, "max_error": 10.0**-at} for at, model in enumerate(models)))
    spread = fits(*({"model": model, "size": size} for model in models for size in (0.01, 0.1, 1.0)))
    seeds = fits(*({"model": model, "seed": seed, "lambda0": 1 + 0.01 * seed} for model in models for seed in (1, 2)))
    arms = dict.fromkeys(NETS, exact) | dict.fromkeys((f"{net}_sampled" for net in NETS), seeds)
    tables = write(tmp_path, "e", "quartic_fit", **arms, gauss_spread=spread)
    rules = {"held_out": {"rule": {"at_most": 0.1}}, "collinear": {"rule": {"at_most": 1e-4}}}
    drawn = gaussnet_coupling.draw(tables, CLAIM | {"parts": rules})
    for word in ("constant, no integral", "accepted: at most 0.1 %", "control, fitted to the whole G4", "(d) Sampled"):
        assert any(word in text for text in words(drawn)), word


def test_flow_figure_shows_slopes_control_and_band(tmp_path: Path) -> None:
    arms: dict[str, pd.DataFrame] = {}
    for d, height in ((1, 0.6), (2, 0.8), (3, 0.7)):
        rows = flow(-4.0 - d, [height, 1.01 * height])
        arms |= {f"d{d}": rows, f"d{d}_exact": rows[rows["seed"] == 0].drop(columns="seed")}
        arms |= {f"d{d}_wide": flow(-4.0 - d, [height / 5]), f"d{d}_bias": flow(-3.95 - d, [1.0])}
    tables = write(tmp_path, "e", "quartic_flow", **arms)
    rules = {f"intercept_d{d}": {"rule": {"equals": -0.2, "within": 0.01}} for d in (1, 2, 3)}
    drawn = gaussnet_rg_flow.draw(tables, CLAIM | {"parts": rules})
    for word in ("d = 3: slope -7.000", "control, biases:\n-4.950, -5.950, -6.950", "control: N = 100", "accepted"):
        assert any(word in text for text in words(drawn)), word


def test_prediction_figure_shows_every_net_and_the_frozen_coupling(tmp_path: Path) -> None:
    arms = {arm: predictions(0.5, 0.9, 0.0, 2) for arm in gaussnet_six_point_prediction.NAMES}
    exact = predictions(0.5, 0.9, 0.0, 1).drop(columns="seed")
    tables = write(tmp_path, "e", "quartic_prediction", **arms, relu_20_exact=exact)
    drawn = gaussnet_six_point_prediction.draw(tables, CLAIM)
    assert any("control: coupling held" in text for text in words(drawn))
    labels = [tick.get_text() for tick in drawn.axes[1].get_yticklabels()]
    assert labels == list(gaussnet_six_point_prediction.NAMES.values())
