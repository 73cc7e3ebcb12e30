"""Evidence, decisions and figures of the claims on Fashion-MNIST (arXiv:2106.00694), from made-up accuracies.

Planted means and spreads are the published ones, or those of a world in which nothing depends on mu and k.
"""

import importlib
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text
from numpy.typing import NDArray

from symbreak.claims.decide import decide
from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet import (
    fashion,
    fashion_collapse,
    fashion_means,
    fashion_one_cold,
    fashion_spread,
    published_fashion,
)
from symbreak.claims.gaussnet.fashion import KS, MUS, cold, hot, maps
from symbreak.claims.intervals import interval
from symbreak.claims.run import ClaimJob, judge
from symbreak.claims.tables import Tables
from symbreak.config.load import load
from symbreak.config.models import GaussnetSpec
from symbreak.config.registry import Registry
from symbreak.errors import SymbreakError
from symbreak.models.gaussnet import build
from symbreak.plan import Plan
from symbreak.probes.run import write_table

Floats = NDArray[np.float64]
World = Callable[[float, int, str], tuple[float, float]]  # mu, k, targets -> mean and spread of accuracy
IMAGES = 10_000
EXPERIMENT = "fashion_means"


@cache
def plan(root: Path) -> Plan:
    return Plan(load(root, "desk"))


def published(mu: float, k: int, targets: str) -> tuple[float, float]:
    """What the paper shows; means in a random direction do what those along the axes do."""
    if targets == "cold":
        return (published_fashion.ONE_COLD[mu][0] / 100 if mu >= 0 else 0.848), 0.0025
    mean = published_fashion.ACCURACY[mu, k]
    return mean, max(0.003, published_fashion.SPREAD[mu, k] * mean) if k and mu > 0.03 else 0.003


def flat(mu: float, k: int, targets: str) -> tuple[float, float]:
    return 0.857, 0.003


def table(seeds: tuple[int, ...], mean: float, spread: float, generator: np.random.Generator) -> pd.DataFrame:
    drawn = generator.standard_normal(len(seeds))
    scaled = mean + spread * (drawn - drawn.mean()) / drawn.std(ddof=1)
    best = np.round(IMAGES * np.clip(scaled, 0, 1)).astype(int)
    columns = {"order_seed": pd.array([None] * len(seeds), "Int64"), "diverged": False, "test_count": IMAGES}
    columns |= {"train_correct": 1, "train_count": 2, "test_correct": best - 3, "best_test_correct": best}
    return pd.DataFrame({"seed": seeds} | columns)


def experiment(root: Path, repository: Path, world: World) -> Tables:
    """All arms as params.yaml has them at desk, accuracies as ``world`` has them."""
    arms = plan(repository).arms[EXPERIMENT]
    for number, (arm, spec) in enumerate(sorted(arms.items())):
        assert isinstance(spec.model, GaussnetSpec)
        assert spec.training is not None
        assert spec.model.shifted is not None
        targets = "cold" if spec.training.loss == "mse_one_cold" else "hot"
        mean, spread = world(spec.model.mean_w1, spec.model.shifted, targets)
        drawn = table(spec.seeds, mean, spread, np.random.default_rng(number))
        write_table(root / EXPERIMENT / arm / "accuracy.parquet", drawn)
    return Tables(root, EXPERIMENT, sorted(arms))


def claims(registry: Registry) -> list[str]:
    return [name for name, claim in registry.claims.items() if claim.experiment == EXPERIMENT]


def judged(repository: Path, claim: str, tables: Tables) -> dict[str, Any]:
    """The content of the claim file."""
    return judge(claim, ClaimJob.model_validate(plan(repository).claim(claim).params), tables)


@pytest.fixture
def as_published(tmp_path: Path, repo_root: Path) -> Tables:
    return experiment(tmp_path / "published", repo_root, published)


@pytest.fixture
def without_effect(tmp_path: Path, repo_root: Path) -> Tables:
    return experiment(tmp_path / "flat", repo_root, flat)


def test_what_the_paper_shows_supports_every_claim_and_draws_its_figure(repo_root: Path, as_published: Tables) -> None:
    registry = plan(repo_root).configuration.registry
    assert len(claims(registry)) == 6
    for claim in claims(registry):
        found = judged(repo_root, claim, as_published)
        assert found["verdict"] == "supported", (claim, found["parts"])
        assert found["control"] == "shown"
        assert not found["underpowered"], {name: part["power"] for name, part in found["parts"].items()}
        figure = importlib.import_module(f"symbreak.figures.{registry.claims[claim].figure}").draw(as_published, found)
        words = " ".join(text.get_text() for text in figure.findobj(Text))
        assert "supported" in words
        assert "control" in words


