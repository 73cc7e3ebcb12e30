"""Agreement of two draws. Oracles: Newcombe's interval by statsmodels, and how often the rule errs on made-up draws."""

from typing import Any

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from symbreak.audit.agreement import agreement, difference, level
from symbreak.audit.finding import Finding
from symbreak.claims.intervals import t_interval

METHOD_LEVEL = 0.99


def block(values: Any, first: int = 1000, where: str = "") -> dict[str, Any]:
    return {"units": [{"unit": f"seed {first + i}{where}", "value": float(v)} for i, v in enumerate(values)]}


def judged(one: dict[str, Any], other: dict[str, Any], edges: float | None = None) -> list[Finding]:
    return list(agreement("f", "k", one, other, "t", edges, METHOD_LEVEL))


@pytest.mark.parametrize(("k1", "n1", "k2", "n2"), [(56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 20), (5, 56, 0, 29)])
def test_of_two_wilson_intervals_the_difference_is_newcombes(k1: int, n1: int, k2: int, n2: int) -> None:
    one, other = proportion_confint(k1, n1, method="wilson"), proportion_confint(k2, n2, method="wilson")
    _, low, high = difference((k1 / n1, *one), (k2 / n2, *other))
    expected = confint_proportions_2indep(k1, n1, k2, n2, method="newcomb", compare="diff", correction=False)
    assert (low, high) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ratio", [1.0, 10.0])
def test_equal_means_are_called_incompatible_no_more_often_than_the_level_says(ratio: float) -> None:
    rng, draws, confidence = np.random.default_rng(5), 4000, 0.9
    one, other = rng.normal(size=(draws, 6)), rng.normal(size=(draws, 6)) * ratio
    ends = [np.stack([x.mean(1), *t_interval(x, confidence)], axis=1) for x in (one, other)]
    gaps = [difference(tuple(a), tuple(b)) for a, b in zip(*ends, strict=True)]
    wrong = np.mean([low > 0 or high < 0 for _, low, high in gaps])
    assert 0.04 < wrong < 0.1 + 3 * np.sqrt(0.09 / draws)


def test_the_level_is_shared_out() -> None:
    assert level(10) == 0.995
    assert level(0) == 0.95


def test_the_share_that_is_left_to_incompatibility_is_the_margin() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    half = float(t_interval(values, METHOD_LEVEL)[1] - values.mean())
    reach = np.sqrt(2) * half
    for shift, state in ((0.25 * reach, "passed"), (-0.999 * reach, "passed"), (1.001 * reach, "failed")):
        (found,) = judged(block(values), block(values + shift, first=77))
        assert (found.check, found.state) == ("compatible", state)
        assert found.margin == pytest.approx(1 - abs(shift) / reach)
        assert (found.expected, found.found) == (pytest.approx(3.0), pytest.approx(3.0 + shift))
        assert f"a difference above {reach:.3g} would have been seen" in found.reason


@pytest.mark.parametrize(
    ("shift", "edges", "state"),
    [
        (0.0, 1.001, "passed"),
        (0.0, 0.999, "not checked"),
        (1.5, 1.0, "not checked"),
        (2.5, 1.0, "failed"),
        (-2.5, 1.0, "failed"),
        (-0.4, 1.0, "not checked"),
        (-0.4, 1.41, "passed"),
    ],
)
def test_equivalence_is_shown_only_where_the_whole_interval_lies_inside(shift: float, edges: float, state: str) -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    reach = float(np.sqrt(2) * (t_interval(values, METHOD_LEVEL)[1] - values.mean()))
    found = judged(block(values), block(values + shift * reach), edges * reach)[1]
    assert (found.check, found.state) == ("equivalent", state)
    if state == "not checked":
        assert "too few seeds" in found.reason


def test_another_selected_setting_is_another_quantity() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    (found,) = judged(block(values, where=", N=50"), block(values, where=", N=20"), 1.0)
    assert found.state == "not checked"
    assert "'seed, N=20' was selected here, 'seed, N=50' in the pin" in found.reason
    assert judged(block(values, where=", N=50"), block(values, 5, where=", N=50"))[0].state == "passed"


def test_too_few_seeds_and_a_number_that_is_none_are_not_checked() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    broken = block(values)
    broken["units"][2]["value"] = None
    for other, why in ((block(values[:4]), "4 independent units"), (broken, "not a finite number in 1 of 5 units")):
        (found,) = judged(block(values), other, 1.0)
        assert found.state == "not checked"
        assert why in found.reason