def test_a_world_without_effect_supports_no_claim(repo_root: Path, without_effect: Tables) -> None:
    """Where nothing depends on mu and k, there is nothing to find, and controls that must see an effect do not."""
    found = {c: judged(repo_root, c, without_effect) for c in claims(plan(repo_root).configuration.registry)}
    assert {claim["verdict"] for claim in found.values()} <= {"refuted", "inconclusive", "inconclusive (control)"}
    for name in ("means", "spread"):
        assert (found[f"gaussnet-fashion-{name}"]["verdict"], found[f"gaussnet-fashion-{name}"]["control"]) == (
            "refuted",
            "shown",
        )
    for name in ("baseline", "one-cold", "direction"):
        assert found[f"gaussnet-fashion-{name}"]["verdict"] == "inconclusive (control)", name
    parts = found["gaussnet-fashion-means"]["parts"]
    assert {parts[name]["verdict"] for name in ("corner", "loss", "map")} == {"refuted"}
    assert {parts[name]["verdict"] for name in ("mu_k2", "mu_k10", "k_mu20")} == {"inconclusive"}


def test_nothing_shifted_gives_the_same_weights_whatever_the_mean() -> None:
    """With k = 0 mu is unused: the networks with k = 0 are samples of one and the same distribution."""
    specs = [
        GaussnetSpec(family="gaussnet", width=50, neuron="relu", sigma_b=0, bias=False, mean_w1=mu, shifted=k)
        for mu, k in ((0.0, 10), (0.2, 0), (0.2, 1))
    ]
    zero, unused, used = (build(spec, (1, 28, 28), 10, torch.float32).init(7) for spec in specs)
    assert all(torch.equal(zero[name], unused[name]) for name in zero)
    assert not torch.equal(zero["layers.1.weight"], used["layers.1.weight"])


def test_arms_are_the_networks_that_their_names_say(repo_root: Path) -> None:
    models = {arm: spec.model for arm, spec in plan(repo_root).arms[EXPERIMENT].items()}
    losses = {arm: spec.training.loss for arm, spec in plan(repo_root).arms[EXPERIMENT].items() if spec.training}
    for mu in MUS:
        for k in (0, *KS):
            model = models[hot(mu, k)]
            assert isinstance(model, GaussnetSpec)
            assert (model.mean_w1, model.shifted, model.direction, losses[hot(mu, k)]) == (mu, k, "axes", "mse")
    for mu in (*fashion_one_cold.GRID, -0.03):
        model = models[cold(mu)]
        assert isinstance(model, GaussnetSpec)
        assert (model.mean_w1, model.shifted, losses[cold(mu)]) == (mu, 10, "mse_one_cold")
    turned = [m for arm, m in models.items() if arm.startswith("random") and isinstance(m, GaussnetSpec)]
    assert [(m.mean_w1, m.shifted, m.direction) for m in turned] == [(0.1, 10, "random"), (0.2, 10, "random")]


def test_arms_compared_as_independent_share_no_seed_and_cells_of_a_map_share_them(repo_root: Path) -> None:
    seeds = {arm: set(spec.seeds) for arm, spec in plan(repo_root).arms[EXPERIMENT].items()}
    cells = {hot(mu, k) for mu in MUS for k in KS}
    whole = set.intersection(*(seeds[cell] for cell in cells))
    assert len(whole) == 18
    groups = [set.union(*(seeds[cell] for cell in cells)), *(s for arm, s in seeds.items() if arm not in cells)]
    assert len(set.union(*groups)) == sum(len(group) for group in groups)


def test_slopes_are_least_squares_per_tenth_of_mu(as_published: Tables) -> None:
    """Oracle: numpy's line through each seed's five cells."""
    seeds, found = maps(as_published)
    assert found.shape == (18, 5, 3)
    for evidence, column in ((fashion_means.mu_k2, 0), (fashion_means.mu_k10, 2)):
        units = evidence(as_published)
        assert [u.unit for u in units] == [f"seed {seed}" for seed in seeds]
        for unit, row in zip(units, found[:, :, column], strict=True):
            assert unit.value == pytest.approx(0.1 * np.polyfit(MUS, row, 1)[0])


def test_the_change_from_k_2_to_10_is_the_rise_of_the_line_through_the_three_cells(as_published: Tables) -> None:
    found = maps(as_published)[1][:, MUS.index(0.15)]
    for unit, row in zip(fashion_means.k_mu15(as_published), found, strict=True):
        assert unit.value == pytest.approx(8 * np.polyfit(KS, row, 1)[0])


def test_rows_without_shift_take_one_network_of_every_mu(tmp_path: Path, as_published: Tables) -> None:
    for mu in MUS:
        rising = table(tuple(range(12)), 0.5 + mu, 0.0, np.random.default_rng(0))
        write_table(as_published.path(hot(mu, 0), "accuracy"), rising)
    units = fashion_means.mu_k0(as_published)
    assert [u.value for u in units] == pytest.approx([0.1] * 12)
    assert len({u.unit for u in units}) == 12


def test_maps_without_a_common_seed_are_refused(as_published: Tables) -> None:
    other = table((1, 2, 3), 0.5, 0.1, np.random.default_rng(0))
    write_table(as_published.path(hot(0.10, 6), "accuracy"), other)
    with pytest.raises(SymbreakError, match="no seed is in all cells of 'fashion_means'"):
        maps(as_published)


def test_a_cell_misses_beyond_its_own_interval_and_is_named(as_published: Tables) -> None:
    """Oracle: the catalogue's formula, written out, for a narrow and a wide cell on both sides of their limits."""
    for mu, k, theirs, their_percent in ((0.05, 6, 0.8509, 0.44), (0.20, 10, 0.5283, 16.09)):
        seeds = tuple(range(1000, 1018))
        spread = max(0.003, their_percent / 100 * theirs)
        limit = 2.6 * math.sqrt(spread**2 / 18 + (their_percent / 100 * theirs) ** 2 / 10 + 0.003**2)
        for factor, misses in ((0.97, 0.0), (-1.03, 1.0)):
            moved = table(seeds, theirs + factor * limit, spread, np.random.default_rng(3))
            write_table(as_published.path(hot(mu, k), "accuracy"), moved)
            fresh = Tables(as_published._root, EXPERIMENT, as_published.arms)
            (unit,) = fashion_means.misses(fresh)
            assert unit.value == misses, (mu, k, factor)
            assert (f"({mu:.2f}, {k}) by -" in unit.unit) == bool(misses)
        write_table(as_published.path(hot(mu, k), "accuracy"), table(seeds, theirs, spread, np.random.default_rng(3)))


def test_exchanged_columns_of_the_published_map_are_missed(as_published: Tables) -> None:
    assert fashion_means.misses(as_published)[0].value == 0
    assert fashion_means.misses_reversed(as_published)[0].value > 4


def test_pseudo_values_average_to_the_jackknife_and_find_the_ratio_of_spreads() -> None:
    """Oracle: normal samples with known spreads, whose log ratio the interval covers as often as it says."""
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(150):
        wide, narrow = generator.normal(0.5, 0.08, 16), generator.normal(0.8, 0.01, 60)
        units = [
            Unit(f"{group} {i}", float(value), group=group)  # type: ignore[arg-type]
            for group, sample in (("this", wide), ("other", narrow))
            for i, value in enumerate(fashion_spread.pseudo_values(sample, fashion_spread.log_spread))
        ]
        found = interval(units, "statistical", "welch", 0.9)
        assert found.low is not None
        assert found.high is not None
        covered += found.low < math.log(8) < found.high
    assert 0.84 < covered / 150 < 0.96
    linear = fashion_spread.pseudo_values(np.array([1.0, 2.0, 6.0]), lambda values: float(values.mean()))
    assert linear == pytest.approx([1.0, 2.0, 6.0])
    with pytest.raises(SymbreakError, match="at least three"):
        fashion_spread.pseudo_values(np.array([1.0, 2.0]), fashion_spread.log_spread)


def test_spread_in_percent_is_over_the_mean(as_published: Tables) -> None:
    points, percent = (
        np.mean([u.value for u in evidence(as_published) if u.group == "this"])
        - np.mean([u.value for u in evidence(as_published) if u.group == "other"])
        for evidence in (fashion_spread.points, fashion_spread.percent)
    )
    assert percent - points == pytest.approx(math.log(0.8576 / 0.5283), abs=0.02)
    halves = fashion_spread.points_unshifted(as_published)
    assert [sum(u.group == side for u in halves) for side in ("this", "other")] == [30, 30]
    assert abs(np.mean([u.value for u in halves[:30]]) - np.mean([u.value for u in halves[30:]])) < 0.7


def planted(p: float, seeds: int = 18) -> Floats:
    """Maps whose accuracies are one curve of mu k^p, with the spreads of the published map."""
    x = fashion_collapse.MU * fashion_collapse.K**p
    x = (x / x.max()).reshape(len(MUS), len(KS))
    curve = 0.857 - 0.3 * x**2
    noise = np.random.default_rng(4).standard_normal((seeds, *x.shape))
    return curve + (0.002 + 0.03 * x) * (noise - noise.mean(axis=0))


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_the_exponent_that_was_planted_is_found(p: float) -> None:
    assert fashion_collapse.fitted(planted(p)) == pytest.approx(p, abs=1e-3)
    assert fashion_collapse.fitted(planted(p)[:, :, ::-1]) != pytest.approx(p, abs=0.2) or p == 0.0


def test_misfit_is_that_of_normal_equations() -> None:
    """Oracle: a weighted cubic by its normal equations, and no misfit where the curve is a cubic."""
    cells = planted(0.5).reshape(18, -1)
    means, weights = cells.mean(axis=0), 1 / cells.std(axis=0, ddof=1)
    x = fashion_collapse.MU * fashion_collapse.K**0.3
    design = np.stack([x**power for power in range(4)], axis=1) * weights[:, None]
    solved = np.linalg.solve(design.T @ design, design.T @ (weights * means))
    expected = float(np.sum((weights * means - design @ solved) ** 2))
    assert fashion_collapse.misfit(0.3, means, weights) == pytest.approx(expected, rel=1e-6)
    assert fashion_collapse.misfit(0.5, means, weights) < 1e-12 < expected


def test_the_exponents_interval_is_that_of_maps_left_out(as_published: Tables) -> None:
    seeds, found = maps(as_published)
    units = fashion_collapse.exponent(as_published)
    whole, without = fashion_collapse.fitted(found), fashion_collapse.fitted(found[1:])
    assert units[0].unit == f"seed {seeds[0]}"
    assert units[0].value == pytest.approx(len(seeds) * whole - (len(seeds) - 1) * without)
    assert np.mean([u.value for u in fashion_collapse.exponent_reversed(as_published)]) < 0


def test_an_exponent_at_the_end_of_the_search_is_none() -> None:
    """Accuracies that fall with 1/k however steeply: no exponent in reach fits better than the last one."""
    steep = np.broadcast_to(np.array([0.3, 0.85, 0.8501]), (18, 5, 3)) + 1e-3 * np.random.default_rng(0).random(
        (18, 5, 3)
    )
    assert math.isnan(fashion_collapse.fitted(steep)) or fashion_collapse.fitted(steep) < 0
    diverged = planted(0.5)
    diverged[0, 0, 0] = np.nan
    assert math.isnan(fashion_collapse.fitted(diverged))
    with pytest.raises(SymbreakError, match="all seeds agree in a cell"):
        fashion_collapse.fitted(np.broadcast_to(planted(0.5)[:1], (18, 5, 3)))


def test_the_vertex_is_that_of_the_planted_parabola(as_published: Tables) -> None:
    for mu in fashion_one_cold.GRID:
        seeds = tuple(range(60 if mu in (0.0, 0.03, 0.10) else 20))
        drawn = table(seeds, 0.858 - 2 * (mu - 0.027) ** 2, 0.0025, np.random.default_rng(round(100 * mu)))
        write_table(as_published.path(cold(mu), "accuracy"), drawn)
    at, low, high = fashion_one_cold.vertex(as_published)
    assert at == pytest.approx(0.027, abs=1e-3)
    assert 0.02 < low < at < high < 0.035


def test_differences_are_this_less_the_other(as_published: Tables) -> None:
    def difference(units: list[Unit]) -> float:
        means = [np.mean([u.value for u in units if u.group == side]) for side in ("this", "other")]
        return float(means[0] - means[1])

    assert difference(fashion_one_cold.helps(as_published)) == pytest.approx(0.0027, abs=1e-4)
    assert difference(fashion_one_cold.hurts(as_published)) == pytest.approx(0.0116, abs=1e-4)
    assert difference(fashion_one_cold.negative(as_published)) == pytest.approx(0.848 - 0.8557, abs=1e-4)
    assert difference(fashion_one_cold.helps_one_hot(as_published)) == pytest.approx(0.8535 - 0.857, abs=1e-3)
    assert difference(fashion_means.loss_mu10(as_published)) == pytest.approx(0.0658, abs=1e-3)
    assert len(fashion.baseline(as_published)) == 60


def test_one_cold_networks_that_only_get_worse_refute_that_a_mean_helps(repo_root: Path, as_published: Tables) -> None:
    part = plan(repo_root).configuration.registry.claims["gaussnet-fashion-one-cold"].parts["helps"]
    worse = table(tuple(range(1400, 1460)), 0.850, 0.0025, np.random.default_rng(0))
    write_table(as_published.path(cold(0.03), "accuracy"), worse)
    control = fashion_one_cold.helps_one_hot(as_published)
    assert decide(part, fashion_one_cold.helps(as_published), control, 1 - 0.05 / 19).verdict == "refuted"
